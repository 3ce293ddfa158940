import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Command } from 'commander';
import { counted } from '../analysis/words.ts';
import { type AccessEntry, accessLine, LINE_MAX } from '../decode/access-line.ts';
import { CliError, type Io } from './io.ts';
import { captureFile } from './options.ts';
import { duration } from './present.ts';

/** A packed log is unpacked whole; logback rolls over at 200 MB. */
const PACKED_BYTES = 512 << 20;

const PIECE_BYTES = 256 << 10;

/** `stringtap join puppetserver-access.log`: the primary's own times beside ours. */
export function registerJoin(program: Command, io: Io): void {
  program
    .command('join')
    .description("add the primary's own times (its access log) to a capture: queue apart from compile")
    .argument('<log>', 'puppetserver-access.log of the primary, or a rolled-over .gz of it')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--json', 'as one JSON object')
    .action(async (log: string, capture: string | undefined, options: { json?: boolean }) => {
      const file = captureFile(capture);
      const [{ joinAccessLog }, { openStore }] = await Promise.all([
        import('../capture/primary-time.ts'),
        import('../capture/store.ts'),
      ]);
      openStore(file).close(); // one of an older version is brought up to date
      let lines = 0;
      let unread = 0;
      const pieces = piecesOf(log);
      function* entries(): Generator<AccessEntry> {
        lines = 0;
        unread = 0;
        for (const line of linesOf(pieces())) {
          if (line === '') continue;
          lines += 1;
          const entry = accessLine(line);
          if (entry === null) unread += 1;
          else yield entry;
        }
      }
      const joined = joinAccessLog(file, entries);
      const { requests, matched, exchanges, offsetMs, withBorrow } = joined;
      if (requests === 0) {
        throw new CliError(
          `${log} has no line that is understood, of ${lines}`,
          'join takes the pattern of request-logging.xml that comes with Puppet Server, which ends with %D %i{Content-Length} %mdc{jruby.borrow-time:--}',
        );
      }
      if (options.json === true) io.out(JSON.stringify({ capture: file, lines, unread, ...joined }));
      else {
        io.out(`${matched} of ${counted(exchanges, 'exchange')} found among ${counted(requests, 'request')} of the log`);
        if (offsetMs !== null) {
          const how =
            Math.abs(offsetMs) < 1000
              ? 'as ours, to the second'
              : `${duration(Math.abs(offsetMs))} ${offsetMs > 0 ? 'ahead' : 'behind'}`;
          io.out(`  the clock of the primary is ${how}`);
        }
        io.out(`  ${withBorrow} with the time that a JRuby instance was held; the others needed none, or the log does not say`);
      }
      if (unread > 0) io.err(`stringtap: ${counted(unread, 'line')} of ${lines} not understood`);
    });
}

/** Reads a log from its start, as often as it is asked to. @throws CliError */
function piecesOf(log: string): () => Iterable<Buffer> {
  try {
    if (!statSync(log).isFile()) throw new CliError(`${log} is no file`, 'give the path of a log, as in puppetserver-access.log');
    const fd = openSync(log, 'r');
    const magic = Buffer.alloc(2);
    readSync(fd, magic, 0, 2, 0);
    closeSync(fd);
    if (magic[0] === 0x1f && magic[1] === 0x8b) {
      const plain = gunzipSync(readFileSync(log), { maxOutputLength: PACKED_BYTES });
      return () => [plain];
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `cannot read ${log} (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      'give the path of a log that you may read',
    );
  }
  return () => read(log);
}

function* read(log: string): Generator<Buffer> {
  const fd = openSync(log, 'r');
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      const got = readSync(fd, piece, 0, PIECE_BYTES, null);
      if (got === 0) return;
      yield piece.subarray(0, got);
    }
  } finally {
    closeSync(fd);
  }
}

/** Lines of pieces; of one that is too long only the first part is held, and given as a line that nobody understands. */
function* linesOf(pieces: Iterable<Buffer>): Generator<string> {
  let held: Buffer[] = [];
  let bytes = 0;
  const take = (): string => {
    const line = Buffer.concat(held).toString('latin1').replace(/\r$/, '');
    held = [];
    bytes = 0;
    return line;
  };
  for (const piece of pieces) {
    let at = 0;
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, at)) {
      hold(piece.subarray(at, end));
      yield take();
      at = end + 1;
    }
    hold(piece.subarray(at));
  }
  if (bytes > 0) yield take();

  function hold(part: Buffer): void {
    // one byte over the limit is enough to refuse it
    const kept = part.subarray(0, Math.max(0, LINE_MAX + 1 - bytes));
    if (kept.length > 0) held.push(kept);
    bytes += kept.length;
  }
}
