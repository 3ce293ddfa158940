import type { Database } from 'better-sqlite3';
import type { KnownAnswers, Learned } from './browse-known.ts';
import { type Found, scanKeys, scanTop } from './browse-scan.ts';
import type { BrowsedList, Cursor, PageRequest, SortBy } from './browse-shapes.ts';

/** What a row is sorted by; never NULL. */
const KEYS: Readonly<Record<BrowsedList, Readonly<Partial<Record<SortBy, string>>>>> = {
  exchange: {
    duration: 'e.end_mono - e.start_mono',
    bytes: 'e.request_bytes + e.response_bytes',
    status: 'coalesce(e.status, 0)',
  },
  run: {
    duration: 'coalesce(r.ended_at - r.started_at, 0)',
    bytes: 'r.request_bytes + r.response_bytes',
    exchanges: 'r.exchanges',
    failed: 'r.failed',
  },
  connection: {
    duration: 'coalesce(c.closed_mono - c.opened_mono, 0)',
    bytes: 'c.bytes_read + c.bytes_written',
    exchanges: 'c.exchanges',
  },
};

/** Sorted lists that are remembered, and rows of one: 12 bytes each. What is beyond is left out, the oldest rows stay. */
const REMEMBERED = 2;
const MAX_ROWS = 4_000_000;

/** Places of rows in arrays, lowest key first, of equal keys the lowest id. */
interface Sorted {
  ids: Float64Array;
  keys: Float64Array;
  length: number;
  /** Of the file when it was made. */
  version: number;
  lastId: number;
}

export interface SortedLists {
  page(request: PageRequest<BrowsedList>, by: SortBy): Generator<undefined, Found>;
}

/**
 * Lists in another order than that of time. The first page costs a look at every row; the second also a sort of all of them; later pages
 * nothing.
 */
export function createSortedLists(db: Database, answers: KnownAnswers): SortedLists {
  const remembered = new Map<string, Sorted>();
  const ends = new Map<string, { rows: Cursor[]; version: number; lastId: number }>();
  const versionNow = (): number => Number(db.pragma('data_version', { simple: true }));

  /** The whole list, as it was when its walk began. */
  function* sorted(request: PageRequest<BrowsedList>, name: string, key: string): Generator<undefined, Sorted> {
    const { list, filter = null } = request;
    const known = remembered.get(name);
    if (known !== undefined && isWalking(request)) return known;
    const version = versionNow();
    if (known?.version === version) return known;
    const learned = yield* untold(answers.learn(filter, true));
    // Exchanges never change once they are there; runs and connections do, and are fewer.
    const made = yield* extended(request, key, list === 'exchange' ? (known ?? null) : null, version, learned);
    keep(remembered, name, made);
    return made;
  }

  /** One end of the list: a look at every row, of exchanges only at those that are new, but nothing is sorted that is not shown. */
  function* end(request: PageRequest<BrowsedList>, name: string, key: string): Generator<undefined, Found> {
    const { list, limit, sort, before, filter = null } = request;
    const backwards = before !== undefined;
    const ascending = (sort?.descending === true) === backwards;
    const endName = JSON.stringify([name, ascending, limit]);
    const version = versionNow();
    let found = ends.get(endName);
    if (found?.version !== version) {
      const learned = yield* untold(answers.learn(filter, true));
      const known = list === 'exchange' ? (found?.rows ?? []) : [];
      const from = list === 'exchange' ? (found?.lastId ?? 0) + 1 : 0;
      const rows = yield* scanTop(db, request, key, { ascending, limit, from, known }, learned);
      found = { rows, version, lastId: learned.upTo };
      keep(ends, endName, found);
    }
    const rows = backwards ? found.rows.toReversed() : found.rows;
    return {
      ids: rows.map(({ id }) => id),
      first: rows[0] ?? null,
      last: rows.at(-1) ?? null,
      reached: rows.length < limit ? null : (found.rows.at(-1) ?? null),
    };
  }

  function* extended(
    request: PageRequest<BrowsedList>,
    key: string,
    known: Sorted | null,
    version: number,
    learned: Learned,
  ): Generator<undefined, Sorted> {
    let ids = known?.ids.slice(0, known.length) ?? new Float64Array(0);
    let keys = known?.keys.slice(0, known.length) ?? new Float64Array(0);
    let length = known?.length ?? 0;
    let lastId = known?.lastId ?? 0;
    yield* scanKeys(
      db,
      request,
      key,
      lastId + 1,
      (id, value) => {
        if (length >= MAX_ROWS) return;
        if (length === ids.length) {
          ids = grown(ids);
          keys = grown(keys);
        }
        ids[length] = id;
        keys[length++] = value;
        lastId = Math.max(lastId, id);
      },
      learned,
    );
    return { ...order(ids.subarray(0, length), keys.subarray(0, length)), length, version, lastId };
  }

  return {
    *page(request, by) {
      const { list, filter = null, run = null } = request;
      const key = KEYS[list][by];
      if (key === undefined) throw new RangeError(`a ${list} is not sorted by ${String(by)}`);
      const name = JSON.stringify([list, filter, run, by]);
      if (!isWalking(request)) return yield* end(request, name, key);
      return slice(yield* sorted(request, name, key), request);
    },
  };
}

