import { sized } from '../../src/analysis/words.ts';
import type { FindingRow, RunRow } from '../../src/capture/store.ts';
import { emptyLines } from '../frame.ts';
import { showsRow } from '../hits.ts';
import { signOf } from '../marks.ts';
import { problemJob } from '../problems.ts';
import {
  actOnRows,
  currentOf,
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
import { resultSpan } from '../run-cells.ts';
import type { Env, Screen, StepOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Column, headOf, layoutOf, rowOf, sparkline } from '../table.ts';
import { EMPTY, type Line, pad, type Span, span } from '../text.ts';
import { clockOf, dayOf, shortDuration, whenOf } from '../time.ts';
import { runScreen } from './run.ts';

/** One row a run. */
interface Runs {
  readonly list: RowList<'run'>;
  /** Start times of the newest runs, for the sparkline. */
  readonly starts: readonly number[];
  /** The last connection that came to no request, and so to no run: as a rule an agent that does not trust us. */
  readonly refused: FindingRow | null;
}

/** So long after it failed, a connection of no run is news. */
const NEWS_MS = 600_000;
/** Runs that the sparkline is drawn of. */
const SPARK_RUNS = 600;
/** Sparkline and head take two rows. */
const heightOf = (env: Env): number => Math.max(1, env.size.rows - 2);

const VIEW: View<Runs> = {
  scopes: ({ list }) => ['runs', 'list', ...scopesOfRows(list)],
  title: () => 'runs',
  act(state, action, env) {
    const { list } = state;
    const height = heightOf(env);
    switch (action.name) {
      case 'open': {
        const row = currentOf(list);
        const run = row === null ? null : runScreen(row.id, env);
        return run === null ? {} : { push: run };
      }
      case 'next-problem':
      case 'previous-problem':
        return lookForProblem(state, action.name === 'next-problem', env);
      default:
        return stepOfRows(actOnRows(list, action, env, height), rows => ({ ...state, list: rows }));
    }
  },
  refresh: (state, env) => asItIs({ ...state, list: refreshRows(state.list, env, heightOf(env)) }, env),
  wants: ({ list }, env) =>
    rowTasks<Runs, 'run'>(list, env, heightOf(env), (state, change) => ({ ...state, list: change(state.list) })),
  draw(state, env) {
    const { rows, cursor, top, reading } = shownOf(state.list);
    if (rows.length === 0) return noRuns(state, reading, env);
    const layout = layoutOf(columnsOf(env), env.size.columns);
    const { by, descending } = state.list.sort;
    const sign = descending ? env.theme.signs.down : env.theme.signs.up;
    return [
      newsOf(state, env) ?? sparkOf(state, env),
      headOf(layout, { title: SORTED[by], sign }),
      ...rows.slice(top, top + heightOf(env)).map((row, i): Line => {
        const sign = signOf(env, 'run', row.id, env.theme.signs.mark);
        return showsRow(rowOf(layout, row, { cursor: top + i === cursor, sign, signs: env.theme.signs }), top + i);
      }),
    ];
  },
  status: ({ list }) => statusOf(list),
  subject({ list }) {
    const row = currentOf(list);
    return row === null ? null : { type: 'run', id: row.id };
  },
};

/** What `e` looks for, as a filter; a run is judged a moment after it has ended. */
const PROBLEM = '~e | ~find error';
/** Rows whose result is read for a key; those behind them are looked through in the browser's thread. */
const NEAR = 60;

function lookForProblem(state: Runs, forward: boolean, env: Env): StepOf<Runs> {
  const { list } = state;
  const { rows, cursor } = shownOf(list);
  const by = forward ? 1 : -1;
  let at = cursor;
  for (let looked = 0; looked < NEAR && rows[at + by] !== undefined; looked += 1) {
    at += by;
    if (wentWrong(rows[at]!, env)) return { state: { ...state, list: moveRows(list, { to: at }, env, heightOf(env)) } };
  }
  const from = rows[at];
  if (from === undefined) return {};
  const found = (next: RowList<'run'>): Screen => screenOf(VIEW, { ...state, list: next });
  const none = `no run with a problem ${forward ? 'below' : 'above'} this one`;
  return { job: problemJob({ list, filter: PROBLEM, from, forward, found, none }, env, heightOf(env)) };
}

function wentWrong(row: RunRow, { source }: Env): boolean {
  return row.failed > 0 || source.findings(row).has('error') || /failed|error/.test(source.result(row));
}

/** Titles of the columns that the list can be sorted by. */
const SORTED = { time: 'STARTED', duration: 'TIME', bytes: 'DOWN', exchanges: 'REQS', failed: 'FAIL' } as const;

function noRuns({ list, refused }: Runs, reading: boolean, env: Env): Line[] {
  if (reading) return emptyLines(env, ['reading']);
  if (list.filter !== null && !list.filterOff) {
    return emptyLines(env, [
      'no run is like this',
      '',
      `filter: ${list.filterText}`,
      'esc shows all, ctrl-t filters again, / changes it',
    ]);
  }
  if (refused !== null) {
    return emptyLines(env, [
      'no agent run yet, but a connection that failed',
      '',
      `${whenOf(refused.at, env.now())} ${refused.summary}`,
      '',
      refused.fix,
      '',
      'C shows the connections, :findings what was found of them',
    ]);
  }
  const requests = env.source.store.exchanges({ limit: 1 })[Symbol.iterator]().next().done !== true;
  if (requests) return emptyLines(env, ['no agent runs in this capture', '', 'but there are requests: :requests shows them']);
  if (!env.source.isLive()) {
    return emptyLines(env, [
      'no agent runs in this capture',
      '',
      'its proxy has ended, and no agent had come through it',
      'stringtap proxy prints the line for an agent when it starts',
    ]);
  }
  const listen = env.source.store.recordings().at(-1)?.listen ?? 'PROXY:8140';
  const [host, port] = [listen.replace(/:\d+$/, ''), /\d+$/.exec(listen)?.[0] ?? '8140'];
  return emptyLines(env, [
    'waiting for an agent',
    '',
    'a run shows here as soon as an agent comes through the proxy:',
    `  puppet agent --test --server ${host === '0.0.0.0' ? 'PROXY' : host === '127.0.0.1' ? 'localhost' : host} --serverport ${port}`,
    'stringtap proxy printed the lines for other cases when it started',
  ]);
}

function columnsOf(env: Env): Column<RunRow>[] {
  const now = env.now();
  const took = (row: RunRow): number => (row.endedAt === null ? now : Date.parse(row.endedAt)) - Date.parse(row.startedAt);
  return [
    { title: 'RUN', width: 6, cell: row => span(`r${row.id}`, 'dim') },
    { title: 'STARTED', width: 11, from: 60, cell: row => span(whenOf(row.startedAt, now)) },
    { title: 'CERTNAME', width: 14, grow: true, cell: row => span(row.certname, 'name') },
    { title: 'ENVIRONMENT', width: 12, from: 100, cell: row => span(row.environment ?? '-') },
    { title: 'RESULT', width: 15, cell: row => resultSpan(env.source.result(row), env.theme.signs) },
    {
      title: 'TIME',
      width: 9,
      right: true,
      from: 2, // where there is room for little, who and how it went come first
      cell: row => span(`${shortDuration(Math.max(0, took(row)))}${row.endedAt === null ? '…' : ''}`),
    },
    { title: 'REQS', width: 5, right: true, from: 3, cell: row => span(String(row.exchanges)) },
    {
      title: 'FAIL',
      width: 5,
      right: true,
      from: 90,
      cell: row => (row.failed === 0 ? span('-', 'dim') : span(String(row.failed), 'error')),
    },
    { title: 'A/P', width: 6, right: true, from: 90, cell: row => span(`${row.agentConnections}/${row.primaryConnections}`) },
    { title: 'FIND', width: 6, from: 76, cell: row => findingsSpan(env, row) },
    { title: 'UP', width: 7, right: true, from: 110, cell: row => span(sized(row.requestBytes)) },
    { title: 'DOWN', width: 7, right: true, from: 90, cell: row => span(sized(row.responseBytes)) },
    { title: 'PUPPET', width: 8, from: 130, cell: row => span(row.puppetVersion ?? '-', 'dim') },
    { title: 'ENDED BY', width: 18, from: 140, cell: row => span(row.end ?? 'open', 'dim') },
  ];
}

/** `2E 1W`: errors and warnings; what is only worth knowing is a dot. */
function findingsSpan(env: Env, row: RunRow): Span {
  const counts = env.source.findings(row);
  const [errors, warnings] = [counts.get('error') ?? 0, counts.get('warning') ?? 0];
  const parts = [errors > 0 ? `${errors}E` : '', warnings > 0 ? `${warnings}W` : ''].filter(Boolean);
  if (parts.length === 0) return span(counts.size > 0 ? `${counts.get('info')}i` : '-', 'dim');
  return span(parts.join(' '), errors > 0 ? 'error' : 'warning');
}

/** A connection that failed, when it is the last thing that happened, or not long ago. */
function newsOf({ refused, starts }: Runs, env: Env): Line | null {
  if (refused === null) return null;
  const at = Date.parse(refused.at);
  if (at < (starts.at(-1) ?? 0) && env.now() - at > NEWS_MS) return null;
  const where = ' :findings ';
  const text = ` ${env.theme.signs.failed} ${whenOf(refused.at, env.now())} ${refused.summary}`;
  return [span(pad(text, env.size.columns - where.length), 'error'), span(where, 'key')];
}

function sparkOf({ starts }: Runs, env: Env): Line {
  const [first] = starts;
  const last = starts.at(-1);
  if (first === undefined || last === undefined || starts.length < 2 || env.theme.reader) return EMPTY;
  const [start, end] = [new Date(first).toISOString(), new Date(last).toISOString()];
  const [firstDay, lastDay] = [dayOf(start, env.now()), dayOf(end, env.now())];
  const from = `${firstDay}${clockOf(start).slice(0, 8)}`;
  const to = `${lastDay === firstDay ? '' : lastDay}${clockOf(end).slice(0, 8)}`;
  const label = starts.length < SPARK_RUNS ? 'runs' : `last ${SPARK_RUNS} runs`;
  const width = Math.max(8, Math.min(60, env.size.columns - label.length - from.length - to.length - 8));
  const counts = new Array<number>(width).fill(0);
  for (const start of starts)
    counts[Math.min(width - 1, Math.floor(((start - first) / Math.max(1, last - first)) * width))]! += 1;
  return [span(`  ${label} ${from} `, 'dim'), span(sparkline(counts, env.theme.signs.spark), 'changed'), span(` ${to}`, 'dim')];
}

/** Start times are read again only when there are other runs than before. */
function asItIs(state: Runs, env: Env): Runs {
  const { store } = env.source;
  const refused = [...store.findings({ run: null })].reduce<FindingRow | null>(
    (last, row) => (last === null || row.at > last.at ? row : last),
    null,
  );
  const [newest] = store.runs({ reverse: true, limit: 1 });
  if (newest !== undefined && Date.parse(newest.startedAt) === state.starts.at(-1)) return { ...state, refused };
  const rows = [...store.runs({ reverse: true, limit: SPARK_RUNS })];
  return { ...state, refused, starts: rows.map(row => Date.parse(row.startedAt)).reverse() };
}

export function runsScreen(env: Env): Screen {
  const start = {
    list: 'run',
    sort: { by: 'time', descending: true },
    filterText: '',
    filter: null,
    filterOff: false,
    follow: env.source.isLive(),
  } as const;
  return screenOf(VIEW, asItIs({ list: openRows<'run'>(start, env, heightOf(env)), starts: [], refused: null }, env));
}
