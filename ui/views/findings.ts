import type { Severity } from '../../src/analysis/findings/finding.ts';
import { RULES } from '../../src/analysis/findings/registry.ts';
import { counted } from '../../src/analysis/words.ts';
import type { FindingFilter, FindingRow } from '../../src/capture/store.ts';
import { emptyLines } from '../frame.ts';
import { tablePane } from '../panes/table.ts';
import { titled } from '../panes/titled.ts';
import { treePane } from '../panes/tree.ts';
import type { Env, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { isSettled } from '../source.ts';
import type { Column } from '../table.ts';
import { type Span, span } from '../text.ts';
import type { StyleName } from '../theme.ts';
import { momentOf } from '../time.ts';
import type { TreeNode } from '../tree.ts';
import { openConnection } from './connection.ts';
import { openExchange } from './exchange.ts';
import { resourceScreen } from './resource.ts';

/** What the rules found: in a run, or in all of the capture; enter shows the evidence, and leads to it. */

const STYLES: Record<Severity, StyleName> = { error: 'error', warning: 'warning', info: 'dim' };

export function severitySpan(severity: Severity): Span {
  return span(severity, STYLES[severity]);
}

/** Findings of a whole capture that are shown; `stringtap findings` has all. */
const MOST = 5000;

export function findingsPane(env: Env, filter: FindingFilter): Screen {
  const read = (at: Env): FindingRow[] => [...at.source.store.findings({ ...filter, limit: MOST })];
  const ofRun = filter.run !== undefined;
  const columns = (): Column<FindingRow>[] => [
    { title: 'SEVERITY', width: 8, cell: row => severitySpan(row.severity) },
    ...(ofRun
      ? []
      : [{ title: 'RUN', width: 6, cell: (row: FindingRow) => span(row.run === null ? '-' : `r${row.run}`, 'dim') }]),
    ...(ofRun ? [] : [{ title: 'SUBJECT', width: 18, from: 90, cell: (row: FindingRow) => span(row.subject, 'name') }]),
    { title: 'RULE', width: 24, from: 90, cell: row => span(row.rule, 'name') },
    { title: 'WHAT', width: 20, grow: true, cell: row => span(row.summary) },
  ];
  return tablePane({
    rows: read(env),
    most: MOST,
    columns,
    reread: read,
    title: row => row.rule,
    isProblem: row => row.severity !== 'info',
    details: row => [
      ['finding', `${row.severity}: ${row.summary}`],
      ['fix', row.fix],
      ['rule', row.rule],
      ['of', `${row.run === null ? 'no run' : `r${row.run}`}, ${row.subject}, ${momentOf(row.at)}`],
    ],
    open: (row, at) => ({ push: findingScreen(row, at) }),
    empty: at =>
      emptyLines(at, [
        'no findings',
        '',
        isJudged(at, filter.run)
          ? 'nothing that the rules know is wrong here'
          : 'a run is judged when it has ended and all of it is decoded',
      ]),
  });
}

function isJudged({ source: { store } }: Env, id: number | null | undefined): boolean {
  const run = id === undefined || id === null ? null : store.run(id);
  return run === null || isSettled(store, run);
}

/** One finding with its evidence. */
function findingScreen(row: FindingRow, env: Env): Screen {
  const rule = RULES.find(known => known.id === row.rule);
  const said: TreeNode[] = [
    leaf('summary', row.summary),
    leaf('fix', row.fix),
    ...(rule === undefined ? [] : [leaf('what it means', rule.meaning), leaf('when it is found', rule.threshold)]),
    ...Object.entries(row.evidence.figures).flatMap(([name, value]) =>
      value === null ? [] : [figure(name, String(value), row)],
    ),
  ];
  const exchanges = row.evidence.exchanges.slice(0, 500).map((id): TreeNode => {
    const exchange = env.source.store.exchange(id);
    const words = exchange === null ? '' : ` ${exchange.method} ${exchange.target}`;
    return { key: `e${id}`, ref: id, label: [span(`e${id}`, 'key'), span(words)] };
  });
  const connections = row.evidence.connections
    .slice(0, 500)
    .map((id): TreeNode => ({ key: `c${id}`, label: [span(`c${id}`, 'key'), span(connectionWords(id, env))] }));
  const roots: TreeNode[] = [
    {
      key: 'finding',
      label: [severitySpan(row.severity), span(` ${row.rule}`, 'bold'), span(`  ${row.subject}`, 'name')],
      kids: () => said,
    },
    ...evidenceNode('exchanges', exchanges, row.evidence.exchanges.length),
    ...evidenceNode('connections', connections, row.evidence.connections.length),
  ];
  const open = (node: TreeNode, at: Env): Step | null => {
    if (node.key.startsWith(RESOURCE) && row.run !== null)
      return { push: resourceScreen(node.key.slice(RESOURCE.length), row.run, at) };
    const connection = /^c(\d+)$/.exec(node.key)?.[1];
    if (connection !== undefined) return openConnection(Number(connection), row.run, at);
    return node.ref === undefined ? null : openExchange(node.ref, at);
  };
  const pane = treePane({ roots, levels: 1, open });
  return titled(pane, { title: row.rule, scopes: [], of: row.run === null ? null : { type: 'run', id: row.run } });
}

function connectionWords(id: number, { source: { store } }: Env): string {
  const row = store.connection(id);
  return row === null ? '' : ` ${row.leg} leg, ${row.certname ?? row.peer}, ${counted(row.exchanges, 'request')}`;
}

function evidenceNode(name: string, kids: TreeNode[], count: number): TreeNode[] {
  if (kids.length === 0) return [];
  const words = count > kids.length ? `the first ${kids.length} of ${count}` : String(count);
  return [{ key: name, label: [span(`${name} `, 'bold'), span(`${words}; enter opens one`, 'dim')], kids: () => kids }];
}

/** How the key of a row begins that leads to a resource. */
const RESOURCE = 'resource ';

/** A resource by its name, as in `Exec[apt update]`, leads to all that its run says of it. */
function figure(name: string, value: string, { run }: FindingRow): TreeNode {
  if (name !== 'resource' || run === null || !/^[A-Z][\w:]*\[/.test(value)) return leaf(name, value);
  const { label } = leaf(name, value);
  return { key: `${RESOURCE}${value}`, label: [...label, span('  enter: what became of it', 'dim')] };
}

function leaf(name: string, value: string): TreeNode {
  return { key: name, label: [span(`${name}: `, 'name'), span(value)] };
}

const VIEW: View<Screen> = {
  scopes: pane => [...pane.scopes(), 'findings'],
  title: () => 'findings',
  act(pane, action, env) {
    const step = pane.act(action, env);
    if (step === null) return null;
    const { screen, ...rest } = step;
    return screen === undefined ? rest : { ...rest, state: screen };
  },
  refresh: (pane, env) => pane.refresh(env),
  draw: (pane, env) => pane.draw(env),
  status: (pane, env) => pane.status(env),
};

/** Findings of all of the capture. */
export function findingsScreen(env: Env): Screen {
  return screenOf(VIEW, findingsPane(env, {}));
}
