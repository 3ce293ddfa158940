import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BodyTap, ConnectionId, ExchangeId, Recording, Side, Tape } from '../model.ts';
import { CaptureError } from './errors.ts';
import { createLosses, type Loss } from './losses.ts';
import {
  bodyKey,
  connectionRow,
  exchangeRow,
  type FromWriter,
  RING_BYTES,
  RING_READY_BYTES,
  THREAD_LIMITS,
  type ToWriter,
  type WriterData,
} from './messages.ts';
import { createOutbox } from './outbox.ts';
import type { Retain } from './retain.ts';
import { createRing } from './ring.ts';
import type { RunRow } from './shapes.ts';
import { superviseDeriver } from './supervisor.ts';

export type { Loss, LossReason } from './losses.ts';

export interface RecorderOptions {
  file: string;
  recording: Recording;
  /** `commit`: an answer waits for the disk. `async`: it does not. `import`: as `commit`, of traffic that another program recorded. */
  durability: 'commit' | 'async' | 'import';
  /** Of each body this many bytes are stored, `null` for all. */
  maxBodyBytes: number | null;
  /** The oldest runs are deleted when there is more than this; default: all is kept. */
  retain?: Retain;
  /** How long an answer waits for a slow disk at most; default 250 ms. */
  commitWaitMs?: number;
  /** Called when a kind of loss happens for the first time; {@link Recorder.losses} has the counts. */
  onLoss?(loss: Loss): void;
  /** Called when a run ended. A run that goes on after all (its report came later) is told again. */
  onRun?(run: RunRow): void;
}

/**
 * Writes everything that it is given into a capture. After {@link Recorder.close} it takes nothing more, and says so as a loss.
 */
export interface Recorder extends Tape {
  readonly file: string;
  readonly losses: readonly Loss[];
  ready(go: () => void): boolean;
  /** Writes what is left, finishes the runs, and closes the file. Never rejects. */
  close(): Promise<void>;
}

const COMMIT_WAIT_MS = 250;

/** How long closing waits for a writer that does not answer. */
const CLOSE_MS = 30_000;

type Ready = Extract<FromWriter, { type: 'ready' }>;

/**
 * Opens a capture for writing, makes it when there is none, and goes on with an existing one: its numbers are continued.
 * @throws CaptureError when it is no capture, newer than this program, or being written by another proxy
 */
export async function openRecorder(options: RecorderOptions): Promise<Recorder> {
  const ring = new SharedArrayBuffer(RING_BYTES);
  const { file, recording, durability } = options;
  const workerData: WriterData = { file, recording, durability, retain: options.retain ?? null, ring };
  const url = new URL(`./writer${extname(import.meta.url)}`, import.meta.url);
  const writer = new Worker(url, { workerData, name: 'stringtap-writer', resourceLimits: THREAD_LIMITS });
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  const broken = (detail: string): void => reject(new CaptureError(`cannot write ${file} (${detail})`));
  const exited = (code: number): void => broken(`the writer thread ended with code ${code}`);
  const failed = (error: Error): void => broken(error.message);
  writer.once('exit', exited);
  writer.once('error', failed);
  writer.once('message', (answer: FromWriter) => {
    if (typeof answer === 'number') return;
    if (answer.type === 'ready') resolve(answer);
    else if (answer.type === 'refused') reject(new CaptureError(answer.message, answer.hint));
  });
  const ready = await promise;
  writer.off('exit', exited);
  writer.off('error', failed);
  return record(options, writer, ring, ready);
}

/** A body that is being copied. */
interface Tapped extends BodyTap {
  readonly side: Side;
  size: number;
  /** Index of CUTS. */
  cut: 0 | 1 | 2;
  /** The exchange is over: what still comes is not part of it. */
  over: boolean;
}

const DEAF: BodyTap = { write: () => undefined };

