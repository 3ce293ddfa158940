import { setFlagsFromString } from 'node:v8';

/** Body bytes after which buffers are collected: well before V8 would do it, as the heap may double first (`--heap-growing-percent`). */
const COLLECT_BYTES = 8 * 1024 * 1024;

let passedBytes = 0;

/**
 * Counts body bytes that pass through. Their buffers die young, but V8 counts them to the old part of the heap, and collects the whole of it when that
 * has grown, ten times a second under load. A collection of the young generation frees the same buffers in a tenth of the time.
 * Without `--expose-gc`, which `stringtap proxy` starts with, nothing is done.
 */
export function passed(bytes: number): void {
  passedBytes += bytes;
  if (passedBytes < COLLECT_BYTES) return;
  passedBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

/** Many agents come at once: so many pools to the primary were closed within HERD_MS. */
const HERD_POOLS = 100;
const HERD_MS = 20_000;
/** By how many per cent the heap may grow between two collections: as in bin.ts, and while many agents come. */
const GROWTH = 100;
const HERD_GROWTH = 40;

let endedPools = 0;
let looking: NodeJS.Timeout | null = null;

/**
 * Counts pools that were closed. Each leaves some 70 kB in the old part of the heap, with sockets and certificates behind them that V8 does not count. When
 * many agents come at once, the heap would double of that before it is collected, so it is collected earlier then. For ever that would cost large bodies a third more.
 */
export function poolEnded(): void {
  if (globalThis.gc === undefined) return;
  endedPools += 1;
  if (endedPools === HERD_POOLS) setFlagsFromString(`--heap-growing-percent=${HERD_GROWTH}`);
  looking ??= setInterval(() => {
    if (endedPools < HERD_POOLS) {
      setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
      clearInterval(looking!);
      looking = null;
    }
    endedPools = 0;
  }, HERD_MS).unref();
}
