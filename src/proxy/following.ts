import type { Places, Primaries } from './primaries.ts';
import { mono } from './tracking.ts';

/** How often SRV records are asked for: agents do it at each run, and Node does not tell how long an answer is good for. */
const ASK_EVERY_MS = 60_000;
/** After a primary could not be reached they are asked for at once, and its standbys are tried, but not more often than this. */
const FAILED_EVERY_MS = 10_000;

export interface FollowingOptions {
  primaries: Primaries;
  /** Asks for the records. Rejects when there are none, or DNS does not answer. */
  ask(): Promise<Places>;
  onNotice(line: string): void;
  /** Another primary is the first, or one was added. */
  onChanged(): void;
  /** Default {@link ASK_EVERY_MS}. */
  everyMs?: number;
}

/** Keeps a proxy that runs for long at the places that SRV records name. */
export interface Following {
  /** A primary could not be reached. */
  failed(): void;
  stop(): void;
}

/** What cannot be asked, or does not answer, changes nothing: the places of before stay. */
export function followRecords(options: FollowingOptions): Following {
  const { primaries, ask, onNotice, onChanged, everyMs = ASK_EVERY_MS } = options;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let isLooking = false;
  let isStopped = false;
  /** Said once, until it goes again. */
  let said: string | null = null;

  async function look(isFailing: boolean): Promise<void> {
    if (isLooking || isStopped) return;
    isLooking = true;
    lookedAt = mono();
    const asked = await ask().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    try {
      const places = asked instanceof Error ? null : asked;
      if (await primaries.follow(places, isFailing)) onChanged();
      note(asked instanceof Error ? `${asked.message}; the places that are known stay` : null);
    } catch (error) {
      note(error instanceof Error ? error.message : String(error));
    } finally {
      isLooking = false;
    }
  }

  function note(line: string | null): void {
    if (line !== null && line !== said && !isStopped) onNotice(line);
    said = line;
  }

  const timer = setInterval(() => void look(false), everyMs).unref();
  return {
    failed() {
      if (mono() - lookedAt >= Math.min(FAILED_EVERY_MS, everyMs)) void look(true);
    },
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
