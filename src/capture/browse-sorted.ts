import type { Database } from 'better-sqlite3';
import { isSettled, type KnownAnswers } from './browse-known.ts';
import { type Found, scanTop } from './browse-scan.ts';
import type { BrowsedList, Cursor, PageRequest, SortBy } from './browse-shapes.ts';
import { ALIASES } from './filter-sql.ts';

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

/** Rows of a stretch: some seventy pages of a tall terminal, for one look at every row. */
const STRETCH_ROWS = 4_096;

/** Stretches that are remembered, of 16 bytes a row: a megabyte at most, however long the list is. */
const REMEMBERED = 16;

/** Rows next to each other, lowest key first, of equal keys the lowest id. */
interface Stretch {
  name: string;
  ids: Float64Array;
  keys: Float64Array;
  /** All rows between these two places are in it; `null`: from the beginning of the list, to its end. */
  low: Cursor | null;
  high: Cursor | null;
  /** Of the file when it was made, and the last id that was looked at. */
  version: number;
  lastId: number;
}

/** Where a page is, in ascending order: what follows a place, or with `up` false what is before it; without one it is at an end. */
interface Wanted {
  up: boolean;
  place: Cursor | null;
  limit: number;
}

export interface SortedLists {
  /** Where a row is in a list that is sorted; `null`: there is no such row. */
  placeOf(request: PageRequest<BrowsedList>, by: SortBy, id: number): Cursor | null;
  page(request: PageRequest<BrowsedList>, by: SortBy): Generator<undefined, Found>;
}

/**
 * Lists in another order than that of time. Nobody reads such a list to its end, so it is never put in order as a whole: a page costs a look at every row,
 * by which the next thousands are found, too; pages among those cost nothing.
 */
export function createSortedLists(db: Database, answers: KnownAnswers): SortedLists {
  let stretches: Stretch[] = [];
  const versionNow = (): number => Number(db.pragma('data_version', { simple: true }));

  function* scanned(
    request: PageRequest<BrowsedList>,
    name: string,
    key: string,
    { up, place }: Wanted,
  ): Generator<undefined, Stretch> {
    const { list, filter = null } = request;
    const version = versionNow();
    // Of exchanges that never answer otherwise again only those have to be looked at that are new.
    const isExtended = list === 'exchange' && place === null && isSettled(request);
    const before = isExtended ? (stretches.find(stretch => stretch.name === name && isWhole(stretch, up)) ?? null) : null;
    const known = before === null ? [] : rowsOf(before, up);
    const learned = yield* untold(answers.learn(filter, true));
    const from = before === null ? 0 : before.lastId + 1;
    const rows = yield* scanTop(db, request, key, { ascending: up, after: place, limit: STRETCH_ROWS, from, known }, learned);
    const edge = rows.length < STRETCH_ROWS ? null : rows.at(-1)!;
    if (!up) rows.reverse();
    const [low, high] = up ? [place, edge] : [edge, place];
    const ids = Float64Array.from(rows, row => row.id);
    const keys = Float64Array.from(rows, row => row.key);
    const made = { name, ids, keys, low, high, version, lastId: learned.upTo };
    // Who comes back to an end wants to see what is new, and goes on from there.
    const isKept = (old: Stretch): boolean => old.name !== name || (place !== null ? old !== before : old.version === version);
    stretches = [made, ...stretches.filter(isKept)].slice(0, REMEMBERED);
    return made;
  }

  return {
    placeOf({ list }, by, id) {
      const alias = ALIASES[list];
      const sql = `SELECT ${KEYS[list][by] ?? `${alias}.id`} FROM ${list} ${alias} WHERE ${alias}.id = ?`;
      const key = db.prepare<[number], number>(sql).pluck().get(id);
      return key === undefined ? null : { key, id };
    },
    *page(request, by) {
      const { list, filter = null, run = null, groups = [], limit, sort, before, after = null } = request;
      const key = KEYS[list][by];
      if (key === undefined) throw new RangeError(`a ${list} is not sorted by ${String(by)}`);
      const name = JSON.stringify([list, filter, run, groups, by]);
      const descending = sort?.descending === true;
      const backwards = before !== undefined;
      const wanted = { up: descending === backwards, place: backwards ? (before === 'end' ? null : before) : after, limit };
      const version = wanted.place === null ? versionNow() : null;
      const found = stretches.find(
        stretch => stretch.name === name && (version === null || stretch.version === version) && covers(stretch, wanted),
      );
      if (found !== undefined) stretches = [found, ...stretches.filter(stretch => stretch !== found)];
      return slice(found ?? (yield* scanned(request, name, key, wanted)), wanted, descending);
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

/** Whether it begins at the end of the list that pages upwards begin at, or the other one. */
function isAtEnd({ low, high }: Stretch, up: boolean): boolean {
  return (up ? low : high) === null;
}

/** It has all rows that a stretch from this end can have. */
function isWhole(stretch: Stretch, up: boolean): boolean {
  return isAtEnd(stretch, up) && (stretch.ids.length >= STRETCH_ROWS || isAtEnd(stretch, !up));
}

/** In the direction that it was looked for. */
function rowsOf({ ids, keys }: Stretch, up: boolean): Cursor[] {
  const rows = Array.from(ids, (id, n) => ({ id, key: keys[n]! }));
  return up ? rows : rows.reverse();
}

/** The whole page is in it, or all that there is of it. */
function covers(stretch: Stretch, { up, place, limit }: Wanted): boolean {
  if (place === null) {
    return isAtEnd(stretch, up) && (isAtEnd(stretch, !up) || stretch.ids.length >= limit);
  }
  const { low, high } = stretch;
  if ((low !== null && difference(low, place) > 0) || (high !== null && difference(high, place) < 0)) return false;
  const rows = up ? stretch.ids.length - placeOf(stretch, place, true) : placeOf(stretch, place, false);
  return rows >= limit || (up ? high : low) === null;
}

function slice(stretch: Stretch, { up, place, limit }: Wanted, descending: boolean): Found {
  const { ids, keys, low, high } = stretch;
  // The page is the rows from `from` up to `to`, in ascending order.
  const from = up && place !== null ? placeOf(stretch, place, true) : 0;
  const to = up || place === null ? ids.length : placeOf(stretch, place, false);
  const [start, end] = up ? [from, Math.min(to, from + limit)] : [Math.max(from, to - limit), to];
  const page = [...ids.subarray(start, end)];
  const at = (n: number): Cursor | null => (end > start ? { key: keys[n]!, id: ids[n]! } : null);
  const more = up ? end < ids.length || high !== null : start > 0 || low !== null;
  return {
    ids: descending ? page.reverse() : page,
    first: at(descending ? end - 1 : start),
    last: at(descending ? start : end - 1),
    reached: more ? at(up ? end - 1 : start) : null,
  };
}

function difference(a: Cursor, b: Cursor): number {
  return a.key - b.key || a.id - b.id;
}

/** How many rows stand before a place, or with `inclusive` up to it. */
function placeOf({ ids, keys }: Stretch, { key, id }: Cursor, inclusive: boolean): number {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = keys[middle]! - key || ids[middle]! - id;
    if (order < 0 || (inclusive && order === 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}
