import { counted, sized } from '../../src/analysis/words.ts';
import type { RunRow } from '../../src/capture/store.ts';
import { widthOf } from '../../src/commands/columns.ts';
import { duration } from '../../src/commands/present.ts';
import { delegate, drawPane, paneEnv } from '../pane.ts';
import { resultSpan } from '../run-cells.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { isSettled } from '../source.ts';
import { tabAfter } from '../tabs.ts';
import { cut, type Line, line, type Span, span, wrapText } from '../text.ts';
import { findingsPane } from './findings.ts';
import { catalogPane, factsPane } from './run-catalog.ts';
import { certificatesPane, filesPane } from './run-files.ts';
import { runRequests } from './run-requests.ts';
import { connectionsPane, eventsPane, logsPane } from './run-tables.ts';

/** One agent run: the waterfall of its requests, and what they said. Each tab is a pane that is made when it is looked at. */
interface Run {
  readonly row: RunRow;
  readonly tab: number;
  readonly panes: ReadonlyMap<number, Screen>;
  /** Tabs that were read before the capture grew. */
  readonly stale: ReadonlySet<number>;
  /** Nothing more was to come of the run when it was read. */
  readonly settled: boolean;
}

const TABS: readonly { name: string; short?: string; pane(run: number, env: Env, row: RunRow): Screen }[] = [
  { name: 'Requests', pane: (run, env, row) => runRequests(run, env, row.end === null) },
  { name: 'Catalog', pane: catalogPane },
  { name: 'Facts', pane: factsPane },
  { name: 'Events', pane: eventsPane },
  { name: 'Logs', pane: logsPane },
  { name: 'Files', pane: filesPane },
  { name: 'Certificates', short: 'Certs', pane: certificatesPane },
  { name: 'Connections', short: 'Conn', pane: connectionsPane },
  { name: 'Findings', pane: (run, env) => findingsPane(env, { run }) },
];

const NAMES = TABS.map(({ name }) => name);

function paneOf({ row, tab, panes }: Run, env: Env): Screen {
  return panes.get(tab) ?? TABS[tab]!.pane(row.id, below(row, env), row);
}

function withPane(state: Run, pane: Screen): Run {
  return { ...state, panes: new Map(state.panes).set(state.tab, pane) };
}

function atTab(state: Run, tab: number, env: Env): Run {
  const next = { ...state, tab, stale: new Set([...state.stale].filter(other => other !== tab)) };
  const pane = paneOf(next, env);
  return withPane(next, state.stale.has(tab) ? pane.refresh(below(state.row, env)) : pane);
}

const VIEW: View<Run> = {
  scopes: ({ panes, tab }) => [...(panes.get(tab)?.scopes() ?? []), 'run'],
  title: ({ row }) => `r${row.id} ${row.certname}`,
  tabs: ({ tab }) => ({ names: NAMES, short: TABS.map(({ name, short }) => short ?? name), current: tab }),
  act(state, action, env) {
    const step = tabAfter(action, state.tab, NAMES);
    if (step !== null) return 'say' in step ? step : { state: atTab(state, step.tab, env) };
    return delegate(paneOf(state, env), action, below(state.row, env), pane => withPane(state, pane));
  },
  refresh(state, env) {
    const { store } = env.source;
    const row = store.run(state.row.id) ?? state.row;
    if (state.settled && row.exchanges === state.row.exchanges) return { ...state, row };
    // Asked before the tab is read: what comes meanwhile is read the next time.
    const settled = isSettled(store, row);
    const pane = paneOf(state, env).refresh(below(row, env));
    const stale = new Set([...state.panes.keys()].filter(tab => tab !== state.tab));
    return withPane({ ...state, row, stale, settled }, pane);
  },
  draw(state, env) {
    const head = headOf(state.row, env);
    return [...head, ...drawPane(paneOf(state, env), env, head.length)];
  },
  status: (state, env) => paneOf(state, env).status(below(state.row, env)),
  subject: ({ row, tab, panes }) => panes.get(tab)?.subject() ?? { type: 'run', id: row.id },
};

/** Rows of a terminal from which on there is room for all of the head, and to say why a run went wrong. */
const ROOMY = 15;
const WHY_LINES = 2;
const HEAD_LINES = 2;
/** An environment may have any name. */
const LONGEST_PART = 24;

/** What is known of the run, and the first of what the rules call an error in it. */
function headOf(row: RunRow, env: Env): Line[] {
  const head = headLines(row, env);
  if (env.size.rows < ROOMY || !env.source.findings(row).has('error')) return head;
  const [worst] = env.source.store.findings({ run: row.id, severity: 'error', limit: 1 });
  if (worst === undefined) return head;
  const text = wrapText(worst.summary, env.size.columns - 4, WHY_LINES);
  return [...head, ...text.map((part, i) => line(`${i === 0 ? ` ${env.theme.signs.failed} ` : '   '}${part}`, 'error'))];
}

/** What a tab sees: what is below the head. */
function below(row: RunRow, env: Env): Env {
  return paneEnv(env, headOf(row, env).length);
}

/** One part after the other; those that have no room in a line go on in the next, where there is room for it, and are left out elsewhere. */
function headLines(row: RunRow, env: Env): Line[] {
  const lines: Span[][] = [[]];
  let used = 0;
  for (const part of headParts(row, env)) {
    const width = widthOf(part.text) + 2;
    if (used > 0 && used + width > env.size.columns) {
      if (lines.length === HEAD_LINES || env.size.rows < ROOMY) break;
      lines.push([]);
      used = 0;
    }
    lines.at(-1)!.push(span(used === 0 ? ' ' : '  '), part);
    used += used === 0 ? width - 1 : width;
  }
  return lines;
}

function headParts(row: RunRow, env: Env): Span[] {
  const took = (row.endedAt === null ? env.now() : Date.parse(row.endedAt)) - Date.parse(row.startedAt);
  return [
    resultSpan(env.source.result(row), env.theme.signs),
    span(duration(Math.max(0, took))),
    span(cut(row.environment ?? 'no environment', LONGEST_PART)),
    span(counted(row.exchanges, 'request')),
    ...(row.failed > 0 ? [span(`${row.failed} failed`, 'error')] : []),
    span(`${row.agentConnections}/${row.primaryConnections} connections`),
    span(`${sized(row.requestBytes)} up, ${sized(row.responseBytes)} down`),
    ...(row.puppetVersion === null ? [] : [span(`Puppet ${row.puppetVersion}`, 'dim')]),
    span(row.end === null ? 'still open' : `ended by ${row.end}`, 'dim'),
  ];
}

export function runScreen(id: number, env: Env): Screen | null {
  const row = env.source.store.run(id);
  if (row === null) return null;
  const settled = isSettled(env.source.store, row);
  return screenOf(VIEW, atTab({ row, tab: 0, panes: new Map(), stale: new Set(), settled }, 0, env));
}
