import type { RunRow } from '../../src/capture/store.ts';
import { bytes, duration } from '../../src/commands/present.ts';
import { plural } from '../../src/commands/show-text.ts';
import { cycle } from '../list.ts';
import { delegate, drawPane, paneEnv } from '../pane.ts';
import { resultSpan } from '../run-cells.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Line, type Span, span } from '../text.ts';
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

/** The line about the run takes one row. */
const HEAD = 1;

function paneOf({ row, tab, panes }: Run, env: Env): Screen {
  return panes.get(tab) ?? TABS[tab]!.pane(row.id, paneEnv(env, HEAD), row);
}

function withPane(state: Run, pane: Screen): Run {
  return { ...state, panes: new Map(state.panes).set(state.tab, pane) };
}

function atTab(state: Run, tab: number, env: Env): Run {
  const next = { ...state, tab };
  return withPane(next, paneOf(next, env));
}

const VIEW: View<Run> = {
  scopes: ({ panes, tab }) => [...(panes.get(tab)?.scopes() ?? []), 'run'],
  title: ({ row }) => `r${row.id} ${row.certname}`,
  tabs: ({ tab }) => ({ names: TABS.map(({ name }) => name), short: TABS.map(({ name, short }) => short ?? name), current: tab }),
  act(state, action, env) {
    switch (action.name) {
      case 'next-tab':
        return { state: atTab(state, cycle(state.tab, 1, TABS.length), env) };
      case 'previous-tab':
        return { state: atTab(state, cycle(state.tab, -1, TABS.length), env) };
      case 'tab': {
        const tab = tabOf(action.argument ?? '');
        return tab === null
          ? { say: { text: `there is no tab ${action.argument}`, kind: 'info' } }
          : { state: atTab(state, tab, env) };
      }
      default:
        return delegate(paneOf(state, env), action, paneEnv(env, HEAD), pane => withPane(state, pane));
    }
  },
  refresh(state, env) {
    const row = env.source.store.run(state.row.id) ?? state.row;
    // A run that is over does not change any more, once all of it is decoded.
    const settled = state.row.end !== null && row.exchanges === state.row.exchanges && env.source.store.decoded.behind() === 0;
    const pane = paneOf(state, env);
    return withPane(
      { ...state, row, panes: settled ? state.panes : new Map() },
      settled ? pane : pane.refresh(paneEnv(env, HEAD)),
    );
  },
  draw: (state, env) => [headLine(state.row, env), ...drawPane(paneOf(state, env), env, HEAD)],
  status: (state, env) => paneOf(state, env).status(paneEnv(env, HEAD)),
  subject: ({ row, tab, panes }) => panes.get(tab)?.subject() ?? { type: 'run', id: row.id },
};

/** The number of a tab, or the start of its name. */
function tabOf(text: string): number | null {
  const wanted = text.toLowerCase();
  const found = /^\d+$/.test(wanted) ? Number(wanted) - 1 : TABS.findIndex(({ name }) => name.toLowerCase().startsWith(wanted));
  return wanted !== '' && found >= 0 && found < TABS.length ? found : null;
}

function headLine(row: RunRow, env: Env): Line {
  const took = (row.endedAt === null ? env.now() : Date.parse(row.endedAt)) - Date.parse(row.startedAt);
  const parts: Span[] = [
    resultSpan(env.source.result(row), env.theme.signs),
    span(duration(Math.max(0, took))),
    span(plural(row.exchanges, 'request')),
    ...(row.failed > 0 ? [span(`${row.failed} failed`, 'error')] : []),
    span(`${row.agentConnections}/${row.primaryConnections} connections`),
    span(`${bytes(row.requestBytes)} up, ${bytes(row.responseBytes)} down`),
    span(row.environment ?? 'no environment', 'dim'),
    ...(row.puppetVersion === null ? [] : [span(`Puppet ${row.puppetVersion}`, 'dim')]),
    span(row.end === null ? 'still open' : `ended by ${row.end}`, 'dim'),
  ];
  return parts.flatMap((part, i) => [span(i === 0 ? ' ' : '  '), part]);
}

export function runScreen(id: number, env: Env): Screen | null {
  const row = env.source.store.run(id);
  return row === null ? null : screenOf(VIEW, atTab({ row, tab: 0, panes: new Map() }, 0, env));
}
