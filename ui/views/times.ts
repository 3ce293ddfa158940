import type { Filter } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import {
  type GroupTimes,
  sortTimes,
  TIMES_BY,
  TIMES_SORTS,
  type TimesBy,
  type TimesSort,
  usualSort,
} from '../../src/analysis/times.ts';
import { sized } from '../../src/analysis/words.ts';
import { widthOf } from '../../src/commands/columns.ts';
import { clock, duration } from '../../src/commands/present.ts';
import { filterPrompt, knownValues, problemText } from '../filter-prompt.ts';
import { emptyLines } from '../frame.ts';
import { showsRow } from '../hits.ts';
import type { Action } from '../keymap.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { signOf } from '../marks.ts';
import { moveOf } from '../moves.ts';
import { detailLines } from '../panes/table.ts';
import type { Env, Screen, Step, StepOf, TaskOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { nextMatch } from '../search.ts';
import { type Column, headOf, type Layout, layoutOf, rowOf } from '../table.ts';
import { tabAfter } from '../tabs.ts';
import { type Line, line, span } from '../text.ts';
import { shortDuration } from '../time.ts';
import { both, filteredBy, inGroup, NAMELESS, WHOLE_CAPTURE, type Within } from '../within.ts';
import { listedIn, requestsWithin } from './requests.ts';

/** How long requests took, by what they have in common: the figures of `stringtap times`. */
interface Times {
  readonly within: Within;
  readonly by: TimesBy;
  /** As typed; kept while it is off. */
  readonly filterText: string;
  readonly filter: Filter | null;
  readonly filterOff: boolean;
  /** `null`: nobody asked for one. */
  readonly sort: TimesSort | null;
  /** What was measured with this filter. */
  readonly measured: ReadonlyMap<TimesBy, Measured>;
  /** Part of the way to the figures that are not there yet, 0 to 1. */
  readonly part: number;
}

interface Measured {
  readonly rows: readonly GroupTimes[];
  /** Of all groups, also those that are not among the rows. */
  readonly groups: number;
  readonly requests: number;
  readonly totalMs: number;
  readonly sort: TimesSort;
  /** Columns of the longest name. */
  readonly longest: number;
  readonly place: ListState;
  /** Wall clock, ms: when it began to be measured. */
  readonly at: number;
  readonly tookMs: number;
  /** A proxy wrote meanwhile: there may be more by now. */
  readonly live: boolean;
}

const TABS = ['Phase', 'Certname', 'Environment', 'Request', 'Status', 'Run'] as const satisfies Record<number, string>;
const SHORT = ['Phase', 'Cert', 'Env', 'Request', 'Status', 'Run'];
/** Groups that are at hand; of more the first in the order that was asked for. */
const MOST = 5000;
/** While a proxy writes, figures are measured anew after this time, and after ten times what that takes. */
const MEASURE_EVERY_MS = 1000;
const MEASURE_REST = 10;
/** The rule and the lines below the list that tell of the group under the cursor. */
const BELOW = 5;

const isRoomy = (env: Env): boolean => env.size.rows >= 14;
/** Rows of the list: its head takes one. */
const heightOf = (env: Env): number => Math.max(1, env.size.rows - 1 - (isRoomy(env) ? BELOW : 0));
const sortOf = ({ by, sort }: Times): TimesSort => sort ?? usualSort(by);
const filterOf = ({ filter, filterOff }: Times): Filter | null => (filterOff ? null : filter);

const VIEW: View<Times> = {
  scopes: state => [
    ...(['times', 'problems'] as const),
    // A run can be marked.
    state.by === 'run' ? 'list' : 'opens',
    ...(filterOf(state) === null ? [] : (['filtered'] as const)),
  ],
  title: ({ within }) => (within.title === '' ? 'times' : `times of ${within.title}`),
  tabs: ({ by }) => ({ names: TABS, short: SHORT, current: TIMES_BY.indexOf(by) }),
  act(state, action, env) {
    const tab = tabAfter(action, TIMES_BY.indexOf(state.by), TABS);
    if (tab !== null) return 'say' in tab ? tab : { state: { ...state, by: TIMES_BY[tab.tab]!, part: 0 } };
    const move = moveOf(action);
    if (move !== null) return { state: placed(state, place => moveList(place, move, rowsOf(state).length, heightOf(env))) };
    return actOn(state, action, env);
  },
  refresh: state => state,
  wants: (state, env) => (isWanted(state, env) ? [taskOf(state, env)] : []),
  draw: drawTimes,
  status(state) {
    const { filterText, filterOff, sort } = state;
    const filter = filterText === '' ? '' : `/${filterText}${filterOff ? ' (off)' : ''}  `;
    const found = state.measured.get(state.by);
    if (found === undefined) return filter;
    const when = found.live ? `as of ${clock(found.at).slice(0, 8)}  ` : '';
    const left = found.groups > found.rows.length ? `, the first ${found.rows.length}` : '';
    const place = found.groups === 0 ? '' : `${found.place.cursor + 1} of ${found.groups}${left} `;
    return `${filter}${sort === null ? '' : `by ${sort.by}  `}${when}${place}`;
  },
  subject(state) {
    const name = currentOf(state)?.group ?? null;
    if (state.by === 'run' && name !== null) return { type: 'run', id: Number(name.slice(1)) };
    const run = state.within.groups.find(({ by }) => by === 'run')?.name ?? null;
    return run === null ? null : { type: 'run', id: Number(run.slice(1)) };
  },
};

function rowsOf({ measured, by }: Times): readonly GroupTimes[] {
  return measured.get(by)?.rows ?? [];
}

function currentOf(state: Times): GroupTimes | null {
  return rowsOf(state)[state.measured.get(state.by)?.place.cursor ?? 0] ?? null;
}

function placed(state: Times, change: (place: ListState) => ListState): Times {
  const found = state.measured.get(state.by);
  if (found === undefined) return state;
  return { ...state, measured: new Map(state.measured).set(state.by, { ...found, place: change(found.place) }) };
}

function actOn(state: Times, action: Action, env: Env): StepOf<Times> | null {
  switch (action.name) {
    case 'by':
      return grouped(state, action.argument);
    case 'sort': {
      const next = action.argument ?? nextSort(state, env);
      const known = TIMES_SORTS.find(name => name === next);
      if (known === undefined) return { say: { text: `nothing is called ${next}; o goes through the columns`, kind: 'error' } };
      return { state: sorted(state, { by: known, descending: known !== 'name' }, env) };
    }
    case 'reverse': {
      const { by, descending } = sortOf(state);
      return { state: sorted(state, { by, descending: !descending }, env) };
    }
    case 'filter': {
      if (action.argument === null) return { prompt: filterPrompt('exchange', state.filterText, knownValues(env)) };
      const parsed = parseFilter(action.argument, 'exchange');
      if (parsed.type === 'wrong') return { say: { text: problemText(parsed.problem), kind: 'error' } };
      return { state: refiltered({ ...state, filterText: action.argument.trim(), filter: parsed.filter, filterOff: false }) };
    }
    case 'filter-off':
      if (state.filterText === '') return { say: { text: 'there is no filter; / sets one', kind: 'info' } };
      return { state: refiltered({ ...state, filterOff: !state.filterOff }) };
    case 'next-problem':
    case 'previous-problem': {
      const rows = rowsOf(state);
      const by = action.name === 'next-problem' ? 1 : -1;
      const from = state.measured.get(state.by)?.place.cursor ?? 0;
      const found = nextMatch(rows.length, from + by, by, i => rows[i]!.failed > 0);
      if (found === null) return { say: { text: 'nothing here failed', kind: 'info' } };
      return { state: placed(state, place => moveList(place, { to: found }, rows.length, heightOf(env))) };
    }
    case 'open':
      return opened(state, env);
    case 'back':
      return filterOf(state) === null ? null : { state: refiltered({ ...state, filterOff: true }) };
    case 'times':
      return action.argument === null ? {} : null;
    default:
      return null;
  }
}

/** By the next column that there is room for. */
function nextSort(state: Times, env: Env): string {
  const shown = layoutIn(state.by, state.measured.get(state.by)?.longest ?? LEAST_NAME, env).columns.map(({ title }) => title);
  const all = TIMES_SORTS.filter(by => by === 'name' || shown.includes(SORTED[by]));
  return all[(all.indexOf(sortOf(state).by) + 1) % all.length]!;
}

/** Another grouping: the next one, the one before, or the one that is named. */
function grouped(state: Times, name: string | null): StepOf<Times> {
  const at = TIMES_BY.indexOf(state.by);
  const step = name === null ? 1 : name === 'before' ? -1 : null;
  const by = step === null ? TIMES_BY.find(known => known === name) : TIMES_BY.at((at + step) % TIMES_BY.length);
  if (by === undefined) return { say: { text: `not by ${name}: by ${TIMES_BY.join(', ')}`, kind: 'error' } };
  return { state: { ...state, by, part: 0 } };
}

function refiltered(state: Times): Times {
  return { ...state, measured: new Map(), part: 0 };
}

/** What is at hand is put in order at once; where that is not all, the first of the new order are asked for. */
function sorted(state: Times, sort: TimesSort, env: Env): Times {
  const found = state.measured.get(state.by);
  if (found === undefined) return { ...state, sort };
  const rows = sortTimes(found.rows, state.by, sort);
  const isWhole = found.groups <= found.rows.length;
  const next = { ...found, rows, place: LIST_START, ...(isWhole && { sort }) };
  return {
    ...state,
    sort,
    measured: new Map(state.measured).set(state.by, { ...next, place: settle(next.place, rows.length, heightOf(env)) }),
  };
}

/** Not measured yet, or in another order, or so long ago that a proxy has written what would be seen. */
function isWanted(state: Times, env: Env): boolean {
  const found = state.measured.get(state.by);
  if (found === undefined || !sameSort(found.sort, sortOf(state))) return true;
  if (!found.live) return false;
  return !env.source.isLive() || env.now() - found.at >= Math.max(MEASURE_EVERY_MS, MEASURE_REST * found.tookMs);
}

function sameSort(a: TimesSort, b: TimesSort): boolean {
  return a.by === b.by && a.descending === b.descending;
}

function taskOf(state: Times, env: Env): TaskOf<Times> {
  const { by, within } = state;
  const filter = both(within.filter, filterOf(state));
  const [sort, before] = [sortOf(state), state.measured.get(by)];
  return {
    key: `times ${JSON.stringify([by, filter, sort, before?.at ?? null])}`,
    async run(signal, update) {
      const [at, live] = [env.now(), env.source.isLive()];
      const request = { by, filter, groups: within.groups, sort, limit: MOST };
      const tell = (part: number): void => update(known => (known.measured.has(by) ? known : { ...known, part }));
      const found = await env.source.browser().times(request, ({ part }) => tell(part), signal);
      update((known, now) => {
        const old = known.measured.get(by);
        const rows = sortTimes(found.rows, by, sortOf({ ...known, by }));
        const place = placeAfter(old, rows, heightOf(now));
        const longest = rows.reduce((most, { group }) => Math.max(most, widthOf(group ?? NAMELESS[by])), LEAST_NAME);
        const measured = { ...found, rows, sort, longest, place, at, live, tookMs: now.now() - at };
        return { ...known, measured: new Map(known.measured).set(by, measured) };
      });
    },
  };
}

/** The cursor stays on its group, wherever that is by now; at the start of the list it stays there. */
function placeAfter(old: Measured | undefined, rows: readonly GroupTimes[], height: number): ListState {
  if (old === undefined || old.place.cursor === 0) return LIST_START;
  const name = old.rows[old.place.cursor]?.group;
  const cursor = rows.findIndex(({ group }) => group === name);
  if (cursor < 0) return settle(old.place, rows.length, height);
  return settle({ cursor, top: old.place.top + cursor - old.place.cursor }, rows.length, height);
}

/** The exchanges of a group. */
function opened(state: Times, env: Env): Step {
  const row = currentOf(state);
  if (row === null) return {};
  const within = filteredBy(state.within, filterOf(state), state.filterText);
  return { push: requestsWithin(inGroup(within, { by: state.by, name: row.group }), env) };
}

/** Figures that are always there; the name of a group has what they leave. */
const LEAST_FIGURES = 42;

const LEAST_NAME = 12;

function columnsOf(by: TimesBy, longest: number, columns: number): Column<GroupTimes>[] {
  const width = Math.min(longest, Math.max(LEAST_NAME, columns - LEAST_FIGURES));
  const time = (title: string, from: number, value: (row: GroupTimes) => number): Column<GroupTimes> => ({
    ...{ title, from, width: 9, right: true },
    cell: row => span(shortDuration(value(row))),
  });
  return [
    {
      title: by.toUpperCase(),
      width,
      cell: ({ group }) => (group === null ? span(NAMELESS[by], 'dim') : span(group, 'name')),
    },
    { title: 'REQS', width: 8, right: true, cell: row => span(String(row.requests)) },
    {
      title: 'FAIL',
      width: 6,
      right: true,
      from: 5,
      cell: ({ failed }) => (failed === 0 ? span('-', 'dim') : span(String(failed), 'error')),
    },
    time('P50', 0, row => row.p50Ms),
    time('P95', 0, row => row.p95Ms),
    time('P99', 7, row => row.p99Ms),
    time('MAX', 6, row => row.maxMs),
    time('TOTAL', 4, row => row.totalMs),
    { title: 'UP', width: 7, right: true, from: 9, cell: row => span(sized(row.requestBytes)) },
    { title: 'DOWN', width: 7, right: true, from: 8, cell: row => span(sized(row.responseBytes)) },
  ];
}

function layoutIn(by: TimesBy, longest: number, env: Env): Layout<GroupTimes> {
  return layoutOf(columnsOf(by, longest, env.size.columns), env.size.columns);
}

function drawTimes(state: Times, env: Env): Line[] {
  const found = state.measured.get(state.by);
  if (found === undefined) return emptyLines(env, ['measuring', '', `${Math.floor(state.part * 100)} % looked at`]);
  if (found.rows.length === 0) return noTimes(state, env);
  const { signs } = env.theme;
  const height = heightOf(env);
  const { cursor, top } = settle(found.place, found.rows.length, height);
  const shown = found.rows.slice(top, top + height);
  const layout = layoutIn(state.by, found.longest, env);
  const { by, descending } = sortOf(state);
  const title = by === 'name' ? state.by.toUpperCase() : SORTED[by];
  const list = [
    headOf(layout, { title, sign: descending ? signs.down : signs.up }),
    ...shown.map((row, i): Line => {
      const sign = state.by === 'run' && row.group !== null ? signOf(env, 'run', Number(row.group.slice(1)), signs.mark) : '';
      return showsRow(rowOf(layout, row, { cursor: top + i === cursor, sign, signs }), top + i);
    }),
  ];
  const current = found.rows[cursor];
  if (!isRoomy(env) || current === undefined) return list;
  const blank = Array.from({ length: Math.max(0, height + 1 - list.length) }, () => line(''));
  const details = detailLines(detailsOf(current, found, state.by), env.size.columns, BELOW - 1);
  return [...list, ...blank, line(signs.rule.repeat(env.size.columns), 'dim'), ...details.slice(0, BELOW - 1)];
}

const SORTED = {
  requests: 'REQS',
  failed: 'FAIL',
  p50: 'P50',
  p95: 'P95',
  p99: 'P99',
  max: 'MAX',
  total: 'TOTAL',
  up: 'UP',
  down: 'DOWN',
} as const;

function detailsOf(row: GroupTimes, all: Measured, by: TimesBy): [name: string, value: string][] {
  const part = all.totalMs === 0 ? '' : `, ${((row.totalMs / all.totalMs) * 100).toFixed(1)} % of the time of all`;
  const failed = row.failed === 0 ? '' : `, ${row.failed} failed`;
  const times = { p50: row.p50Ms, p95: row.p95Ms, p99: row.p99Ms, max: row.maxMs, total: row.totalMs };
  return [
    ['requests', `${row.requests} of ${all.requests}${failed}; ${sized(row.requestBytes)} up, ${sized(row.responseBytes)} down`],
    [
      'took',
      `${Object.entries(times)
        .map(([name, ms]) => `${name} ${duration(ms)}`)
        .join('  ')}${part}`,
    ],
    // However long it is, the figures have their room.
    [by, row.group ?? NAMELESS[by]],
  ];
}

function noTimes(state: Times, env: Env): Line[] {
  if (filterOf(state) === null)
    return emptyLines(
      env,
      env.source.isLive()
        ? ['no requests yet', '', 'how long they took shows here']
        : ['no requests in this capture', '', 'its proxy has ended, and none had come'],
    );
  return emptyLines(env, [
    'no request is like this',
    '',
    `filter: ${state.filterText}`,
    'esc shows all, ctrl-t filters again, / changes it',
  ]);
}

function timesScreen(within: Within): Screen {
  const state = { within, by: 'phase', filterText: '', filter: null, filterOff: false, sort: null, part: 0 } as const;
  return screenOf<Times>(VIEW, { ...state, measured: new Map() });
}

/** @param argument text of a filter; `null`: of the requests that are listed, of the run that is looked at, else of the capture */
export function timesStep(argument: string | null, screen: Screen, run: number | null): Step {
  if (argument !== null) {
    const parsed = parseFilter(argument, 'exchange');
    if (parsed.type === 'wrong') return { say: { text: problemText(parsed.problem), kind: 'error' } };
    return { push: timesScreen(filteredBy(WHOLE_CAPTURE, parsed.filter, argument)) };
  }
  const ofRun = run === null ? WHOLE_CAPTURE : inGroup(WHOLE_CAPTURE, { by: 'run', name: `r${run}` });
  return { push: timesScreen(listedIn(screen) ?? ofRun) };
}
