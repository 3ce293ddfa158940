import { sized } from '../../src/analysis/words.ts';
import type { ExchangeDetail } from '../../src/capture/store.ts';
import type { Side } from '../../src/model.ts';
import { emptyLines } from '../frame.ts';
import { hexBytes, hexLine, textLine } from '../hex.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { moveOf } from '../moves.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Line, span } from '../text.ts';

/** The bytes of a body as they were on the wire, content coding kept. Only those on the screen are read, however large it is. */
interface Raw {
  readonly exchange: ExchangeDetail;
  /** In `exchange.bodies`. */
  readonly body: number;
  readonly hex: boolean;
  readonly place: ListState;
}

const heightOf = (env: Env): number => Math.max(1, env.size.rows - 1);
const perRow = ({ hex }: Raw, env: Env): number => (hex ? hexBytes(env.size.columns) : Math.max(16, env.size.columns - 12));
const rowsOf = (state: Raw, env: Env): number =>
  Math.max(1, Math.ceil((state.exchange.bodies[state.body]?.kept ?? 0) / perRow(state, env)));

const VIEW: View<Raw> = {
  scopes: () => ['raw'],
  title: () => '',
  act(state, action, env) {
    const rows = rowsOf(state, env);
    const move = moveOf(action);
    if (move !== null) {
      // The bytes move, not a cursor in them.
      const top = moveList(
        { cursor: state.place.top, top: state.place.top },
        move,
        Math.max(1, rows - heightOf(env) + 1),
        1,
      ).cursor;
      const page = moveList(
        { cursor: state.place.top, top: state.place.top },
        move,
        Math.max(1, rows - heightOf(env) + 1),
        heightOf(env),
      ).cursor;
      const by = move === 'up' || move === 'down' || move === 'top' || move === 'bottom' ? top : page;
      return { state: { ...state, place: { cursor: by, top: by } } };
    }
    if (action.name === 'hex') {
      const at = state.place.top * perRow(state, env);
      const next = { ...state, hex: !state.hex };
      const top = Math.floor(at / perRow(next, env));
      return { state: { ...next, place: settle({ cursor: top, top }, rowsOf(next, env), heightOf(env)) } };
    }
    if (action.name === 'leg') {
      const count = state.exchange.bodies.length;
      return count < 2
        ? { say: { text: 'there is no other body', kind: 'info' } }
        : { state: { ...state, body: (state.body + 1) % count, place: LIST_START } };
    }
    return null;
  },
  refresh: state => state,
  draw(state, env) {
    const info = state.exchange.bodies[state.body];
    if (info === undefined) return emptyLines(env, ['no bodies', '', 'neither request nor answer had one']);
    const width = perRow(state, env);
    const { top } = settle({ cursor: state.place.top, top: state.place.top }, rowsOf(state, env), heightOf(env));
    const from = top * width;
    const part = env.source.store.bodyPart(state.exchange.id, info.side, from, width * heightOf(env));
    const others = state.exchange.bodies.length > 1 ? ', L the next body' : '';
    const head: Line = [
      span(` ${info.side} `, 'bold'),
      span(`${sized(info.kept)} as on the wire; x ${state.hex ? 'as text' : 'as hex'}${others}`, 'dim'),
    ];
    const rows = Array.from({ length: Math.ceil(part.length / width) }, (_, i): Line => {
      const row = part.subarray(i * width, (i + 1) * width);
      return state.hex ? hexLine(row, from + i * width, width) : textLine(row, from + i * width);
    });
    return [head, ...rows];
  },
  status(state, env) {
    const size = state.exchange.bodies[state.body]?.kept ?? 0;
    return size === 0 ? '' : `byte ${Math.min(size, state.place.top * perRow(state, env))} of ${size} `;
  },
};

export function rawPane(exchange: ExchangeDetail, first: Side): Screen {
  const body = Math.max(
    0,
    exchange.bodies.findIndex(info => info.side === first),
  );
  return screenOf(VIEW, { exchange, body, hex: true, place: LIST_START });
}
