import type { Browser } from '../src/capture/browse.ts';
import type { BrowsedList, BrowsedRows, Cursor, Listed, Page } from '../src/capture/browse-shapes.ts';
import { type Move, settle, stepOf } from './list.ts';
import type { TaskOf } from './screen.ts';

/**
 * A list that is sorted or filtered: its rows come from a thread, some pages around the cursor. The state says what is missing; the tasks
 * of {@link tasksOf} get it.
 */
export interface Browsed<List extends BrowsedList> {
  readonly request: Listed<List>;
  /** Names the request in the keys of its tasks. */
  readonly name: string;
  readonly rows: readonly BrowsedRows[List][];
  /** The pages that the rows came in: where they begin and end, and how many rows they had. */
  readonly pages: readonly PagePlace[];
  readonly atStart: boolean;
  readonly atEnd: boolean;
  readonly cursor: number;
  readonly top: number;
  /** Entered anew at one of its ends. */
  readonly entering: 'start' | 'end' | null;
  /** The end of the list at which new rows come, when the cursor goes with them. */
  readonly following: 'start' | 'end' | null;
  /** Rows that were counted so far, and the part of the list that was looked at. */
  readonly counted: { readonly count: number; readonly part: number };
  /** Raised when the capture has grown. */
  readonly round: number;
}

export interface PagePlace {
  readonly first: Cursor;
  readonly last: Cursor;
  readonly count: number;
}

const PAGE = 200;
/** Pages that are kept around the cursor. */
const KEPT_PAGES = 8;

export function browse<List extends BrowsedList>(
  request: Listed<List>,
  name: string,
  at: 'start' | 'end' = 'start',
): Browsed<List> {
  return {
    request,
    name,
    rows: [],
    pages: [],
    atStart: false,
    atEnd: false,
    cursor: 0,
    top: 0,
    entering: at,
    following: null,
    counted: { count: 0, part: 0 },
    round: 0,
  };
}

/** A row with the pages before and behind it. */
export interface Around<List extends BrowsedList> {
  readonly row: BrowsedRows[List];
  readonly place: Cursor;
  readonly before: Page<BrowsedRows[List]>;
  readonly after: Page<BrowsedRows[List]>;
}

/** What is around a row, of the list itself: what the row was found by may have asked for more. */
export async function readAround<List extends BrowsedList>(
  request: Listed<List>,
  row: BrowsedRows[List],
  place: Cursor,
  browser: Browser,
  signal: AbortSignal,
): Promise<Around<List>> {
  const after = await browser.page<List>({ ...request, after: place, limit: PAGE }, signal);
  const before = await browser.page<List>({ ...request, before: place, limit: PAGE }, signal);
  return { row, place, before, after };
}

/** The list with the cursor on that row. */
export function browsedAround<List extends BrowsedList>(list: Browsed<List>, found: Around<List>, height: number): Browsed<List> {
  const { row, place, before, after } = found;
  const rows = [...before.rows, row, ...after.rows];
  const pages = [placesOf(before), [{ first: place, last: place, count: 1 }], placesOf(after)].flat();
  const cursor = before.rows.length;
  const at = settle({ cursor, top: cursor - Math.floor(height / 2) }, rows.length, height);
  const ends = { atStart: before.reached === null, atEnd: after.reached === null };
  return { ...list, rows, pages: joined(pages), ...ends, entering: null, following: null, ...at };
}

function placesOf({ first, last, rows }: Page<unknown>): PagePlace[] {
  return first === null || last === null ? [] : [{ first, last, count: rows.length }];
}

export function moveBrowsed<List extends BrowsedList>(list: Browsed<List>, move: Move, height: number): Browsed<List> {
  const { rows } = list;
  if (move === 'top' && !list.atStart) return { ...list, entering: 'start' };
  if (move === 'bottom' && !list.atEnd) return { ...list, entering: 'end' };
  const wanted =
    typeof move === 'object'
      ? move.to
      : move === 'top'
        ? 0
        : move === 'bottom'
          ? rows.length - 1
          : list.cursor + (stepOf(move, height) ?? 0);
  return { ...list, ...settle({ cursor: wanted, top: list.top }, rows.length, height) };
}

/** After the capture has grown: what is beyond the ends of the list is looked for again. */
export function grown<List extends BrowsedList>(list: Browsed<List>): Browsed<List> {
  const sorted = list.request.sort !== undefined && list.request.sort.by !== 'time';
  const next = { ...list, round: list.round + 1, counted: { ...list.counted, part: 0 } };
  // Where a new row goes in a sorted list nobody knows: it is read anew when somebody is at its start.
  if (sorted) return list.top === 0 && list.atStart ? { ...next, entering: 'start' } : next;
  return list.request.sort?.descending === true ? { ...next, atStart: false } : { ...next, atEnd: false };
}

type Want = 'start' | 'end' | 'after' | 'before';

function wanted<List extends BrowsedList>(list: Browsed<List>, height: number): Want | null {
  if (list.entering !== null) return list.entering;
  if (!list.atEnd && list.cursor + 2 * height >= list.rows.length) return 'after';
  if (!list.atStart && list.cursor - 2 * height < 0) return 'before';
  return null;
}

/**
 * What the list lacks: a page, and the count.
 *
 * @param lens where a view keeps the list in its state
 */
