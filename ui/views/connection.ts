import { counted } from '../../src/analysis/words.ts';
import type { ExchangeRow } from '../../src/capture/store.ts';
import { laneWords } from '../../src/commands/reuse-text.ts';
import { connectionDetails } from '../connection-cells.ts';
import { detailLines } from '../panes/table.ts';
import { titled } from '../panes/titled.ts';
import { treePane } from '../panes/tree.ts';
import { readLane } from '../reuse-lanes.ts';
import type { Env, Step } from '../screen.ts';
import { type Line, pad, span } from '../text.ts';
import { shortDuration } from '../time.ts';
import type { TreeNode } from '../tree.ts';
import { openExchange } from './exchange.ts';
import { requestsScreen } from './requests.ts';

/** One connection with the requests that it carried; enter leads to them. */

/** What a row of a tree takes before its own words. */
const INDENT = 3;
const ALL = 'all';

/** @param run whose requests are shown; `null`: the newest of any */
export function openConnection(id: number, run: number | null, env: Env): Step {
  const roots = nodesOf(id, run, env);
  if (roots === null) return { say: { text: `there is no connection c${id}`, kind: 'error' } };
  const open = ({ key, ref }: TreeNode, at: Env): Step | null => {
    if (key === ALL) return { push: requestsScreen(at, { filter: `~conn c${id}` }) };
    return ref === undefined ? null : openExchange(ref, at);
  };
  const pane = treePane({ roots, reread: at => nodesOf(id, run, at), levels: 1, open });
  return { push: titled(pane, { title: `c${id}`, scopes: [], of: run === null ? null : { type: 'run', id: run } }) };
}

function nodesOf(id: number, run: number | null, env: Env): TreeNode[] | null {
  const row = env.source.store.connection(id);
  if (row === null) return null;
  const { lane, exchanges } = readLane(env.source.store, row, run);
  const story: [string, string][] = lane === null ? [] : [['story', laneWords(lane)]];
  const said = detailLines([...connectionDetails(row), ...story], env.size.columns - INDENT);
  const carried = (lane?.uses ?? []).flatMap(({ exchange, ordinal }): TreeNode[] => {
    const one = exchanges.get(exchange);
    // Of other runs the one before and the last are read as well: they tell how long the connection was open.
    return one === undefined || (run !== null && one.run !== run)
      ? []
      : [{ key: `e${one.id}`, ref: one.id, label: labelOf(one, ordinal) }];
  });
  const all: TreeNode = { key: ALL, label: [span('all that it carried: ', 'dim'), span(`:requests, filter ~conn c${id}`)] };
  const whose = run === null ? '' : ` of r${run}`;
  const label: Line = [span(`${counted(carried.length, 'request')}${whose}`, 'bold'), span('; enter opens one', 'dim')];
  return [
    ...said.map((text, n): TreeNode => ({ key: String(n), label: text })),
    { key: 'requests', label, kids: () => [...carried, all] },
  ];
}

function labelOf(exchange: ExchangeRow, ordinal: number): Line {
  return [
    span(pad(`e${exchange.id}`, 7), 'key'),
    span(`${String(ordinal).padStart(4)}  ${pad(exchange.phase, 12)}${pad(String(exchange.status ?? '-'), 4)}`),
    span(`${shortDuration(exchange.durationMs).padStart(8)}  ${exchange.method} ${exchange.target}`),
  ];
}