/** Only that it goes on. */
function* untold<T>(work: Generator<number, T>): Generator<undefined, T> {
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value;
    yield;
  }
}

/** It goes on from a place. */
function isWalking({ after, before }: PageRequest<BrowsedList>): boolean {
  return after != null || (before !== undefined && before !== 'end');
}

/** Remembers the newest few. */
function keep<T>(all: Map<string, T>, name: string, value: T): void {
  all.delete(name);
  all.set(name, value);
  for (const oldest of all.keys()) if (all.size > REMEMBERED) all.delete(oldest);
}

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.max(1_024, array.length * 2));
  larger.set(array);
  return larger;
}

function order(ids: Float64Array, keys: Float64Array): { ids: Float64Array; keys: Float64Array } {
  const places = Uint32Array.from(ids.keys()).sort((a, b) => keys[a]! - keys[b]! || ids[a]! - ids[b]!);
  const sortedIds = new Float64Array(ids.length);
  const sortedKeys = new Float64Array(ids.length);
  places.forEach((place, n) => {
    sortedIds[n] = ids[place]!;
    sortedKeys[n] = keys[place]!;
  });
  return { ids: sortedIds, keys: sortedKeys };
}

function slice(list: Sorted, { after, before, limit, sort }: PageRequest<BrowsedList>): Found {
  const descending = sort?.descending === true;
  const backwards = before !== undefined;
  const up = descending === backwards;
  const cursor = backwards ? (before === 'end' ? null : before) : (after ?? null);
  // The page is the rows from `from` up to `to`, in ascending order.
  const from = up && cursor !== null ? placeOf(list, cursor, true) : 0;
  const to = up || cursor === null ? list.length : placeOf(list, cursor, false);
  const [start, end] = up ? [from, Math.min(to, from + limit)] : [Math.max(from, to - limit), to];
  const ids = [...list.ids.subarray(start, end)];
  const at = (place: number): Cursor | null => (end > start ? { key: list.keys[place]!, id: list.ids[place]! } : null);
  const more = up ? end < list.length : start > 0;
  return {
    ids: descending ? ids.reverse() : ids,
    first: at(descending ? end - 1 : start),
    last: at(descending ? start : end - 1),
    reached: more ? at(up ? end - 1 : start) : null,
  };
}

/** How many rows stand before a place, or with `inclusive` up to it. */
function placeOf({ ids, keys, length }: Sorted, { key, id }: Cursor, inclusive: boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const difference = keys[middle]! - key || ids[middle]! - id;
    if (difference < 0 || (inclusive && difference === 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}