export function tasksOf<S, List extends BrowsedList>(
  list: Browsed<List>,
  browser: Browser,
  height: number,
  lens: (state: S, change: (list: Browsed<List>) => Browsed<List>) => S,
): TaskOf<S>[] {
  const want = wanted(list, height);
  const tasks: TaskOf<S>[] = [];
  const ours = (change: (known: Browsed<List>) => Browsed<List>) => (state: S) =>
    lens(state, known => (known.name === list.name ? change(known) : known));
  if (want !== null) {
    const from = want === 'after' ? (list.pages.at(-1)?.last ?? null) : want === 'before' ? (list.pages[0]?.first ?? null) : null;
    tasks.push({
      key: `${list.name} ${want} ${from?.key ?? ''} ${from?.id ?? ''} ${list.round}`,
      async run(signal, update) {
        const page = await pageOf(list, want, from, browser, signal);
        update(ours(known => merged(known, want, page, height)));
      },
    });
  }
  if (list.counted.part < 1) {
    tasks.push({
      key: `${list.name} count ${list.round}`,
      async run(signal, update) {
        const tell = (counted: { count: number; part: number }): void => update(ours(known => ({ ...known, counted })));
        const count = await browser.count(list.request, soFar => tell({ ...soFar, part: Math.min(0.999, soFar.part) }), signal);
        tell({ count, part: 1 });
      },
    });
  }
  return tasks;
}

/** A page with rows, however far apart they are; without any only at the end of the list. */
async function pageOf<List extends BrowsedList>(
  list: Browsed<List>,
  want: Want,
  from: Cursor | null,
  browser: Browser,
  signal: AbortSignal,
): Promise<Page<BrowsedRows[List]>> {
  const back = want === 'end' || want === 'before';
  let place: Cursor | 'end' | null = want === 'end' ? 'end' : from;
  for (;;) {
    const request = {
      ...list.request,
      limit: PAGE,
      ...(back ? { before: place ?? ('end' as const) } : { after: place === 'end' ? null : place }),
    };
    const page = await browser.page<List>(request, signal);
    if (page.rows.length > 0 || page.reached === null) return page;
    place = page.reached;
  }
}

function merged<List extends BrowsedList>(
  list: Browsed<List>,
  want: Want,
  page: Page<BrowsedRows[List]>,
  height: number,
): Browsed<List> {
  const ended = page.reached === null;
  const place = placesOf(page);
  switch (want) {
    case 'start':
    case 'end': {
      const ends = want === 'start' ? { atStart: true, atEnd: ended } : { atStart: ended, atEnd: true };
      const cursor = want === 'start' ? 0 : page.rows.length - 1;
      const at = settle({ cursor, top: cursor }, page.rows.length, height);
      return { ...list, rows: page.rows, pages: place, ...ends, entering: null, ...at };
    }
    case 'after': {
      const rows = [...list.rows, ...page.rows];
      const at = list.following === 'end' ? { cursor: rows.length - 1, top: list.top } : {};
      return withoutStart({ ...list, ...at, rows, pages: joined([...list.pages, ...place]), atEnd: ended }, height);
    }
    case 'before': {
      const by = page.rows.length;
      const at = list.following === 'start' ? { cursor: 0, top: 0 } : { cursor: list.cursor + by, top: list.top + by };
      return withoutEnd({
        ...list,
        ...at,
        rows: [...page.rows, ...list.rows],
        pages: joined([...place, ...list.pages]),
        atStart: ended,
      });
    }
  }
}

/** Rows that come one by one, while the capture grows, are pages as large as others. */
function joined(pages: readonly PagePlace[]): readonly PagePlace[] {
  const all: PagePlace[] = [];
  for (const page of pages) {
    const before = all.at(-1);
    if (before !== undefined && before.count + page.count <= PAGE) {
      all[all.length - 1] = { first: before.first, last: page.last, count: before.count + page.count };
    } else all.push(page);
  }
  return all;
}

/** The first page goes when there are too many, and none of it is on the screen. */
function withoutStart<List extends BrowsedList>(list: Browsed<List>, height: number): Browsed<List> {
  const count = list.pages[0]?.count ?? 0;
  if (list.pages.length <= KEPT_PAGES || list.top < count) {
    return { ...list, ...settle({ cursor: list.cursor, top: list.top }, list.rows.length, height) };
  }
  const place = { cursor: list.cursor - count, top: list.top - count };
  return { ...list, ...place, rows: list.rows.slice(count), pages: list.pages.slice(1), atStart: false };
}

function withoutEnd<List extends BrowsedList>(list: Browsed<List>): Browsed<List> {
  if (list.pages.length <= KEPT_PAGES) return list;
  const count = list.pages.at(-1)?.count ?? 0;
  return { ...list, rows: list.rows.slice(0, list.rows.length - count), pages: list.pages.slice(0, -1), atEnd: false };
}

/** The rows on the screen as they are now: a run that was open may have ended. */
export function reread<List extends BrowsedList>(
  list: Browsed<List>,
  height: number,
  read: (row: BrowsedRows[List]) => BrowsedRows[List] | null,
): Browsed<List> {
  const to = list.top + height;
  return { ...list, rows: list.rows.map((row, i) => (i >= list.top && i < to ? (read(row) ?? row) : row)) };
}

/** `17 of 200`; while it counts, how far it is. */
export function browsedPlace<List extends BrowsedList>(list: Browsed<List>): string {
  const { count, part } = list.counted;
  // What was counted before and is gone on with, as the capture grows, is nearly there.
  const progress = list.round === 0 ? ` (${Math.floor(part * 100)} % looked at)` : '';
  const total = part >= 1 ? `${count}` : `${count}+${progress}`;
  if (list.entering !== null) return `reading  ${total} `;
  const left = list.rows.length - list.cursor - 1;
  if (list.rows.length === 0) return `${total} `;
  if (list.atStart && list.pages.length <= KEPT_PAGES) return `${list.cursor + 1} of ${total} `;
  return list.atEnd ? `${left === 0 ? 'last' : `last but ${left}`} of ${total} ` : `of ${total} `;
}
