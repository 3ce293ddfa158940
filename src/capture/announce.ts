import type { Run } from '../analysis/runs.ts';

/**
 * Decides when a run that ended is told about. A run that its connections ended may go on: an agent drops an idle connection
 * when it is about to use it again, and connects at once. So it is told after a pause; a report is told at once.
 */
export interface Announcer {
  /** Takes runs that changed, as they are in the file now. @param now ms of a clock that nobody sets */
  changed(runs: readonly Run[], now: number): void;
  /** Runs that are to be told now; all that are over when `last`. */
  due(now: number, last: boolean): Run[];
}

export const PAUSE_MS = 5_000;

/** Runs whose end was told are remembered, so that what they get later does not tell it again. */
const REMEMBERED = 10_000;

export function createAnnouncer(): Announcer {
  const waiting = new Map<number, { run: Run; at: number }>();
  const told = new Map<number, Run['end']>();
  return {
    changed(runs, now) {
      for (const run of runs) {
        const before = waiting.get(run.id);
        waiting.delete(run.id);
        if (run.end === null || told.get(run.id) === run.end) continue;
        const at = run.end === 'connections-closed' ? (before?.at ?? now + PAUSE_MS) : now;
        waiting.set(run.id, { run, at });
      }
    },
    due(now, last) {
      const runs: Run[] = [];
      for (const [id, { run, at }] of waiting) {
        if (at > now && !last) continue;
        waiting.delete(id);
        if (told.size >= REMEMBERED) told.delete(told.keys().next().value ?? 0);
        told.set(id, run.end);
        runs.push(run);
      }
      return runs;
    },
  };
}
