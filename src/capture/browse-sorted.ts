import type { Database } from 'better-sqlite3';
import { type Found, scanKeys } from './browse-scan.ts';
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

/** Lists in another order than that of time: the first page costs a look at every row and a sort, later pages nothing. */
export function createSortedLists(db: Database): SortedLists {
  const remembered = new Map<string, Sorted>();

  function* sorted(request: PageRequest<BrowsedList>, by: SortBy): Generator<undefined, Sorted> {
    const { list, filter = null, run = null } = request;
    const key = KEYS[list][by];
    if (key === undefined) throw new RangeError(`a ${list} is not sorted by ${String(by)}`);
    const name = JSON.stringify([list, filter, run, by]);
    const version = Number(db.pragma('data_version', { simple: true }));
    const known = remembered.get(name);
    // A walk goes on in the list that it began in; from its beginning, what is new is looked at.
    const walking = request.after != null || (request.before !== undefined && request.before !== 'end');
    if (known !== undefined && (known.version === version || walking)) return known;
    // Exchanges never change once they are there; runs and connections do, and are fewer.
    const made = yield* extended(request, key, list === 'exchange' ? (known ?? null) : null, version);
    remembered.delete(name);
    remembered.set(name, made);
    for (const oldest of remembered.keys()) if (remembered.size > REMEMBERED) remembered.delete(oldest);
    return made;
  }

  function* extended(
    request: PageRequest<BrowsedList>,
    key: string,
    known: Sorted | null,
    version: number,
  ): Generator<undefined, Sorted> {
    let ids = known?.ids.slice(0, known.length) ?? new Float64Array(0);
    let keys = known?.keys.slice(0, known.length) ?? new Float64Array(0);
    let length = known?.length ?? 0;
    let lastId = known?.lastId ?? 0;
    yield* scanKeys(db, request, key, lastId + 1, (id, value) => {
      if (length >= MAX_ROWS) return;
      if (length === ids.length) {
        ids = grown(ids);
        keys = grown(keys);
      }
      ids[length] = id;
      keys[length++] = value;
      lastId = Math.max(lastId, id);
    });
    return { ...order(ids.subarray(0, length), keys.subarray(0, length)), length, version, lastId };
  }

  return {
    *page(request, by) {
      const list = yield* sorted(request, by);
      return slice(list, request);
    },
  };
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
