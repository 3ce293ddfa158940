import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/*
 * Sends each run to a collector when it has ended. A thread of its own reads the capture and talks to the collector: the thread of
 * the traffic posts a number and goes on, whatever becomes of it.
 */

export interface LiveData {
  file: string;
  url: string;
  version: string;
}

export type ToLive = { type: 'run'; id: number } | { type: 'close' };
export type FromLive =
  /** A run is through, sent or not. */
  { type: 'done' } | { type: 'notice'; text: string };

export interface LiveOtlp {
  /** A run ended. Cheap, and never fails. */
  run(id: number): void;
  /** Sends what is left, for some seconds at most. Never rejects. */
  close(): Promise<void>;
}

/** Runs that may wait for the collector; more than these are left out and counted. */
const WAITING = 1000;
/** How long closing waits for the collector. */
const CLOSE_MS = 5000;

/** @param notice words for a person: the collector cannot be reached, runs were left out */
export function openLiveOtlp(data: LiveData, notice: (text: string) => void): LiveOtlp {
  const url = new URL(`./otlp-worker${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(url, { workerData: data, name: 'stringtap-otlp' });
  const ended = Promise.withResolvers<void>();
  let waiting = 0;
  let leftOut = 0;
  let over = false;
  worker.on('message', (message: FromLive) => {
    if (message.type === 'done') waiting -= 1;
    else notice(message.text);
  });
  worker.on('error', error => notice(`OTLP: the exporter failed (${error.message}); no more runs are sent`));
  worker.on('exit', () => {
    over = true;
    ended.resolve();
  });
  worker.unref();
  return {
    run(id) {
      if (over) return;
      if (waiting >= WAITING) {
        if (leftOut++ === 0) notice(`OTLP: ${WAITING} runs wait for the collector; more are left out`);
        return;
      }
      waiting += 1;
      worker.postMessage({ type: 'run', id } satisfies ToLive);
    },
    async close() {
      if (over) return;
      worker.ref();
      worker.postMessage({ type: 'close' } satisfies ToLive);
      const timer = setTimeout(() => void worker.terminate(), CLOSE_MS);
      await ended.promise;
      clearTimeout(timer);
      if (leftOut > 0) notice(`OTLP: ${leftOut} runs were left out`);
    },
  };
}
