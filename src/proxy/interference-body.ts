import type { Answering } from './attempt.ts';
import { mono } from './tracking.ts';

/** How often a slow answer goes on. */
const TICK_MS = 100;
/** Most that waits of one: what the primary sent, and the pace does not let through yet. */
const MAX_WAITING_BYTES = 1024 * 1024;

/**
 * Passes an answer on up to so many bytes of its body.
 * @param onCut there was a byte more
 */
export function cutAnswer(to: Answering, bytes: number, onCut: () => void): Answering {
  let left = bytes;
  let isCut = false;
  return {
    ...passedOn(to),
    onData(chunk) {
      if (isCut) return true;
      const part = chunk.subarray(0, left);
      left -= part.length;
      const more = part.length === 0 || to.onData(part);
      if (part.length === chunk.length) return more;
      isCut = true;
      onCut();
      return true;
    },
  };
}

/** An answer whose body passes at a pace. */
export interface SlowAnswer extends Answering {
  /** The agent can take more. @returns whether the primary may go on */
  drained(): boolean;
  /** What is left goes as fast as it can. */
  hurry(): void;
  /** Nothing goes any more. */
  stop(): void;
}

/** @param resume lets the primary go on */
export function slowAnswer(to: Answering, bytesPerSecond: number, resume: () => void): SlowAnswer {
  const limit = Math.min(MAX_WAITING_BYTES, Math.max(1, bytesPerSecond));
  let pace = bytesPerSecond / 1000;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  /** What comes after the body. */
  let last: (() => void) | null = null;
  let isHeld = false;
  let isAgentFull = false;
  let timer: NodeJS.Timeout | null = null;
  let allowed = 0;
  let lastMono = 0;

  function start(): void {
    if (timer !== null) return;
    lastMono = mono();
    timer = setInterval(tick, TICK_MS);
  }

  function stop(): void {
    if (timer !== null) clearInterval(timer);
    timer = null;
  }

  function tick(): void {
    const now = mono();
    // An agent that takes less does not save up for later.
    allowed = Math.min(allowed + (now - lastMono) * pace, Math.max(1, pace * 1000));
    lastMono = now;
    go();
  }

  function go(): void {
    while (waiting.length > 0 && allowed >= 1 && !isAgentFull) {
      const chunk = waiting[0]!;
      const part = chunk.subarray(0, Math.floor(Math.min(allowed, chunk.length)));
      if (part.length === chunk.length) waiting.shift();
      else waiting[0] = chunk.subarray(part.length);
      waitingBytes -= part.length;
      allowed -= part.length;
      isAgentFull = !to.onData(part);
    }
    if (waiting.length === 0) {
      stop();
      if (last !== null) {
        const end = last;
        last = null;
        end();
      }
    }
    if (isHeld && waitingBytes < limit && !isAgentFull) {
      isHeld = false;
      resume();
    }
  }

  function end(by: () => void): void {
    last = by;
    if (waiting.length === 0) go();
  }

  return {
    ...passedOn(to),
    onData(chunk) {
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (pace === Number.POSITIVE_INFINITY) go();
      else start();
      isHeld = waitingBytes >= limit || isAgentFull;
      return !isHeld;
    },
    onEnd: trailers => end(() => to.onEnd(trailers)),
    // A turn later: what came in the same turn as a failure goes no further.
    onFailure: failure => end(() => void setImmediate(() => to.onFailure(failure))),
    drained() {
      isAgentFull = false;
      if (waiting.length === 0 || pace === Number.POSITIVE_INFINITY) go();
      return false; // it is told when it may
    },
    hurry() {
      stop();
      pace = Number.POSITIVE_INFINITY;
      allowed = Number.POSITIVE_INFINITY;
      go();
    },
    stop() {
      stop();
      waiting = [];
      waitingBytes = 0;
      last = null;
    },
  };
}

/** Passes everything on. */
export function passedOn(to: Answering): Answering {
  return {
    onReady: (use, resent) => to.onReady(use, resent),
    onInformation: (status, fields) => to.onInformation(status, fields),
    onHead: head => to.onHead(head),
    onData: chunk => to.onData(chunk),
    onEnd: trailers => to.onEnd(trailers),
    onFailure: failure => to.onFailure(failure),
  };
}
