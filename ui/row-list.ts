import { setTimeout } from 'node:timers/promises';
import type { Filter } from '../src/analysis/filter.ts';
import { parseFilter } from '../src/analysis/filter-parse.ts';
import type { BrowsedRows } from '../src/capture/browse-shapes.ts';
import { type BrowsedList, type Listed, SORTS } from '../src/capture/browse-shapes.ts';
import {
  type Around,
  type Browsed,
  browse,
  browsedAround,
  browsedPlace,
  grown,
  moveBrowsed,
  reread,
  tasksOf,
} from './browsed.ts';
import { filterPrompt, knownValues, problemText } from './filter-prompt.ts';
import type { Action, Scope } from './keymap.ts';
import type { Move } from './list.ts';
import { moveOf } from './moves.ts';
import { followsAfter, placeText } from './place.ts';
import type { Env, Notice, Prompt, StepOf, TaskOf } from './screen.ts';
import { moveWindow, type Pages, type PageWindow, refreshWindow, windowAround, windowAtEnd, windowAtStart } from './window.ts';
import { both, type Within } from './within.ts';

/**
 * A list of runs, exchanges or connections as a view holds it: in the order of time it is read straight from the store, sorted or filtered
 * it comes from the thread of the browser. A view need not know which.
 */
export interface RowList<List extends BrowsedList> {
  readonly list: List;
  readonly sort: Sort<List>;
  /** As typed; kept while it is off. */
  readonly filterText: string;
  readonly filter: Filter | null;
  readonly filterOff: boolean;
  readonly follow: boolean;
  /** Only of these rows; of all without it. */
  readonly within?: Within;
  readonly rows:
    | {
        readonly from: 'store';
        readonly window: PageWindow<BrowsedRows[List]>;
        /** Rows of the whole list, when they were last counted. */
        readonly counted: Counted | null;
        /** Raised when the capture has grown. */
        readonly round: number;
      }
    | { readonly from: 'thread'; readonly browsed: Browsed<List> };
}

interface Counted {
  readonly count: number;
  readonly round: number;
}

/** The first count waits so long: the screen comes first. */
const COUNT_AFTER_MS = 300;

export interface Sort<List extends BrowsedList> {
  readonly by: (typeof SORTS)[List][number];
  readonly descending: boolean;
}

function pagesOf<List extends BrowsedList>(rows: Pick<RowList<List>, 'list' | 'sort'>, env: Env): Pages<BrowsedRows[List]> {
  return env.source.pages(rows.list, rows.sort.descending);
}

/** The filter, unless it is off. */
export function activeFilter({ filter, filterOff }: Pick<RowList<BrowsedList>, 'filter' | 'filterOff'>): Filter | null {
  return filterOff ? null : filter;
}

/** What is listed, as the browser is asked for it. */
export function listedOf<List extends BrowsedList>(rows: Omit<RowList<List>, 'rows'>): Listed<List> {
  const { list, sort, within } = rows;
  return {
    list,
    filter: both(within?.filter ?? null, activeFilter(rows)),
    sort: { by: sort.by, descending: sort.descending },
    ...(within !== undefined && { groups: within.groups }),
  };
}

/** Numbers the requests, so that a page that comes late is not taken for one of another filter. */
let requests = 0;

export function openRows<List extends BrowsedList>(wanted: Omit<RowList<List>, 'rows'>, env: Env, height: number): RowList<List> {
  const { within } = wanted;
  const filter = activeFilter(wanted);
  if (filter === null && within === undefined && wanted.sort.by === 'time') {
    const pages = pagesOf(wanted, env);
    const atEnd = wanted.follow && !wanted.sort.descending;
    const window = atEnd ? windowAtEnd(pages, height) : windowAtStart(pages, height);
    return { ...wanted, rows: { from: 'store', window, counted: null, round: 0 } };
  }
  requests += 1;
  const request = listedOf(wanted);
  const at = wanted.follow && wanted.sort.by === 'time' && !wanted.sort.descending ? 'end' : 'start';
  return { ...wanted, rows: { from: 'thread', browsed: browse(request, `list ${requests}`, at) } };
}

