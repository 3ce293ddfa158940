import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type {
  BrowsedList,
  BrowsedRows,
  BrowserData,
  CountSoFar,
  FromBrowser,
  Listed,
  Page,
  PageRequest,
  TimesAnswer,
  TimesRequest,
  ToBrowser,
} from './browse-shapes.ts';
import { STOP_SLOTS, stopSlot } from './browse-shapes.ts';
import { CaptureError } from './errors.ts';

/**
 * Reads lists of a capture in a thread of its own, so that a filter over a million exchanges never holds up who asks. Every method
 * rejects with {@link CaptureError} when the file cannot be read, and with the signal's reason once it is aborted; what is asked for
 * then ends within some milliseconds.
 */
export interface Browser {
  page<List extends BrowsedList>(request: PageRequest<List>, signal?: AbortSignal): Promise<Page<BrowsedRows[List]>>;
  /** @param onProgress called some 30 times a second */
  count(request: Listed<BrowsedList>, onProgress?: (soFar: CountSoFar) => void, signal?: AbortSignal): Promise<number>;
  /** Percentiles by group. @param onProgress as of {@link count} */
  times(request: TimesRequest, onProgress?: (soFar: CountSoFar) => void, signal?: AbortSignal): Promise<TimesAnswer>;
  /** Ends the thread; what was asked for and not answered is rejected. */
  close(): Promise<void>;
}

interface Waiting {
  done(value: unknown): void;
  failed(error: unknown): void;
  progress(soFar: CountSoFar): void;
}

/**
 * The thread starts with the first request, and again after one that died of it.
 *
 * @param file of a store that is open: the capture is up to date
 */
export function openBrowser(file: string): Browser {
  const shared = new SharedArrayBuffer(STOP_SLOTS * Int32Array.BYTES_PER_ELEMENT);
  const slots = new Int32Array(shared);
  const waiting = new Map<number, Waiting>();
  let thread: Worker | null = null;
  let last = 0;
  let closed = false;

  function start(): Worker {
    const workerData: BrowserData = { file, slots: shared };
    const url = new URL(`./browse-thread${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(url, { workerData, name: 'stringtap-browser' });
    let detail = 'it ended';
    worker.on('message', receive);
    worker.on('error', error => {
      detail = error.message;
    });
    worker.on('exit', () => {
      if (thread === worker) thread = null;
      failAll(new CaptureError(`the thread that reads ${file} failed: ${detail}`));
    });
    return worker;
  }

  function receive(message: FromBrowser): void {
    const asked = waiting.get(message.job);
    if (asked === undefined) return; // cancelled while its answer was on the way
    if (message.type === 'counting') {
      asked.progress(message.soFar);
      return;
    }
    waiting.delete(message.job);
    if (message.type === 'failed') asked.failed(new CaptureError(message.message, message.hint));
    else asked.done(answerIn(message));
  }

  function failAll(error: unknown): void {
    const asked = [...waiting.values()];
    waiting.clear();
    for (const { failed } of asked) failed(error);
  }

  function ask<T>(
    message: (job: number) => ToBrowser,
    signal?: AbortSignal,
    onProgress?: (soFar: CountSoFar) => void,
  ): Promise<T> {
    if (closed) return Promise.reject(new CaptureError('the capture is closed'));
    if (signal?.aborted) return Promise.reject(signal.reason);
    thread ??= start();
    const job = ++last;
    return new Promise<T>((resolve, reject) => {
      const cancel = (): void => {
        if (!waiting.delete(job)) return;
        Atomics.store(slots, stopSlot(job), job);
        thread?.postMessage({ type: 'cancel', job } satisfies ToBrowser);
        reject(signal?.reason);
      };
      const settle = (): void => signal?.removeEventListener('abort', cancel);
      waiting.set(job, {
        done(value) {
          settle();
          resolve(value as T);
        },
        failed(error) {
          settle();
          reject(error);
        },
        progress: soFar => onProgress?.(soFar),
      });
      signal?.addEventListener('abort', cancel, { once: true });
      thread?.postMessage(message(job));
    });
  }

  return {
    page: (request, signal) => ask(job => ({ type: 'page', job, request }), signal),
    count: (request, onProgress, signal) => ask(job => ({ type: 'count', job, request }), signal, onProgress),
    times: (request, onProgress, signal) => ask(job => ({ type: 'times', job, request }), signal, onProgress),
    async close() {
      closed = true;
      const ending = thread?.terminate();
      failAll(new CaptureError('the capture is closed'));
      await ending;
    },
  };
}

function answerIn(message: Exclude<FromBrowser, { type: 'counting' | 'failed' }>): unknown {
  switch (message.type) {
    case 'page':
      return message.page;
    case 'counted':
      return message.count;
    case 'timed':
      return message.times;
  }
}
