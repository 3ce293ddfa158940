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