export function moveRows<List extends BrowsedList>(rows: RowList<List>, move: Move, env: Env, height: number): RowList<List> {
  const follow = followsAfter({ follow: rows.follow, newestFirst: rows.sort.descending }, move);
  const { rows: from } = rows;
  if (from.from === 'thread') {
    const moved = moveBrowsed(from.browsed, move, height);
    return { ...rows, follow, rows: { ...from, browsed: follow ? moved : { ...moved, following: null } } };
  }
  return { ...rows, follow, rows: { ...from, window: moveWindow(from.window, pagesOf(rows, env), move, height) } };
}

export function refreshRows<List extends BrowsedList>(rows: RowList<List>, env: Env, height: number): RowList<List> {
  const { rows: from, follow } = rows;
  if (from.from === 'thread') {
    const now = reread(grown(from.browsed), height, row => env.source.row(rows.list, row.id));
    const following = rows.sort.by === 'time' && follow ? (rows.sort.descending ? 'start' : 'end') : null;
    // At that end already: only what is new is read.
    const { browsed: before } = from;
    const atIt = following === 'end' ? before.atEnd : before.atStart;
    const there = before.entering === null && (atIt || before.following === following);
    const entering = following !== null && !there ? following : now.entering;
    return { ...rows, rows: { ...from, browsed: { ...now, following, entering } } };
  }
  const pages = pagesOf(rows, env);
  const window =
    follow && rows.sort.descending ? windowAtStart(pages, height) : refreshWindow(from.window, pages, follow, height);
  return { ...rows, rows: { ...from, window, round: from.round + 1 } };
}

/** The list with the cursor on a row of it. */
function rowsAt<List extends BrowsedList>(rows: RowList<List>, row: BrowsedRows[List], env: Env, height: number): RowList<List> {
  const pages = pagesOf(rows, env);
  const counts = rows.rows.from === 'store' ? rows.rows : { counted: null, round: 0 };
  const window = windowAround(pages, pages.key(row), row, height);
  return { ...rows, follow: false, rows: { from: 'store', window, counted: counts.counted, round: counts.round } };
}

/** The list with the cursor on a row of it that was found in the thread, of which it was read with what is around it. */
export function rowsAround<List extends BrowsedList>(
  rows: RowList<List>,
  found: Around<List>,
  env: Env,
  height: number,
): RowList<List> {
  if (rows.rows.from === 'store') return rowsAt(rows, found.row, env, height);
  return { ...rows, follow: false, rows: { from: 'thread', browsed: browsedAround(rows.rows.browsed, found, height) } };
}

export interface Shown<Row> {
  readonly rows: readonly Row[];
  readonly cursor: number;
  readonly top: number;
  /** Rows are on their way. */
  readonly reading: boolean;
}

export function shownOf<List extends BrowsedList>({ rows }: RowList<List>): Shown<BrowsedRows[List]> {
  if (rows.from === 'store') return { ...rows.window, reading: false };
  const { browsed } = rows;
  return { rows: browsed.rows, cursor: browsed.cursor, top: browsed.top, reading: browsed.entering !== null };
}

export function currentOf<List extends BrowsedList>(rows: RowList<List>): BrowsedRows[List] | null {
  const shown = shownOf(rows);
  return shown.rows[shown.cursor] ?? null;
}

/** What a list can do for now: leave its filter. */
export function scopesOfRows(rows: RowList<BrowsedList>): readonly Scope[] {
  return activeFilter(rows) === null ? [] : ['filtered'];
}

/** Place, count, filter and order, for the status line. */
export function statusOf<List extends BrowsedList>(rows: RowList<List>): string {
  const filter = rows.filterText === '' ? '' : `/${rows.filterText}${rows.filterOff ? ' (off)' : ''}  `;
  // The column that is marked has the bytes of one direction.
  const by = rows.sort.by === 'bytes' ? 'bytes up and down' : rows.sort.by;
  const sort = by === 'time' ? '' : `by ${by}  `;
  const follow = rows.follow ? 'following  ' : '';
  const { rows: from } = rows;
  const place = from.from === 'store' ? placeText(from.window, from.counted?.count ?? null) : browsedPlace(from.browsed);
  return `${filter}${sort}${follow}${place}`;
}

export function rowTasks<S, List extends BrowsedList>(
  rows: RowList<List>,
  env: Env,
  height: number,
  lens: (state: S, change: (rows: RowList<List>) => RowList<List>) => S,
): TaskOf<S>[] {
  const { rows: from } = rows;
  if (from.from === 'store') return countTasks(rows, from, env, lens);
  return tasksOf<S, List>(from.browsed, env.source.browser(), height, (state, change) =>
    lens(state, known =>
      known.rows.from === 'thread' ? { ...known, rows: { ...known.rows, browsed: change(known.rows.browsed) } } : known,
    ),
  );
}

