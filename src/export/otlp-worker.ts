import { parentPort, workerData } from 'node:worker_threads';
import { openStore } from '../capture/store.ts';
import type { FromLive, LiveData, ToLive } from './otlp-live.ts';
import { openMetrics } from './otlp-metrics.ts';
import { openSender } from './otlp-send.ts';
import { select } from './selection.ts';
import { type TraceSpan, traceOf } from './trace.ts';

/** The thread behind `proxy --otlp`: run by run, it reads what was captured and sends it. */

/** A run that ended is read a little later: its last connections are closing, and its report may be in the next transaction. */
const SETTLE_MS = 500;
/** For one request, retries included. */
const TIMEOUT_MS = 4000;

/** Runs that are remembered as counted. */
const REMEMBERED = 10_000;

const data = workerData as LiveData;
const port = parentPort!;
const sender = openSender(data.url, data.version, TIMEOUT_MS);
const metrics = openMetrics(data.url, data.version, TIMEOUT_MS);
/** A run that goes on after its end is told again: its trace is sent anew, its figures are not. */
const counted = new Set<number>();
const queue: { id: number; at: number }[] = [];
let closing = false;
let busy = false;
let failing = false;

const say = (message: FromLive): void => port.postMessage(message);

function spansOf(id: number): TraceSpan[] {
  const store = openStore(data.file);
  try {
    const run = store.run(id);
    return run === null ? [] : traceOf(select(store, [run], false), run);
  } finally {
    store.close();
  }
}

async function send(id: number): Promise<void> {
  try {
    const spans = spansOf(id);
    if (!counted.has(id)) metrics.record(spans);
    counted.add(id);
    if (counted.size > REMEMBERED) counted.delete(counted.values().next().value ?? 0);
    await sender.send(spans);
    if (failing) say({ type: 'notice', text: 'OTLP: the collector takes runs again' });
    failing = false;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    if (!failing) say({ type: 'notice', text: `OTLP: run r${id} was not sent (${reason}); others are tried` });
    failing = true;
  }
  say({ type: 'done' });
}

async function work(): Promise<void> {
  if (busy) return;
  busy = true;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const wait = closing ? 0 : next.at + SETTLE_MS - performance.now();
    if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait));
    await send(next.id);
  }
  busy = false;
  if (closing) await end();
}

async function end(): Promise<void> {
  await Promise.allSettled([sender.close(), metrics.close()]);
  port.close();
}

port.on('message', (message: ToLive) => {
  if (message.type === 'close') closing = true;
  else queue.push({ id: message.id, at: performance.now() });
  void work();
});
