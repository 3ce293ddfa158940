import { resolve } from 'node:path';
import type { Severity } from '../src/analysis/findings/finding.ts';
import type { Browser } from '../src/capture/browse.ts';
import type { BrowsedList, BrowsedRows } from '../src/capture/browse-shapes.ts';
import { hidingFor, withoutSecrets } from '../src/capture/hidden-store.ts';
import { isLocked } from '../src/capture/lock.ts';
import { type RunResult, resultOf } from '../src/capture/run-result.ts';
import type { RunRow, Store } from '../src/capture/store.ts';
import type { Hiding } from '../src/decode/secrets.ts';
import type { Pages } from './window.ts';

/**
 * What the screens read: the store, in pages. Nothing here holds more than some pages of rows, so a capture of a million exchanges opens
 * as fast as one of ten. The UI never writes a capture, and what is secret in decoded rows is hidden.
 */
export interface Source {
  readonly store: Store;
  /** A list in the order of time. */
  pages<List extends BrowsedList>(list: List, newestFirst: boolean): Pages<BrowsedRows[List]>;
  /** A row as it is now. */
  row<List extends BrowsedList>(list: List, id: number): BrowsedRows[List] | null;
  /** How a run went. Remembered until the capture grows, because lists ask for it with every frame. */
  result(run: RunRow): RunResult;
  /** Findings of a run by severity; none while it is not judged. Remembered like the result. */
  findings(run: RunRow): ReadonlyMap<Severity, number>;
  /** Forgets what was not final: the capture has grown. */
  grown(): void;
  /** What hides the secrets of a run's bodies; `null` for an exchange of no run. */
  hiding(run: number | null): Hiding;
  /** Reads sorted and filtered lists in a thread of its own. */
  browser(): Browser;
  /** Ends that thread; the store stays open. */
  close(): Promise<void>;
  /** A proxy has the capture open. */
  isLive(): boolean;
  /** The proxy is gone, and has not closed the capture. */
  isCutOff(): boolean;
}

/** Runs whose result is remembered: several screens full. */
const REMEMBERED = 5000;

export function createSource(whole: Store): Source {
  const store = withoutSecrets(whole);
  /** Runs of which more may become known as the capture grows. */
  const unsettled = new Set<number>();
  const settled = new Set<number>();
  function remembered<T>(known: Map<number, T>, run: RunRow, read: () => T): T {
    const before = known.get(run.id);
    if (before !== undefined) return before;
    // Asked before it is read: what comes meanwhile is read the next time.
    if (!settled.has(run.id) && !unsettled.has(run.id)) (isSettled(whole, run) ? settled : unsettled).add(run.id);
    const value = read();
    if (known.size >= REMEMBERED) known.clear();
    known.set(run.id, value);
    return value;
  }
  const readers: Readers = {
    run: { list: place => store.runs(place), row: id => store.run(id) },
    exchange: { list: place => store.exchanges(place), row: id => store.exchange(id) },
    connection: { list: place => store.connections(place), row: id => store.connection(id) },
  };
  const file = resolve(store.file);
  const isOpen = (): boolean => store.recordings().at(-1)?.endedAt === null;
  let browser: Browser | null = null;
  let closed = false;
  const results = new Map<number, RunResult>();
  const found = new Map<number, ReadonlyMap<Severity, number>>();
  return {
    store,
    pages: (list, newestFirst) =>
      pagesOf((place, limit, reverse) => readers[list].list({ ...place, limit, reverse }), newestFirst),
    row: (list, id) => readers[list].row(id),
    result: run => remembered(results, run, () => resultOf(whole, run)), // words of ours, in which nothing can be hidden
    findings: run =>
      remembered(found, run, () => {
        const counts = new Map<Severity, number>();
        if (run.end === null) return counts; // judged when it has ended
        for (const { severity } of whole.findings({ run: run.id })) counts.set(severity, (counts.get(severity) ?? 0) + 1);
        return counts;
      }),
    grown() {
      for (const id of unsettled) {
        results.delete(id);
        found.delete(id);
      }
      unsettled.clear();
    },
    hiding: hidingFor(whole),
    browser() {
      // What was wanted before the end must not begin a thread after it, which would keep the process.
      if (closed) throw new Error('the screens have ended');
      browser ??= whole.browse();
      return browser;
    },
    async close() {
      closed = true;
      await browser?.close();
    },
    isLive: () => isOpen() && isLocked(file) !== false,
    isCutOff: () => isOpen() && isLocked(file) === false,
  };
}

/** Nothing more is to come of a run: it is over, and all of it is decoded and judged. */
export function isSettled(store: Store, run: RunRow): boolean {
  return run.end !== null && store.decoded.behind({ run: run.id }) === 0 && store.isJudged(run.id);
}

interface Place {
  after?: number;
  before?: number;
  limit: number;
  reverse: boolean;
}

type Readers = {
  readonly [List in BrowsedList]: { list(place: Place): Iterable<BrowsedRows[List]>; row(id: number): BrowsedRows[List] | null };
};

/** Pages of a list by id, in one order or the other. */
function pagesOf<Row extends { id: number }>(
  read: (place: { after?: number; before?: number }, limit: number, reverse: boolean) => Iterable<Row>,
  newestFirst: boolean,
): Pages<Row> {
  const up = (key: number | null, limit: number): Row[] => [...read(key === null ? {} : { after: key }, limit, false)];
  const down = (key: number | null, limit: number): Row[] => [...read(key === null ? {} : { before: key }, limit, true)];
  return {
    key: row => row.id,
    after: newestFirst ? down : up,
    before: (key, limit) => (newestFirst ? up(key, limit) : down(key, limit)).reverse(),
  };
}
