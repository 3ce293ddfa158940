import type { ExchangeDetail } from '../../src/capture/store.ts';
import { isSecretField } from '../../src/decode/secrets.ts';
import type { Fields, Side } from '../../src/model.ts';
import { bodyNode, DECODE_ALL, wholeBody } from '../body-tree.ts';
import { delegate } from '../pane.ts';
import type { Env, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { beside, type Line, line, pad, span } from '../text.ts';
import type { TreeNode } from '../tree.ts';
import { treePane } from './tree.ts';

/** A request or an answer: first line, fields as received, body. Where the legs differ, both beside each other, or one after the other. */
interface Message {
  /** Agent leg, then primary leg. */
  readonly panes: readonly { readonly name: string; readonly pane: Screen }[];
  readonly focus: number;
}

/** From here on there is room for two. */
const WIDE = 120;

/** What one of so many panes sees. */
function half(env: Env, panes: number): Env {
  if (panes < 2) return env;
  const wide = env.size.columns >= WIDE;
  return {
    ...env,
    size: { columns: wide ? Math.floor((env.size.columns - 1) / 2) : env.size.columns, rows: Math.max(1, env.size.rows - 1) },
  };
}

const VIEW: View<Message> = {
  scopes: ({ panes, focus }) => panes[focus]!.pane.scopes(),
  title: () => '',
  act(state, action, env) {
    if (action.name === 'leg') {
      if (state.panes.length < 2) return { say: { text: 'both legs carried the same', kind: 'info' } };
      return { state: { ...state, focus: 1 - state.focus } };
    }
    return delegate(state.panes[state.focus]!.pane, action, half(env, state.panes.length), pane => ({
      ...state,
      panes: state.panes.map((known, i) => (i === state.focus ? { ...known, pane } : known)),
    }));
  },
  refresh: (state, env) => ({
    ...state,
    panes: state.panes.map(({ name, pane }) => ({ name, pane: pane.refresh(half(env, state.panes.length)) })),
  }),
  draw(state, env) {
    const inner = half(env, state.panes.length);
    if (state.panes.length < 2) return state.panes[0]!.pane.draw(env);
    const drawn = state.panes.map(({ name, pane }, i): Line[] => {
      const words = `${i === state.focus ? env.theme.signs.cursor : ' '}${name}${i === state.focus ? '' : ', L goes there'}`;
      return [
        line(pad(words, inner.size.columns), i === state.focus ? 'bold' : 'dim'),
        ...pane.draw(i === state.focus ? inner : { ...inner, unfocused: true }).slice(0, inner.size.rows),
      ];
    });
    if (env.size.columns < WIDE) return drawn[state.focus]!;
    return beside(drawn[0]!, drawn[1]!, inner.size.columns, '│');
  },
  status: (state, env) => state.panes[state.focus]!.pane.status(half(env, state.panes.length)),
};

export function messagePane(exchange: ExchangeDetail, of: 'request' | 'response', env: Env): Screen {
  const sides: Side[] = [of, `primary-${of}`];
  const there = sides.filter(side => side === of || exchange.bodies.some(body => body.side === side));
  const inner = half(env, there.length);
  const panes = there.map(side => ({
    name: side === of ? 'agent leg' : 'primary leg',
    pane: treePane({
      roots: rootsOf(exchange, of, side, inner),
      levels: 1,
      reread: at => rootsOf(at.source.store.exchange(exchange.id) ?? exchange, of, side, at),
      open: (node, at) => decodeAll(node, exchange, side, at),
    }),
  }));
  return screenOf(VIEW, { panes, focus: 0 });
}

function rootsOf(exchange: ExchangeDetail, of: 'request' | 'response', side: Side, env: Env): TreeNode[] {
  const body = bodyNode(env, exchange, side);
  if (side !== of) return [body];
  const { request, response } = exchange;
  if (of === 'request') {
    const first: Line = [span(`${request.method} `, 'bold'), span(request.target), span(` HTTP/${request.httpVersion}`, 'dim')];
    return [{ key: 'first', label: first }, fieldsNode('fields', request.fields), body];
  }
  if (response === null)
    return [
      { key: 'first', label: [span(exchange.outcome === 'abandoned' ? 'no answer: the agent went away' : 'no answer', 'error')] },
    ];
  const first: Line = [span(`${response.status} `, response.status >= 400 ? 'error' : 'ok'), span(response.reason)];
  const trailers = exchange.trailers.length === 0 ? [] : [fieldsNode('trailers', exchange.trailers)];
  return [{ key: 'first', label: first }, fieldsNode('fields', response.fields), body, ...trailers];
}

/** Field lines in the order and case in which they were received. */
function fieldsNode(name: string, fields: Fields): TreeNode {
  const label: Line = [span(`${name} `, 'bold'), span(`${fields.length}, as received`, 'dim')];
  if (fields.length === 0) return { key: name, label };
  return {
    key: name,
    label,
    kids: () =>
      fields.map(([field, value], i) => ({
        key: String(i),
        label: [
          span(`${field}: `, 'name'),
          span(isSecretField(field) ? '(hidden)' : value, isSecretField(field) ? 'warning' : 'value'),
        ],
      })),
  };
}

function decodeAll(node: TreeNode, exchange: ExchangeDetail, side: Side, env: Env): Step | null {
  if (node.ref !== DECODE_ALL) return null;
  return {
    job: {
      label: 'decoding the body',
      async run(report) {
        report('working');
        // The screen says so before the work begins.
        await new Promise(resolve => setTimeout(resolve, 50));
        return { push: treePane({ title: `${side} body`, roots: wholeBody(env, exchange, side), levels: 0 }) };
      },
    },
  };
}
