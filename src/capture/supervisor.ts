import { extname } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { type DeriverData, type EndedRuns, THREAD_LIMITS, type ToWriter } from './messages.ts';
import type { RunRow } from './shapes.ts';

/** The decoder thread as the recorder sees it. */
export interface Supervised {
  /** From now on the thread may end: the writer tells it to when everything is folded. */
  mayEnd(): void;
  /** Ends the thread if it has not ended by itself. */
  stop(): Promise<void>;
}

export interface SupervisorHooks {
  onRun(run: RunRow): void;
  /** The thread ended twice: runs are not folded any more while this recording lasts. */
  onGivenUp(detail: string): void;
}

/**
 * Starts the decoder thread and gives the writer its channel. It may fail without harm, for it only reads the capture: it is
 * started again once, and goes on from the watermark in the file. A second end is final, so that a body that kills it cannot do
 * so for ever.
 */
export function superviseDeriver(file: string, writer: Worker, hooks: SupervisorHooks): Supervised {
  let restarts = 1;
  const busy = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  const busyWith = new Float64Array(busy);
  let culprit = 0;
  let ending = false;
  let thread = start();

  function start(): Worker {
    const { port1, port2 } = new MessageChannel();
    const workerData: DeriverData = { file, writer: port1, busy, culprit };
    const url = new URL(`./deriver${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(url, {
      workerData,
      transferList: [port1],
      name: 'stringtap-decoder',
      resourceLimits: THREAD_LIMITS,
    });
    let detail = 'the decoder thread ended';
    worker.on('message', (message: EndedRuns) => {
      for (const run of message.runs) hooks.onRun(run);
    });
    worker.on('error', error => {
      detail = error.message;
    });
    worker.on('exit', () => {
      if (ending) return;
      // A body that ends the thread is passed over by the next one, so it costs none of the restarts.
      const passed = culprit;
      culprit = busyWith[0] ?? 0;
      busyWith[0] = 0;
      if ((culprit !== 0 && culprit !== passed) || restarts-- > 0) thread = start();
      else hooks.onGivenUp(detail);
    });
    const message: ToWriter = { type: 'deriver', port: port2 };
    writer.postMessage(message, [port2]);
    return worker;
  }

  return {
    mayEnd() {
      ending = true;
    },
    async stop() {
      ending = true;
      await thread.terminate();
    },
  };
}
