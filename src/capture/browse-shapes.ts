import type { Filter } from '../analysis/filter.ts';
import type { GroupTimes, TimesBy, TimesGroup, TimesSort } from '../analysis/times.ts';
import type { ConnectionRow, ExchangeRow, RunRow } from './shapes.ts';

/** The lists that are long enough to need a thread. */
export interface BrowsedRows {
  exchange: ExchangeRow;
  run: RunRow;
  connection: ConnectionRow;
}
export type BrowsedList = keyof BrowsedRows;

/**
 * What a list can be sorted by. `time` is the order of the ids, and costs nothing; any other has to look at every row once, and is then
 * remembered. `duration` in ms, `bytes` of both directions, `failed` and `exchanges` as the row has them.
 */
export const SORTS = {
  exchange: ['time', 'duration', 'bytes', 'status'],
  run: ['time', 'duration', 'bytes', 'exchanges', 'failed'],
  connection: ['time', 'duration', 'bytes', 'exchanges'],
} as const satisfies Record<BrowsedList, readonly string[]>;
export type SortBy = (typeof SORTS)[BrowsedList][number];

/** A place in a sorted list: of rows with the same key the id decides. For `time` both are the id. */
export interface Cursor {
  key: number;
  id: number;
}

/** Which rows, and in which order. */
export interface Listed<List extends BrowsedList> {
  list: List;
  filter?: Filter | null;
  /** Only of this run; of connections those that it used. */
  run?: number;
  /** Only exchanges that are in each of these groups. */
  groups?: readonly TimesGroup[];
  /** Default: by time, oldest first. */
  sort?: { by: (typeof SORTS)[List][number]; descending: boolean };
}

/** A page of a list: the rows that follow `after`, or those just before `before`; without both the beginning. */
export interface PageRequest<List extends BrowsedList> extends Listed<List> {
  after?: Cursor | null;
  /** `'end'`: the last rows of the list. */
  before?: Cursor | 'end';
  /** In place of `after` or `before`: the place of a row by its id, wherever that is in the list by now. */
  fromRow?: { id: number; to: 'after' | 'before' };
  /** 1 to 1,000. */
  limit: number;
  /**
   * When rows are rare, the page comes after so many milliseconds with what was found; default 60. Not for sorts that have to see all
   * rows.
   */
  budgetMs?: number;
}

export interface Page<Row> {
  /** In the order of the list. */
  rows: Row[];
  /** Places of the first and the last row. */
  first: Cursor | null;
  last: Cursor | null;
  /** How far was looked, in the direction of the request: where to go on, also when no row was found. `null` at the end of the list. */
  reached: Cursor | null;
}

/** How far a count is: rows that were found (of times none), and the part of the list that was looked at, 0 to 1. */
export interface CountSoFar {
  count: number;
  part: number;
}

/** Whose times are wanted, and which groups of them come first. */
export interface TimesRequest extends Pick<Listed<'exchange'>, 'filter' | 'run' | 'groups'> {
  by: TimesBy;
  sort: TimesSort;
  /** Groups that are told. */
  limit: number;
}

/** `groups`, `requests` and `totalMs` are those of all groups. */
export interface TimesAnswer {
  rows: GroupTimes[];
  groups: number;
  requests: number;
  totalMs: number;
}

/** To the thread. The request is checked there. */
export type ToBrowser =
  | { type: 'page'; job: number; request: PageRequest<BrowsedList> }
  | { type: 'count'; job: number; request: Listed<BrowsedList> }
  | { type: 'times'; job: number; request: TimesRequest }
  | { type: 'cancel'; job: number };

/** From the thread. */
export type FromBrowser =
  | { type: 'page'; job: number; page: Page<BrowsedRows[BrowsedList]> }
  | { type: 'counting'; job: number; soFar: CountSoFar }
  | { type: 'counted'; job: number; count: number }
  | { type: 'timed'; job: number; times: TimesAnswer }
  | { type: 'failed'; job: number; message: string; hint: string | null };

/**
 * `slots`: a job writes its number into its slot to be stopped in the middle of a statement, where no message arrives; see
 * {@link stopSlot}.
 */
export interface BrowserData {
  file: string;
  slots: SharedArrayBuffer;
}

export const STOP_SLOTS = 64;

export function stopSlot(job: number): number {
  return job % STOP_SLOTS;
}
