import { exchangeColumns, isProblem, TIME_TITLES } from '../exchange-cells.ts';
import { emptyLines } from '../frame.ts';
import { showsRow } from '../hits.ts';
import { signOf } from '../marks.ts';
import { problemJob } from '../problems.ts';
import {
  activeFilter,
  actOnRows,
  currentOf,
  filtered,
  moveRows,
  openRows,
  type RowList,
  refreshRows,
  rowTasks,
  scopesOfRows,
  shownOf,
  statusOf,
  stepOfRows,
} from '../row-list.ts';
import type { Env, Screen, StepOf, View } from '../screen.ts';
import { screenOf, stateIn } from '../screen.ts';
import { headOf, layoutOf, rowOf } from '../table.ts';
import type { Line } from '../text.ts';
import { nextTime, type TimeColumn } from '../time.ts';
import { filteredBy, WHOLE_CAPTURE, type Within } from '../within.ts';
import { openExchange } from './exchange.ts';

/** Every request of the capture, also those that belong to no run. */
interface Requests {
  readonly list: RowList<'exchange'>;
  readonly time: TimeColumn;
}

/** Rows of the list: its head takes one. */
const heightOf = (env: Env): number => Math.max(1, env.size.rows - 1);

const VIEW: View<Requests> = {
  scopes: ({ list }) => ['requests', 'list', ...scopesOfRows(list)],
  title: ({ list }) => list.within?.title || 'requests',
  act(state, action, env) {
    const { list } = state;
    switch (action.name) {
      case 'open': {
        const row = currentOf(list);
        return row === null ? {} : openExchange(row.id, env);
      }
      case 'time':
        return { state: { ...state, time: nextTime(state.time) } };
      case 'next-problem':
      case 'previous-problem':
        return lookForProblem(state, action.name === 'next-problem', env);
      default:
        return stepOfRows(actOnRows(list, action, env, heightOf(env)), rows => ({ ...state, list: rows }));
    }
  },
  refresh: (state, env) => ({ ...state, list: refreshRows(state.list, env, heightOf(env)) }),
  wants: ({ list }, env) =>
    rowTasks<Requests, 'exchange'>(list, env, heightOf(env), (state, change) => ({ ...state, list: change(state.list) })),
  draw({ list, time }, env) {
    const { rows, cursor, top, reading } = shownOf(list);
    if (rows.length === 0) return noRequests(list, reading, env);
    const before = new Map(rows.map((row, i) => [row, rows[i + (list.sort.descending ? 1 : -1)] ?? null]));
    const layout = layoutOf(
      exchangeColumns('capture', time, row => before.get(row) ?? null, null),
      env.size.columns,
    );
    return [
      headOf(layout, { title: sortedBy(list, time), sign: list.sort.descending ? env.theme.signs.down : env.theme.signs.up }),
      ...rows.slice(top, top + heightOf(env)).map((row, i): Line => {
        const sign = signOf(env, 'exchange', row.id, env.theme.signs.mark);
        return showsRow(rowOf(layout, row, { cursor: top + i === cursor, sign, signs: env.theme.signs }), top + i);
      }),
    ];
  },
  status: ({ list }) => statusOf(list),
  subject({ list }) {
    const row = currentOf(list);
    return row === null ? null : { type: 'exchange', id: row.id };
  },
};

/** Title of the column that the list is in the order of. */
function sortedBy({ sort }: RowList<'exchange'>, time: TimeColumn): string {
  return { time: TIME_TITLES[time], duration: 'TOOK', bytes: 'DOWN', status: 'STAT' }[sort.by];
}

function noRequests(list: RowList<'exchange'>, reading: boolean, env: Env): Line[] {
  if (reading) return emptyLines(env, ['reading']);
  if (activeFilter(list) !== null) {
    return emptyLines(env, [
      'no request is like this',
      '',
      `filter: ${list.filterText}`,
      'esc shows all, ctrl-t filters again, / changes it',
    ]);
  }
  if (!env.source.isLive()) return emptyLines(env, ['no requests in this capture', '', 'its proxy has ended, and none had come']);
  return emptyLines(env, [
    'no requests yet',
    '',
    'requests show here as soon as an agent sends one:',
    'puppet agent --test --server PROXY --serverport PORT',
  ]);
}

/** {@link isProblem} as a filter. */
const PROBLEM = '~e | ~c 4xx & !(~c 404 & (~phase file | ~phase filebucket | ~phase pluginsync | ~phase certificate))';

function lookForProblem(state: Requests, forward: boolean, env: Env): StepOf<Requests> {
  const { list } = state;
  const { rows, cursor } = shownOf(list);
  const index = forward
    ? rows.findIndex((row, i) => i > cursor && isProblem(row))
    : rows.findLastIndex((row, i) => i < cursor && isProblem(row));
  if (index >= 0) return { state: { ...state, list: moveRows(list, { to: index }, env, heightOf(env)) } };
  const from = forward ? rows.at(-1) : rows[0];
  if (from === undefined) return {};
  const found = (next: RowList<'exchange'>): Screen => screenOf(VIEW, { ...state, list: next });
  const none = `no problem ${forward ? 'behind' : 'before'} this row`;
  return { job: problemJob({ list, filter: PROBLEM, from, forward, found, none }, env, heightOf(env)) };
}

/** @param filter text of a filter to start with */
export function requestsScreen(env: Env, { filter = '' }: { filter?: string } = {}): Screen {
  return screenWith(env, { filter, sort: { by: 'time', descending: false }, follow: env.source.isLive() });
}

/** Some of them, the slowest first. */
export function requestsWithin(within: Within, env: Env): Screen {
  return screenWith(env, { filter: '', sort: { by: 'duration', descending: true }, follow: false, within });
}

type Start = Pick<RowList<'exchange'>, 'sort' | 'follow' | 'within'> & { filter: string };

function screenWith(env: Env, { filter, ...start }: Start): Screen {
  const all = { list: 'exchange', filterText: '', filter: null, filterOff: false, ...start } as const;
  const list: RowList<'exchange'> = openRows<'exchange'>(all, env, heightOf(env));
  const wanted = filter === '' ? list : filtered(list, filter, env, heightOf(env));
  return screenOf<Requests>(VIEW, { list: typeof wanted === 'string' ? list : wanted, time: 'clock' });
}

/** What a list of requests is about, with its filter; `null`: the screen is none. */
export function listedIn(screen: Screen): Within | null {
  const list = stateIn(VIEW, screen)?.list;
  return list === undefined ? null : filteredBy(list.within ?? WHOLE_CAPTURE, activeFilter(list), list.filterText);
}
