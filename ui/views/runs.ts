import type { RunFilter, RunRow } from '../../src/capture/store.ts';
import { bytes, duration } from '../../src/commands/present.ts';
import { emptyLines } from '../frame.ts';
import { moveOf } from '../moves.ts';
import { followsAfter, placeText } from '../place.ts';
import { resultSpan } from '../run-cells.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Column, headOf, layoutOf, rowOf, sparkline } from '../table.ts';
import { EMPTY, type Line, type Span, span } from '../text.ts';
import { clockOf } from '../time.ts';
import { currentRow, moveWindow, type Pages, type PageWindow, refreshWindow, windowAtEnd, windowAtStart } from '../window.ts';
import { runScreen } from './run.ts';

/** One row a run. */
interface Runs {
  readonly filter: RunFilter;
  readonly newestFirst: boolean;
  readonly follow: boolean;
  readonly window: PageWindow<RunRow>;
  /** Start times of the newest runs, for the sparkline. */
  readonly starts: readonly number[];
}

/** Runs that the sparkline is drawn of. */
const SPARK_RUNS = 600;
const pagesOf = ({ filter, newestFirst }: Runs, env: Env): Pages<RunRow> => env.source.runs(filter, newestFirst);
/** Sparkline and head take two rows. */
const heightOf = (env: Env): number => Math.max(1, env.size.rows - 2);

const VIEW: View<Runs> = {
  scopes: () => ['runs', 'list'],
  title: () => 'runs',
  act(state, action, env) {
    const move = moveOf(action);
    if (move !== null) {
      const window = moveWindow(state.window, pagesOf(state, env), move, heightOf(env));
      return { state: { ...state, window, follow: followsAfter(state, move) } };
    }
    switch (action.name) {
      case 'open': {
        const row = currentRow(state.window);
        const run = row === null ? null : runScreen(row.id, env);
        return run === null ? {} : { push: run };
      }
      case 'follow':
        return { state: state.follow ? { ...state, follow: false } : opened({ ...state, follow: true }, env) };
      case 'reverse':
        return { state: opened({ ...state, newestFirst: !state.newestFirst }, env) };
      default:
        return null;
    }
  },
  refresh(state, env) {
    if (state.follow && state.newestFirst)
      return withStarts({ ...state, window: windowAtStart(pagesOf(state, env), heightOf(env)) }, env);
    return withStarts({ ...state, window: refreshWindow(state.window, pagesOf(state, env), state.follow, heightOf(env)) }, env);
  },
  draw(state, env) {
    const { window } = state;
    if (window.rows.length === 0) return noRuns(env);
    const layout = layoutOf(columnsOf(env), env.size.columns);
    const shown = window.rows.slice(window.top, window.top + heightOf(env));
    return [
      sparkOf(state, env),
      headOf(layout),
      ...shown.map((row, i): Line => rowOf(layout, row, { cursor: window.top + i === window.cursor, signs: env.theme.signs })),
    ];
  },
  status: state => placeText(state.window, state.follow),
};

function noRuns(env: Env): Line[] {
  const requests = env.source.store.exchanges({ limit: 1 })[Symbol.iterator]().next().done !== true;
  if (requests)
    return emptyLines(env, ['no agent runs in this capture', '', 'but there are requests: 2 or :requests shows them']);
  const listen = env.source.store.recordings().at(-1)?.listen ?? 'PROXY:8140';
  const [host, port] = [listen.replace(/:\d+$/, ''), /\d+$/.exec(listen)?.[0] ?? '8140'];
  return emptyLines(env, [
    env.source.isLive() ? 'waiting for an agent' : 'no agent runs in this capture',
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
    { title: 'STARTED', width: 12, from: 60, cell: row => span(started(row.startedAt, now)) },
    { title: 'CERTNAME', width: 14, grow: true, cell: row => span(row.certname, 'name') },
    { title: 'ENVIRONMENT', width: 12, from: 100, cell: row => span(row.environment ?? '-') },
    { title: 'RESULT', width: 15, cell: row => resultSpan(env.source.result(row), env.theme.signs) },
    {
      title: 'TIME',
      width: 9,
      right: true,
      cell: row => span(row.endedAt === null ? `${duration(Math.max(0, took(row)))}…` : duration(took(row))),
    },
    { title: 'REQS', width: 6, right: true, cell: row => span(String(row.exchanges)) },
    {
      title: 'FAIL',
      width: 5,
      right: true,
      from: 70,
      cell: row => (row.failed === 0 ? span('-', 'dim') : span(String(row.failed), 'error')),
    },
    { title: 'A/P', width: 6, right: true, from: 76, cell: row => span(`${row.agentConnections}/${row.primaryConnections}`) },
    { title: 'FINDINGS', width: 8, from: 90, cell: row => findingsSpan(env, row) },
    { title: 'UP', width: 7, right: true, from: 110, cell: row => span(bytes(row.requestBytes)) },
    { title: 'DOWN', width: 7, right: true, from: 90, cell: row => span(bytes(row.responseBytes)) },
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

/** The time of a run of today, the day of an older one as well. */
function started(at: string, now: number): string {
  const same = new Date(at).toDateString() === new Date(now).toDateString();
  return same ? clockOf(at).slice(0, 8) : `${at.slice(5, 10)} ${clockOf(at).slice(0, 5)}`;
}

function sparkOf({ starts }: Runs, env: Env): Line {
  const [first] = starts;
  const last = starts.at(-1);
  if (first === undefined || last === undefined || starts.length < 2) return EMPTY;
  const from = clockOf(new Date(first).toISOString()).slice(0, 8);
  const to = clockOf(new Date(last).toISOString()).slice(0, 8);
  const label = starts.length < SPARK_RUNS ? 'runs' : `last ${SPARK_RUNS} runs`;
  const width = Math.max(8, Math.min(60, env.size.columns - label.length - 24));
  const counts = new Array<number>(width).fill(0);
  for (const start of starts)
    counts[Math.min(width - 1, Math.floor(((start - first) / Math.max(1, last - first)) * width))]! += 1;
  return [span(`  ${label} ${from} `, 'dim'), span(sparkline(counts, env.theme.signs.spark), 'changed'), span(` ${to}`, 'dim')];
}

function withStarts(state: Runs, env: Env): Runs {
  const rows = [...env.source.store.runs({ ...state.filter, reverse: true, limit: SPARK_RUNS })];
  return { ...state, starts: rows.map(row => Date.parse(row.startedAt)).reverse() };
}

function opened(state: Runs, env: Env): Runs {
  const pages = pagesOf(state, env);
  const atEnd = state.follow && !state.newestFirst;
  return { ...state, window: atEnd ? windowAtEnd(pages, heightOf(env)) : windowAtStart(pages, heightOf(env)) };
}

export function runsScreen(env: Env, filter: RunFilter = {}): Screen {
  const window: PageWindow<RunRow> = { rows: [], first: 0, atStart: true, atEnd: true, cursor: 0, top: 0 };
  const state: Runs = { filter, newestFirst: true, follow: env.source.isLive(), window, starts: [] };
  return screenOf(VIEW, withStarts(opened(state, env), env));
}