/** How many rows there are, where that is not to be seen from those that were read. */
function countTasks<S, List extends BrowsedList>(
  { list }: RowList<List>,
  { window, counted, round }: RowList<List>['rows'] & { from: 'store' },
  env: Env,
  lens: (state: S, change: (rows: RowList<List>) => RowList<List>) => S,
): TaskOf<S>[] {
  if ((window.first !== null && window.atEnd) || counted?.round === round) return [];
  return [
    {
      // The same while the capture grows: what is counted is counted to its end.
      key: `count after ${counted?.round ?? 'nothing'}`,
      async run(signal, update) {
        if (counted === null) await setTimeout(COUNT_AFTER_MS, null, { signal, ref: false });
        const count = await env.source.browser().count({ list }, undefined, signal);
        update(state =>
          lens(state, known =>
            known.rows.from === 'store' ? { ...known, rows: { ...known.rows, counted: { count, round } } } : known,
          ),
        );
      },
    },
  ];
}

/** The next column to sort by, or the one that is named; `null`: there is none of that name. */
export function sortBy<List extends BrowsedList>(rows: RowList<List>, name: string | null): Sort<List> | null {
  const all: readonly (typeof SORTS)[List][number][] = SORTS[rows.list];
  const by = name === null ? all[(all.indexOf(rows.sort.by) + 1) % all.length] : all.find(known => known === name);
  // Of figures the largest are looked for, of times whatever the list had.
  return by === undefined ? null : { by, descending: by === 'time' ? rows.list === 'run' : true };
}

/** The list with another filter, from its start; the problem with the text in words when it is none. */
export function filtered<List extends BrowsedList>(
  rows: RowList<List>,
  text: string,
  env: Env,
  height: number,
): RowList<List> | string {
  const parsed = parseFilter(text, rows.list);
  if (parsed.type === 'wrong') return problemText(parsed.problem);
  return openRows({ ...rows, filterText: text.trim(), filter: parsed.filter, filterOff: false }, env, height);
}

/** What an action makes of a list: the list after it, or what to say or ask instead. `null`: it is none of a list's. */
export type RowStep<List extends BrowsedList> =
  | { readonly rows: RowList<List> }
  | { readonly say: Notice }
  | { readonly prompt: Prompt }
  | null;

/** Moving, following, sorting and filtering, which every list of rows does alike. */
export function actOnRows<List extends 'exchange' | 'run'>(
  rows: RowList<List>,
  action: Action,
  env: Env,
  height: number,
): RowStep<List> {
  const move = moveOf(action);
  if (move !== null) return { rows: moveRows(rows, move, env, height) };
  const opened = (change: Partial<Omit<RowList<List>, 'rows'>>): RowStep<List> => ({
    rows: openRows({ ...rows, ...change }, env, height),
  });
  switch (action.name) {
    case 'follow':
      return opened({ follow: !rows.follow });
    case 'reverse':
      return opened({ sort: { ...rows.sort, descending: !rows.sort.descending }, follow: false });
    case 'sort': {
      const sort = sortBy(rows, action.argument);
      if (sort === null)
        return { say: { text: `nothing is called ${action.argument}; o goes through the columns`, kind: 'error' } };
      return opened({ sort, follow: false });
    }
    case 'filter': {
      if (action.argument === null) return { prompt: filterPrompt(rows.list, rows.filterText, knownValues(env)) };
      const next = filtered(rows, action.argument, env, height);
      return typeof next === 'string' ? { say: { text: next, kind: 'error' } } : { rows: next };
    }
    case 'back':
      // Lists of rows are where one starts: there is nothing to go back to, but for the filter.
      return activeFilter(rows) === null ? null : opened({ filterOff: true });
    case 'filter-off':
      if (rows.filterText === '') return { say: { text: 'there is no filter; / sets one', kind: 'info' } };
      return opened({ filterOff: !rows.filterOff });
    default:
      return null;
  }
}

/** The step of a view that keeps the list somewhere in its state. */
export function stepOfRows<S, List extends BrowsedList>(
  step: RowStep<List>,
  around: (rows: RowList<List>) => S,
): StepOf<S> | null {
  return step !== null && 'rows' in step ? { state: around(step.rows) } : step;
}
