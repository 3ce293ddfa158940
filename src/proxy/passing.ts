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

/** Pools to the primary after whose end the whole heap is collected. */
const COLLECT_POOLS = 200;

let endedPools = 0;

/**
 * Counts pools that were closed. Each leaves some 70 kB in the old part of the heap, with sockets and certificates behind them that V8 does not count: when
 * many agents come at once, that would double the heap before V8 collects it, with longer pauses. Done by itself it takes as long for less.
 */
export function poolEnded(): void {
  endedPools += 1;
  if (endedPools < COLLECT_POOLS) return;
  endedPools = 0;
  void globalThis.gc?.({ type: 'major', execution: 'async' });
}
