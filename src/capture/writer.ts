import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { openForWriting } from './database.ts';
import { CaptureError, sqliteCode } from './errors.ts';
import { createLog, type Log } from './log.ts';
import type { Batch, Derived, DeriverToWriter, FromWriter, LossCount, ToDeriver, ToWriter, WriterData } from './messages.ts';

/*
 * The writer thread: owns the only write connection. Everything that waits when it is free goes into one transaction (a group
 * commit: the slower the disk, the larger the group); derived rows go in between, one small transaction at a time.
 */

/** How long a capture that is being opened waits for one that is being closed, or folded by a reader. */
const LOCK_WAIT_MS = 1_000;

/** How long closing waits for the last runs to be folded; what is left over is folded by the next reader. */
const FINISH_MS = 10_000;

/** How often it is looked whether there is more than --retain allows, and how soon the next step of deleting follows. */
const RETAIN_LOOK_MS = 1_000;
const RETAIN_STEP_MS = 10;

/** Time for the deriver to find more than one exchange: it reads in steps, and is in no hurry. */
const KICK_MS = 10;

const port = parentPort;
if (port === null) throw new Error('writer.ts runs as a worker thread only');
const data = workerData as WriterData;

function send(message: FromWriter): void {
  port!.postMessage(message);
}

/** The deriver as the writer sees it. It asks nothing while it is idle, so it is kicked, once, when something was committed. */
interface Deriver {
  port: MessagePort;
  kicked: boolean;
  /** Something was committed after the last kick went out. */
  behind: boolean;
}

function run(log: Log, close: () => void): void {
  let deriver: Deriver | null = null;
  /** The last batch that was told of. */
  let told = 0;
  let closing: NodeJS.Timeout | null = null;
  let retaining: NodeJS.Timeout | null = null;

  function commitBatches(first: Batch): ToWriter | null {
    const batches = [first];
    let other: ToWriter | null = null;
    for (let next = receiveMessageOnPort(port!); next !== undefined; next = receiveMessageOnPort(port!)) {
      const message = next.message as ToWriter;
      if (message.type !== 'batch') {
        other = message;
        break;
      }
      batches.push(message.batch);
    }
    const losses: LossCount[] = log.apply(batches);
    const { n } = batches.at(-1)!;
    told = n;
    send(losses.length === 0 ? n : { type: 'ack', n, losses });
    if (deriver !== null) kick(deriver);
    log.checkpoint();
    return other;
  }

  function kick(to: Deriver): void {
    to.behind = true;
    if (to.kicked) return;
    to.kicked = true;
    setTimeout(() => {
      to.behind = false;
      tell(to, { type: 'committed' });
    }, KICK_MS).unref();
  }

  function tell(to: Deriver, message: ToDeriver): void {
    to.port.postMessage(message);
  }

  function applyRows(to: Deriver, derived: Derived): void {
    const next = receiveMessageOnPort(port!); // exchanges first
    if (next !== undefined) handle(next.message as ToWriter);
    const ok = log.applyDerived(derived);
    if (typeof ok === 'object') {
      send({ type: 'ack', n: told, losses: [ok] });
      to.port.close(); // it would send the same rows for ever
    } else if (!ok && closing !== null)
      end(); // a full disk, most likely: the next reader does it
    else tell(to, { type: 'applied', ok });
    log.checkpoint();
  }

  function connect(derivers: MessagePort): void {
    const connected: Deriver = { port: derivers, kicked: true, behind: false };
    deriver = connected;
    derivers.on('message', (message: DeriverToWriter) => {
      switch (message.type) {
        case 'rows':
          applyRows(connected, message.derived);
          break;
        case 'idle':
          connected.kicked = false;
          if (connected.behind) kick(connected);
          break;
        case 'finished':
          derivers.close();
          break;
        default:
          message satisfies never;
      }
    });
    derivers.on('close', () => {
      if (deriver !== connected) return;
      deriver = null;
      if (closing !== null) end();
    });
    tell(connected, { type: closing === null ? 'committed' : 'finish' });
  }

  /** In small steps, with room for exchanges between them. */
  function retain(): void {
    const more = log.retain(Date.now());
    if (more) log.checkpoint();
    retaining = setTimeout(retain, more ? RETAIN_STEP_MS : RETAIN_LOOK_MS);
  }

  function end(): void {
    if (retaining !== null) clearTimeout(retaining);
    if (closing !== null) clearTimeout(closing);
    const last = deriver;
    deriver = null; // the end of its port would end all this a second time
    close();
    send({ type: 'closed' });
    port!.close();
    last?.port.close();
  }

  function handle(message: ToWriter): void {
    for (let rest: ToWriter | null = message; rest !== null; ) {
      switch (rest.type) {
        case 'batch':
          rest = commitBatches(rest.batch);
          break;
        case 'deriver':
          connect(rest.port);
          rest = null;
          break;
        case 'close':
          closing = setTimeout(end, FINISH_MS);
          if (deriver === null) end();
          else tell(deriver, { type: 'finish' });
          rest = null;
          break;
        default:
          rest satisfies never;
      }
    }
  }
  port!.on('message', handle);
  if (data.retain !== null) retain();
}

try {
  const owned = openForWriting(data.file, LOCK_WAIT_MS);
  let log: Log;
  try {
    log = createLog(owned.db, data);
  } catch (error) {
    owned.close();
    throw error;
  }
  send({ type: 'ready', lastConnection: log.lastConnection, lastExchange: log.lastExchange, lastSeq: log.lastSeq });
  run(log, () => {
    try {
      log.end(Date.now());
    } catch {
      // a full disk: the recording then looks killed, and is settled by the next reader
    }
    owned.close();
  });
} catch (error) {
  const code = sqliteCode(error);
  if (error instanceof CaptureError) send({ type: 'refused', message: error.message, hint: error.hint });
  else if (code !== null) send({ type: 'refused', message: `cannot write ${data.file} (${code})`, hint: 'check the disk' });
  else throw error;
}
