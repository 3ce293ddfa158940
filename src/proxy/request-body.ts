import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { passed } from './passing.ts';
import type { SendableBody } from './upstream.ts';

/** Most that is kept of one body in case it must be sent again. Catalog requests with facts are 15 to 250 kB. */
const RETAIN_BYTES = 1024 * 1024;
/** Most that is kept of all bodies together; beyond it bodies are sent once only. */
const RETAIN_TOTAL_BYTES = 32 * 1024 * 1024;

let retainedTotal = 0;

/** The body of an agent's request on its way to the primary. */
export interface RequestBody extends SendableBody {
  /** Reads on before anybody sends it, as far as it is kept. */
  readAhead(): void;
  /** Reads it to its end, though nobody will send it, at the pace of who copies it. */
  discard(): void;
  /** Nothing more will be sent: lets go of what is kept, and lets the rest of the request flow by unread. */
  release(): void;
}

export interface RequestBodyHooks {
  /** Sees each chunk once, in order. */
  onChunk(chunk: Buffer): void;
  /** The last byte has arrived. */
  onEnd(): void;
  /** Whether more may come; `go` is called once when it may again. */
  ready(go: () => void): boolean;
}

/** Streams a request body with back-pressure, and keeps its beginning so that it can be sent again on another connection. */
export function requestBody(request: IncomingMessage, hooks: RequestBodyHooks): RequestBody {
  let retained: Buffer[] | null = [];
  let retainedBytes = 0;
  let ended = false;
  let failed: Error | null = null;
  let target: Readable | null = null;
  /** The primary can take no more for now. */
  let targetIsFull = false;
  /** Nor can what copies the body. */
  let held = false;
  let released = false;
  /** It is read though nobody sends it yet. */
  let isAhead = false;

  const forget = (): void => {
    retainedTotal -= retainedBytes;
    retainedBytes = 0;
    retained = null;
  };
  request.on('data', (chunk: Buffer) => {
    hooks.onChunk(chunk);
    passed(chunk.length);
    if (retained) {
      if (retainedBytes + chunk.length > RETAIN_BYTES || retainedTotal + chunk.length > RETAIN_TOTAL_BYTES) forget();
      else {
        retained.push(chunk);
        retainedBytes += chunk.length;
        retainedTotal += chunk.length;
      }
    }
    if (target && !target.push(chunk)) targetIsFull = true;
    // Nobody sends it yet: what is kept is all that may come.
    if (isAhead && (retainedBytes > RETAIN_BYTES / 2 || retainedTotal > RETAIN_TOTAL_BYTES / 2)) targetIsFull = true;
    hold();
    if (targetIsFull || held) request.pause();
  });
  request.once('end', () => {
    ended = true;
    hooks.onEnd();
    target?.push(null);
  });
  request.once('error', error => {
    failed = error;
    target?.destroy(error);
  });
  request.pause();

  function resume(): void {
    if (!ended && !targetIsFull && !held) request.resume();
  }

  function hold(): void {
    if (held || released) return;
    held = true;
    const isReady = hooks.ready(() => {
      held = false;
      resume();
    });
    if (isReady) held = false;
  }

  return {
    open() {
      isAhead = false;
      const stream = new Readable({
        read() {
          targetIsFull = false;
          resume();
        },
      });
      target = stream;
      targetIsFull = true; // until it is read
      for (const chunk of retained ?? []) stream.push(chunk);
      if (ended) stream.push(null);
      if (failed) stream.destroy(failed);
      return stream;
    },
    resendable: () => retained !== null,
    readAhead() {
      isAhead = true;
      resume();
    },
    discard() {
      isAhead = false;
      forget();
      targetIsFull = false;
      resume();
    },
    release() {
      isAhead = false;
      target = null;
      targetIsFull = false;
      held = false;
      released = true;
      forget();
      request.resume();
    },
  };
}
