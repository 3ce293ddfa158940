import type { Store } from '../src/capture/store.ts';

/** A new exchange is on the screen within this time, and what drawing it takes. The look itself costs some microseconds. */
const POLL_MS = 60;
/** A capture that grows all the time is looked at less often, but never so seldom that it seems to stand still. */
const SLOWEST_MS = 160;
/** Of a core at most about this part is spent on what others write: the rest is for keys, and for the proxy. */
const SHARE = 0.12;

/** What is open takes longer and longer, and a proxy that was killed commits nothing: while one writes, it is looked at this often at least. */
const TICK_MS = 1000;

/**
 * Calls `changed` when something was committed to the capture, and now and then while `isLive` says that a proxy writes it. The result
 * ends it.
 */
export function followCapture(store: Pick<Store, 'version'>, changed: () => void, isLive: () => boolean): () => void {
  let told = performance.now();
  let version = store.version();
  let timer: NodeJS.Timeout;
  let spent = process.cpuUsage();
  const look = (): void => {
    // Since the look before: reading, drawing and writing the frame, which all happen after `changed` has returned.
    const { user, system } = process.cpuUsage(spent);
    spent = process.cpuUsage();
    const now = versionOf(store, version);
    if (now !== version || (performance.now() - told >= TICK_MS && isLive())) {
      version = now;
      told = performance.now();
      changed();
    }
    const wait = (user + system) / 1000 / SHARE;
    timer = setTimeout(look, Math.min(SLOWEST_MS, Math.max(POLL_MS, wait)));
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
