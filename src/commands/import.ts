import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { counted, sized } from '../analysis/words.ts';
import { openRecorder, type Recorder } from '../capture/recorder.ts';
import { decodeContent } from '../decode/encoding.ts';
import { attempt } from '../decode/limits.ts';
import { HAR_BYTES, type ReadExchange, type ReadHar, type ReadRecording, readHar } from '../export/har-read.ts';
import type { ConnectionId, Exchange, ExchangeId } from '../model.ts';
import { CliError, type Io, printable } from './io.ts';
import { defaultCapture, discardCapture, runLine } from './proxy.ts';

/** `stringtap import FILE.har`: a HAR of Puppet traffic becomes a capture that every command reads. */
export function registerImport(program: Command, io: Io): void {
  program
    .command('import')
    .description('make a capture of a HAR: of mitmproxy, HTTP Toolkit, Fiddler, Charles, or stringtap export')
    .argument('<file>', `HAR 1.2, at most ${sized(HAR_BYTES)}`)
    .option('--capture <FILE>', 'capture file, made or appended to (default: captures/<UTC time>.db)')
    .option('--json', 'as one JSON object')
    .action(async (file: string, options: { capture?: string; json?: boolean }) => {
      const har = read(file);
      const capture = options.capture ?? defaultCapture();
      const existed = existsSync(capture);
      const runs: string[] = [];
      const counts = { exchanges: 0, connections: 0 };
      try {
        for (const recording of har.recordings) {
          const recorder = await open(capture, `${basename(file)} of ${har.creator}`, recording, line => runs.push(line));
          try {
            await feed(recorder, recording);
          } finally {
            await recorder.close();
          }
          for (const { reason, detail, hint } of recorder.losses)
            throw new CliError(`not all was imported: ${reason}: ${detail}`, hint);
          counts.exchanges += recording.exchanges.length;
          counts.connections += recording.connections.size;
        }
      } catch (error) {
        if (!existed) discardCapture(capture);
        throw error;
      }
      if (options.json === true) io.out(JSON.stringify({ capture, creator: har.creator, ...counts, notes: har.notes }));
      else {
        for (const line of runs) io.out(line);
        io.out(
          `imported ${counted(counts.exchanges, 'exchange')} on ${counted(counts.connections, 'connection')} into ${capture}`,
        );
        for (const note of har.notes) io.err(`stringtap: ${printable(note)}`);
      }
    });
}

/** @throws CliError */
function read(file: string): ReadHar {
  let content: Uint8Array;
  try {
    const { size } = statSync(file);
    if (size > HAR_BYTES) {
      throw new CliError(`${file} has ${sized(size)}, limit ${sized(HAR_BYTES)}`, 'export fewer runs or requests at a time');
    }
    content = readFileSync(file);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`,
      'give the path of a HAR that you may read',
    );
  }
  const har = attempt(() => readHar(unpacked(content)));
  if ('error' in har) throw new CliError(`cannot read ${file}: ${har.error}`, 'import takes HAR 1.2 (JSON)');
  return har.value;
}

/** mitmproxy's `.zhar` is zlib; some keep HARs gzipped. @throws Malformed when it is too large then, or damaged */
function unpacked(content: Uint8Array): Uint8Array {
  const coding = content[0] === 0x1f && content[1] === 0x8b ? 'gzip' : content[0] === 0x78 ? 'deflate' : null;
  return coding === null ? content : decodeContent(content, [coding], HAR_BYTES).bytes;
}

function open(file: string, from: string, recording: ReadRecording, onRun: (line: string) => void): Promise<Recorder> {
  const { startedAt, startedMono, pool, primaries, listen } = recording;
  return openRecorder({
    file,
    recording: { startedAt, startedMono, version: `import: ${from}`, pool, primaries, listen },
    durability: 'import',
    maxBodyBytes: null,
    commitWaitMs: 60_000,
    onRun: run => onRun(runLine(run)),
  });
}

/** Exchanges that may wait for the disk. */
const UNDER_WAY = 32;

/** Writes a recording in the order in which it happened: what ended, and which connections closed. */
async function feed(recorder: Recorder, { connections, exchanges }: ReadRecording): Promise<void> {
  const ids = new Map<string, ConnectionId>();
  const opened = [...connections].sort(([, a], [, b]) => a.openedMono - b.openedMono);
  for (const [name, connection] of opened) {
    const id = recorder.connectionId();
    ids.set(name, id);
    recorder.connection({ ...connection, id, closed: null });
  }
  // ids are given in the order of the requests, and written in the order in which they ended
  const numbered = exchanges.map(one => ({ one, id: recorder.exchangeId(), mono: one.exchange.timing.endMono }));
  const closings = opened.flatMap(([name, connection]) =>
    connection.closed === null ? [] : [{ name, connection, mono: connection.closed.mono }],
  );
  const events = [...numbered, ...closings].sort((a, b) => a.mono - b.mono);
  const waiting = new Set<Promise<void>>();
  for (const event of events) {
    if ('one' in event) {
      await writeBodies(recorder, event.id, event.one);
      const exchange = exchangeOf(event.id, event.one, ids);
      const written = new Promise<void>(done => recorder.exchange(exchange, done)).then(() => void waiting.delete(written));
      waiting.add(written);
      if (waiting.size >= UNDER_WAY) await Promise.race(waiting);
    } else recorder.connection({ ...event.connection, id: ids.get(event.name)! });
  }
  await Promise.all(waiting);
}

/** A body passes in pieces of this size, so that the recorder can say when it is full. */
const PIECE_BYTES = 256 << 10;

async function writeBodies(recorder: Recorder, id: ExchangeId, read: ReadExchange): Promise<void> {
  for (const [side, body] of read.bodies()) {
    const tap = recorder.tap(id, side);
    for (let at = 0; at < body.length; at += PIECE_BYTES) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (!recorder.ready(resolve)) await promise;
      tap.write(body.subarray(at, at + PIECE_BYTES));
    }
  }
}

function exchangeOf(id: ExchangeId, read: ReadExchange, ids: ReadonlyMap<string, ConnectionId>): Exchange {
  const use = ({ connection, ordinal }: ReadExchange['agent']): Exchange['agent'] => ({
    connection: ids.get(connection)!,
    ordinal,
  });
  return { ...read.exchange, id, agent: use(read.agent), primary: read.primary === null ? null : use(read.primary) };
}
