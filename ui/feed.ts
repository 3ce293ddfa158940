import type { Store } from '../src/capture/store.ts';

/** A new exchange is on the screen within this time, and what drawing it takes. The look itself costs some microseconds. */
const POLL_MS = 80;
/** Of the time between two refreshes at most this part is spent on them: a busy capture never takes the UI's keys. */
const SHARE = 0.15;

/** Calls `changed` when something was committed to the capture. The result ends it. */
export function followCapture(store: Pick<Store, 'version'>, changed: () => void): () => void {
  let version = store.version();
  let timer: NodeJS.Timeout;
  const look = (): void => {
    let wait = POLL_MS;
    const now = versionOf(store, version);
    if (now !== version) {
      version = now;
      const began = performance.now();
      changed();
      wait = Math.max(POLL_MS, (performance.now() - began) / SHARE);
    }
    timer = setTimeout(look, wait);
  };
  timer = setTimeout(look, POLL_MS);
  return () => clearTimeout(timer);
}

/** A capture that cannot be read for a moment has not changed. */
function versionOf(store: Pick<Store, 'version'>, before: number): number {
  try {
    return store.version();
  } catch {
    return before;
  }
}
