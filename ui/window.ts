import { type Move, settle, stepOf } from './list.ts';

/**
 * A list that is never loaded whole: some rows around the cursor, by key. Going on reads the next page behind the last key, which costs
 * the same at the first row and at the millionth.
 */

/** Rows of a list in pages. All are synchronous: a page is some hundred rows found by an index. */
export interface Pages<Row, Key = number> {
  key(row: Row): Key;
  /** The first rows behind `key` in the order of the list; `null`: from its start. */
  after(key: Key | null, limit: number): Row[];
  /** The last rows before `key`, in the order of the list; `null`: at its end. */
  before(key: Key | null, limit: number): Row[];
}

export interface PageWindow<Row> {
  readonly rows: readonly Row[];
  /** Index in the whole list of `rows[0]`, `null` when it is not known (the list was entered at its end). */
  readonly first: number | null;
  /** Nothing comes before the first row, nothing behind the last. */
  readonly atStart: boolean;
  readonly atEnd: boolean;
  /** In `rows`. */
  readonly cursor: number;
  /** First of `rows` that is shown. */
  readonly top: number;
}

/** Rows that one page reads, and the most that a window holds. */
export const PAGE_ROWS = 200;
const WINDOW_ROWS = 600;

export function windowAtStart<Row, Key>(pages: Pages<Row, Key>, height: number): PageWindow<Row> {
  const rows = pages.after(null, pageFor(height));
  return { rows, first: 0, atStart: true, atEnd: rows.length < pageFor(height), cursor: 0, top: 0 };
}

export function windowAtEnd<Row, Key>(pages: Pages<Row, Key>, height: number): PageWindow<Row> {
  const limit = pageFor(height);
  const rows = pages.before(null, limit);
  const atStart = rows.length < limit;
  const place = settle({ cursor: rows.length - 1, top: rows.length }, rows.length, height);
  return { rows, first: atStart ? 0 : null, atStart, atEnd: true, ...place };
}

/** Around a row: the one with this key, or where it would be. */
export function windowAround<Row, Key>(pages: Pages<Row, Key>, key: Key, row: Row | null, height: number): PageWindow<Row> {
  const limit = pageFor(height);
  const before = pages.before(key, limit);
  const after = pages.after(key, limit);
  const rows = [...before, ...(row === null ? [] : [row]), ...after];
  const atStart = before.length < limit;
  const cursor = Math.min(before.length, rows.length - 1);
  const place = settle({ cursor, top: cursor - Math.floor(height / 2) }, rows.length, height);
  return { rows, first: atStart ? 0 : null, atStart, atEnd: after.length < limit, ...place };
}

export function moveWindow<Row, Key>(
  window: PageWindow<Row>,
  pages: Pages<Row, Key>,
  move: Move,
  height: number,
): PageWindow<Row> {
  if (move === 'top') return window.atStart ? placed(window, 0, height) : windowAtStart(pages, height);
  if (move === 'bottom') return window.atEnd ? placed(window, window.rows.length - 1, height) : windowAtEnd(pages, height);
  if (typeof move === 'object') return placed(window, move.to, height);
  const wanted = window.cursor + (stepOf(move, height) ?? 0);
  return placed(extended(window, pages, wanted, height), wanted, height, window);
}

/** A window with as many rows around the wanted one as are there to show. */
function extended<Row, Key>(window: PageWindow<Row>, pages: Pages<Row, Key>, wanted: number, height: number): PageWindow<Row> {
  const { rows } = window;
  if (wanted + height >= rows.length && !window.atEnd) {
    const last = rows.at(-1);
    const more = pages.after(last === undefined ? null : pages.key(last), PAGE_ROWS);
    return trimmedAtStart({ ...window, rows: [...rows, ...more], atEnd: more.length < PAGE_ROWS });
  }
  if (wanted - height < 0 && !window.atStart) {
    const [head] = rows;
    const more = pages.before(head === undefined ? null : pages.key(head), PAGE_ROWS);
    const atStart = more.length < PAGE_ROWS;
    return trimmedAtEnd({
      ...window,
      rows: [...more, ...rows],
      first: atStart ? 0 : window.first === null ? null : window.first - more.length,
      atStart,
      cursor: window.cursor + more.length,
      top: window.top + more.length,
    });
  }
  return window;
}

function trimmedAtStart<Row>(window: PageWindow<Row>): PageWindow<Row> {
  const over = Math.min(window.rows.length - WINDOW_ROWS, window.top);
  if (over <= 0) return window;
  return {
    ...window,
    rows: window.rows.slice(over),
    first: window.first === null ? null : window.first + over,
    atStart: false,
    cursor: window.cursor - over,
    top: window.top - over,
  };
}

function trimmedAtEnd<Row>(window: PageWindow<Row>): PageWindow<Row> {
  if (window.rows.length <= WINDOW_ROWS) return window;
  return { ...window, rows: window.rows.slice(0, WINDOW_ROWS), atEnd: false };
}

/** The cursor on a row of `before`, whose rows may have moved meanwhile. */
function placed<Row>(window: PageWindow<Row>, wanted: number, height: number, before = window): PageWindow<Row> {
  const shift = window.cursor - before.cursor;
  return { ...window, ...settle({ cursor: wanted + shift, top: window.top }, window.rows.length, height) };
}

/**
 * The window after the capture has grown: the same rows read again, what came behind them, and the cursor on the row that it was on.
 *
 * @param follow the cursor goes to the newest row
 */
export function refreshWindow<Row, Key>(
  window: PageWindow<Row>,
  pages: Pages<Row, Key>,
  follow: boolean,
  height: number,
): PageWindow<Row> {
  if (follow) return windowAtEnd(pages, height);
  const [head] = window.rows;
  const at = window.rows[window.cursor];
  if (head === undefined || at === undefined) return windowAtStart(pages, height);
  // Only what can be seen is worth reading again: the rows from the top of the screen on.
  const shown = window.rows[Math.min(window.top, window.rows.length - 1)] ?? head;
  const [anchor] = window.top === 0 ? [] : [window.rows[window.top - 1]];
  const limit = Math.max(pageFor(height), window.rows.length - window.top);
  const kept = anchor === undefined ? [] : window.rows.slice(0, window.top);
  const fresh = anchor === undefined && window.atStart ? pages.after(null, limit) : readFrom(pages, shown, anchor, limit);
  const rows = [...kept, ...fresh];
  const key = pages.key(at);
  const found = rows.findIndex(row => same(pages.key(row), key));
  const cursor = found < 0 ? window.cursor : found;
  return {
    ...window,
    rows,
    atEnd: fresh.length < limit,
    ...settle({ cursor, top: window.top }, rows.length, height),
  };
}

function readFrom<Row, Key>(pages: Pages<Row, Key>, shown: Row, anchor: Row | undefined, limit: number): Row[] {
  if (anchor !== undefined) return pages.after(pages.key(anchor), limit);
  const [before] = pages.before(pages.key(shown), 1);
  return pages.after(before === undefined ? null : pages.key(before), limit);
}

/** Keys are numbers, or short arrays of them. */
function same(a: unknown, b: unknown): boolean {
  return a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((part, i) => part === b[i]));
}

/** A page has to fill the screen and some more. */
function pageFor(height: number): number {
  return Math.max(PAGE_ROWS, height * 2);
}

export function currentRow<Row>(window: PageWindow<Row>): Row | null {
  return window.rows[window.cursor] ?? null;
}