function record(options: RecorderOptions, writer: Worker, shared: SharedArrayBuffer, from: Ready): Recorder {
  const maxBodyBytes = options.maxBodyBytes ?? Number.POSITIVE_INFINITY;
  const losses = createLosses(options.onLoss);
  const ring = createRing(shared);
  const outbox = createOutbox(writer, ring, losses, options.commitWaitMs ?? COMMIT_WAIT_MS);
  /** The taps of each exchange that is not over; most have two. */
  const taps = new Map<ExchangeId, Tapped[]>();
  const ended = Promise.withResolvers<void>();
  let lastConnection = from.lastConnection;
  let lastExchange = from.lastExchange;
  let seq = from.lastSeq;
  /** Why nothing is taken any more. */
  let over: string | null = null;

  function writerEnded(detail: string): void {
    const unacknowledged = outbox.abandon();
    if (over === null) losses.add('writer-dead', unacknowledged, detail);
    over ??= detail;
    taps.clear();
    ended.resolve();
  }

  function startTap(exchange: ExchangeId, side: Side): Tapped {
    const key = bodyKey(exchange, side);
    let kept = 0;
    const tap: Tapped = {
      side,
      size: 0,
      cut: 0,
      over: false,
      write(chunk) {
        if (over !== null || tap.over) return;
        tap.size += chunk.length;
        if (tap.cut !== 0) return;
        const wanted = Math.min(chunk.length, maxBodyBytes - kept);
        const taken = outbox.bytes(parts => ring.write(key, chunk, wanted, parts));
        kept += taken;
        if (taken < wanted) {
          tap.cut = 2;
          losses.add('body-cut', 1, `the writer is ${RING_BYTES >> 20} MiB behind`);
        } else if (wanted < chunk.length) tap.cut = 1;
      },
    };
    return tap;
  }

  function endTaps(exchange: ExchangeId): Tapped[] {
    const open = taps.get(exchange) ?? [];
    taps.delete(exchange);
    for (const tap of open) tap.over = true;
    return open;
  }

  writer.on('message', (answer: FromWriter) => {
    if (typeof answer === 'number') outbox.acknowledged(answer, []);
    else if (answer.type === 'ack') outbox.acknowledged(answer.n, answer.losses);
    else if (answer.type === 'closed') ended.resolve();
  });
  let writerError: string | null = null;
  writer.on('error', error => {
    writerError = error.message;
  });
  writer.on('exit', code => writerEnded(writerError ?? `the writer thread ended with code ${code}`));
  const deriver = superviseDeriver(options.file, writer, {
    onRun: run => options.onRun?.(run),
    onGivenUp: detail => losses.add('decoder-dead', 1, detail),
  });

  return {
    file: options.file,
    get losses() {
      return losses.all();
    },
    connectionId: () => ++lastConnection as ConnectionId,
    exchangeId() {
      const id = ++lastExchange as ExchangeId;
      taps.set(id, []);
      return id;
    },
    connection(connection) {
      if (over !== null) return;
      const closedSeq = connection.closed === null ? null : ++seq;
      outbox.connection(connection.id, () => connectionRow(connection, closedSeq));
    },
    tap(exchange, side) {
      const open = taps.get(exchange);
      if (open === undefined) return DEAF; // the exchange is over: an upload may still be running
      let tap = open.find(tapped => tapped.side === side);
      if (tap === undefined) {
        tap = startTap(exchange, side);
        open.push(tap);
      }
      return tap;
    },
    exchange(exchange, committed) {
      const bodies = endTaps(exchange.id);
      if (over !== null) {
        losses.add('writer-dead', 1, over);
        return committed();
      }
      if (outbox.full) {
        losses.add('overflow', 1, 'too many exchanges wait for the disk');
        if (bodies.length > 0) outbox.drop(exchange.id);
        return committed();
      }
      for (const tap of bodies) outbox.body(bodyKey(exchange.id, tap.side), tap.size, tap.cut);
      if (exchange.fault !== null) outbox.fault(exchange.id, exchange.fault);
      const row = exchangeRow(exchange, ++seq);
      if (options.durability !== 'async') return outbox.exchange(exchange.id, row, committed, taps.size === 0);
      outbox.exchange(exchange.id, row, null, false);
      committed();
    },
    drop(exchange) {
      if (endTaps(exchange).length > 0 && over === null) outbox.drop(exchange);
    },
    ready(go) {
      if (over !== null || ring.used() < RING_READY_BYTES) return true;
      outbox.whenReady(go);
      return false;
    },
    async close() {
      if (over === null) {
        outbox.flush();
        over = 'the capture is closed';
        deriver.mayEnd();
        const message: ToWriter = { type: 'close' };
        writer.postMessage(message);
      }
      const timer = setTimeout(() => writerEnded(`the writer did not end within ${CLOSE_MS} ms`), CLOSE_MS);
      await ended.promise;
      clearTimeout(timer);
      await deriver.stop();
      writer.removeAllListeners();
      await writer.terminate();
      outbox.abandon();
    },
  };
}
