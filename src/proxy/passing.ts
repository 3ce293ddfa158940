/** Body bytes after which buffers are collected: some 35 MB of them by then, well below V8's limit of 64 MB. */
const COLLECT_BYTES = 8 * 1024 * 1024;

let passedBytes = 0;

/**
 * Counts body bytes that pass through. Their buffers die young, but V8 counts them against a limit, and at that limit collects the whole heap, several
 * times a second under load. A collection of the young generation frees the same buffers in a tenth of the time.
 * Without `--expose-gc`, which `stringtap proxy` starts with, nothing is done.
 */
export function passed(bytes: number): void {
  passedBytes += bytes;
  if (passedBytes < COLLECT_BYTES) return;
  passedBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}
