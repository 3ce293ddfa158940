import type { ExchangeDetail } from '../../src/capture/store.ts';
import { shortTarget } from '../exchange-cells.ts';
import { delegate, drawPane } from '../pane.ts';
import { messagePane } from '../panes/message.ts';
import { rawPane } from '../panes/raw.ts';
import { textPane } from '../panes/text.ts';
import type { Env, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { tabAfter } from '../tabs.ts';
import { connectionLines, summaryLines, timingLines } from './exchange-pages.ts';

/** One request with its outcome. */
interface Exchange {
  readonly exchange: ExchangeDetail;
  readonly tab: number;
  readonly panes: ReadonlyMap<number, Screen>;
  /** Its bodies were decoded when it was read. */
  readonly settled: boolean;
}

const TABS: readonly { name: string; pane(exchange: ExchangeDetail, env: Env): Screen }[] = [
  {
    name: 'Summary',
    pane: (exchange, env) =>
      textPane({ lines: columns => summaryLines(asItIs(exchange, env), env, columns), changing: true }, env),
  },
  { name: 'Request', pane: (exchange, env) => messagePane(exchange, 'request', env) },
  { name: 'Response', pane: (exchange, env) => messagePane(exchange, 'response', env) },
  { name: 'Timing', pane: (exchange, env) => textPane({ lines: columns => timingLines(exchange, env, columns) }, env) },
  {
    name: 'Connection',
    pane: (exchange, env) => textPane({ lines: columns => connectionLines(exchange, env, columns), changing: true }, env),
  },
  { name: 'Raw', pane: exchange => rawPane(exchange, exchange.response === null ? 'request' : 'response') },
];

export const RESPONSE_TAB = TABS.findIndex(({ name }) => name === 'Response');
const CONNECTION = TABS.findIndex(({ name }) => name === 'Connection');

/** Its run may not be known at once. */
function asItIs(exchange: ExchangeDetail, env: Env): ExchangeDetail {
  return env.source.store.exchange(exchange.id) ?? exchange;
}

function isSettled(exchange: ExchangeDetail, env: Env): boolean {
  return env.source.store.decoded.behind({ exchange: exchange.id }) === 0;
}

function openedAt(exchange: ExchangeDetail, tab: number, env: Env): Exchange {
  return atTab({ exchange, tab, panes: new Map(), settled: isSettled(exchange, env) }, tab, env);
}

const NAMES = TABS.map(({ name }) => name);

function paneOf({ exchange, tab, panes }: Exchange, env: Env): Screen {
  return panes.get(tab) ?? TABS[tab]!.pane(exchange, env);
}

function withPane(state: Exchange, pane: Screen): Exchange {
  return { ...state, panes: new Map(state.panes).set(state.tab, pane) };
}

function atTab(state: Exchange, tab: number, env: Env): Exchange {
  const next = { ...state, tab };
  return withPane(next, paneOf(next, env));
}

const VIEW: View<Exchange> = {
  scopes: ({ panes, tab }) => [...(panes.get(tab)?.scopes() ?? []), 'exchange'],
  title: ({ exchange }) => `e${exchange.id} ${exchange.request.method} ${shortTarget(exchange.target)}`,
  tabs: ({ tab }) => ({ names: NAMES, current: tab }),
  act(state, action, env) {
    const step = tabAfter(action, state.tab, NAMES);
    if (step !== null) return 'say' in step ? step : { state: atTab(state, step.tab, env) };
    if (action.name === 'next-row' || action.name === 'previous-row') return neighbour(state, action.name === 'next-row', env);
    return delegate(paneOf(state, env), action, env, pane => withPane(state, pane));
  },
  refresh(state, env) {
    const exchange = state.settled ? state.exchange : asItIs(state.exchange, env);
    const settled = isSettled(exchange, env);
    // What was captured of an exchange does not change; what was decoded of it comes later, and its connections go on.
    const refreshed = (tab: number, pane: Screen): Screen => (state.settled && tab !== CONNECTION ? pane : pane.refresh(env));
    const panes = new Map([...state.panes].map(([tab, pane]) => [tab, refreshed(tab, pane)]));
    return { ...state, exchange, settled, panes };
  },
  draw: (state, env) => drawPane(paneOf(state, env), env, 0),
  status: (state, env) => paneOf(state, env).status(env),
  subject: ({ exchange }) => ({ type: 'exchange', id: exchange.id }),
};

/** The exchange before or behind this one: of the same run, if it has one; on the same tab. */
function neighbour({ exchange, tab }: Exchange, next: boolean, env: Env): { state?: Exchange; say?: Step['say'] & object } {
  const run = exchange.run === null ? {} : { run: exchange.run };
  const place = next ? { after: exchange.id } : { before: exchange.id, reverse: true };
  const [row] = env.source.store.exchanges({ ...run, ...place, limit: 1 });
  const detail = row === undefined ? null : env.source.store.exchange(row.id);
  if (detail === null) return { say: { text: `this is the ${next ? 'last' : 'first'} one`, kind: 'info' } };
  return { state: openedAt(detail, tab, env) };
}

export function exchangeScreen(id: number, env: Env, tab = 0): Screen | null {
  const exchange = env.source.store.exchange(id);
  return exchange === null ? null : screenOf(VIEW, openedAt(exchange, tab, env));
}

export function openExchange(id: number, env: Env, tab = 0): Step {
  const screen = exchangeScreen(id, env, tab);
  return screen === null ? { say: { text: `there is no exchange e${id}`, kind: 'error' } } : { push: screen };
}
