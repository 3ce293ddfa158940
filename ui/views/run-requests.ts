import type { ConnectionRow, ExchangeRow, MomentsRow } from '../../src/capture/store.ts';
import { duration } from '../../src/commands/present.ts';
import type { Leg } from '../../src/model.ts';
import { exchangeColumns, isProblem } from '../exchange-cells.ts';
import { emptyLines } from '../frame.ts';
import { showsRow } from '../hits.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { signOf } from '../marks.ts';
import { moveOf } from '../moves.ts';
import type { Env, Screen, StepOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { emphasise, matcher, NOT_SEARCHED, nextMatch } from '../search.ts';
import { headOf, layoutOf, rowOf } from '../table.ts';
import { EMPTY, type Line, line, pad, type Span, span } from '../text.ts';
import type { Signs } from '../theme.ts';
import { nextTime, type TimeColumn } from '../time.ts';
import {
  axisLine,
  gapLine,
  gapsOf,
  type Lane,
  lanesOf,
  paintLane,
  pan,
  type Range,
  reveal,
  wholeRange,
  zoom,
} from '../waterfall.ts';
import { openExchange } from './exchange.ts';

/** The waterfall of a run with the list of its requests under it, in step. */

interface Data {
  readonly exchanges: readonly ExchangeRow[];
  readonly moments: ReadonlyMap<number, MomentsRow>;
  readonly connections: readonly ConnectionRow[];
  readonly gaps: readonly Range[];
  readonly whole: Range;
  /** Requests that the run has beyond those that are shown. */
  readonly more: number;
}

interface Requests {
  readonly run: number;
  readonly data: Data;
  readonly legs: 'both' | Leg;
  readonly lanes: readonly Lane[];
  readonly place: ListState;
  /** `null`: all of the time. */
  readonly range: Range | null;
  readonly split: 'both' | 'list' | 'lanes';
  readonly time: TimeColumn;
  readonly follow: boolean;
  readonly query: string;
}

/** An agent run has tens to hundreds of requests, one that fetches a tree file by file thousands. */
const MAX_REQUESTS = 10_000;
const LEGS = ['both', 'agent', 'primary'] as const;
const SPLITS = ['both', 'list', 'lanes'] as const;

function read(run: number, env: Env): Data {
  const { store } = env.source;
  const all = [...store.exchanges({ run, limit: MAX_REQUESTS })];
  // A run is of one recording; what is of another could not be drawn on one scale.
  const exchanges = all.filter(row => row.recording === all[0]?.recording);
  const used = new Set(exchanges.flatMap(row => [row.agentConnection, row.primaryConnection]));
  const connections = [...store.connections({ run, limit: 1000 })].filter(row => row.leg === 'agent' || used.has(row.id));
  return {
    exchanges,
    moments: new Map(store.moments(run).map(row => [row.id, row])),
    connections,
    gaps: gapsOf(exchanges),
    whole: wholeRange(exchanges, connections),
    more: Math.max(0, (store.run(run)?.exchanges ?? 0) - exchanges.length),
  };
}

/** Rows of lanes and of the list: the lanes get up to half, axis and gaps take two of it, the list's head one. */
function heights(state: Requests, env: Env): { lanes: number; list: number } {
  const { rows } = env.size;
  // Read aloud, lanes are noise: the list has the times in words.
  if (state.split === 'list' || env.theme.reader) return { lanes: 0, list: Math.max(1, rows - 1) };
  if (state.split === 'lanes') return { lanes: Math.max(1, rows - 3), list: 0 };
  const lanes = Math.max(1, Math.min(state.lanes.length, Math.floor(rows / 2) - 2));
  return { lanes, list: Math.max(1, rows - lanes - 4) };
}

const VIEW: View<Requests> = {
  scopes: () => ['waterfall', 'list'],
  title: () => '',
  act(state, action, env) {
    const { exchanges, whole } = state.data;
    const move = moveOf(action);
    const height = Math.max(1, heights(state, env).list);
    if (move !== null)
      return { state: selected({ ...state, follow: false }, moveList(state.place, move, exchanges.length, height)) };
    const row = exchanges[state.place.cursor];
    const range = state.range ?? whole;
    const middle =
      row === undefined
        ? (range.from + range.to) / 2
        : Math.min(range.to, Math.max(range.from, (row.startMono + row.endMono) / 2));
    switch (action.name) {
      case 'open':
        return row === undefined ? {} : openExchange(row.id, env);
      case 'zoom-in':
        return { state: { ...state, range: zoom(range, whole, 0.5, middle) } };
      case 'zoom-out':
        return { state: { ...state, range: widened(zoom(range, whole, 2, middle), whole) } };
      case 'zoom-all':
        return { state: { ...state, range: null } };
      case 'left':
      case 'right':
        if (state.range === null) return { say: { text: 'all of the time is shown; + zooms in', kind: 'info' } };
        return { state: { ...state, range: pan(state.range, whole, action.name === 'left' ? -0.25 : 0.25) } };
      case 'legs':
        return { state: withLanes({ ...state, legs: LEGS[(LEGS.indexOf(state.legs) + 1) % LEGS.length]! }) };
      case 'maximise':
        return { state: { ...state, split: SPLITS[(SPLITS.indexOf(state.split) + 1) % SPLITS.length]! } };
      case 'time':
        return { state: { ...state, time: nextTime(state.time) } };
      case 'follow':
        return {
          state: selected({ ...state, follow: !state.follow }, moveList(state.place, 'bottom', exchanges.length, height)),
        };
      case 'next-problem':
      case 'previous-problem':
        return problem(state, action.name === 'next-problem' ? 1 : -1, height);
      case 'search':
      case 'next-match':
      case 'previous-match': {
        const query = action.name === 'search' ? (action.argument ?? '') : state.query;
        if (query === '') return { state: { ...state, query }, ...(action.name !== 'search' && { say: NOT_SEARCHED }) };
        const by = action.name === 'previous-match' ? -1 : 1;
        const matches = matcher(query);
        const start = state.place.cursor + (action.name === 'search' ? 0 : by);
        const found = nextMatch(exchanges.length, start, by, i =>
          matches(`e${exchanges[i]!.id} ${exchanges[i]!.phase} ${exchanges[i]!.target}`),
        );
        if (found === null)
          return { state: { ...state, query }, say: { text: `${query} is in no request of this run`, kind: 'info' } };
        return { state: selected({ ...state, query }, moveList(state.place, { to: found }, exchanges.length, height)) };
      }
      default:
        return null;
    }
  },
  refresh(state, env) {
    const data = read(state.run, env);
    const height = Math.max(1, heights(state, env).list);
    const place = state.follow
      ? moveList(state.place, 'bottom', data.exchanges.length, height)
      : settle(state.place, data.exchanges.length, height);
    return withLanes({ ...state, data, place });
  },
  draw(state, env) {
    if (state.data.exchanges.length === 0)
      return emptyLines(env, ['no requests of this run yet', '', 'they show here as they end']);
    const { lanes, list } = heights(state, env);
    return [...(lanes > 0 ? drawLanes(state, env, lanes) : []), ...(list > 0 ? drawList(state, env, list) : [])];
  },
  status(state) {
    const { exchanges, more } = state.data;
    const left = more > 0 ? `, ${more} more not shown` : '';
    const zoomed =
      state.range === null
        ? ''
        : `${duration(state.range.to - state.range.from)} of ${duration(state.data.whole.to - state.data.whole.from)}  `;
    const query = state.query === '' ? '' : `/${state.query}  `;
    return `${query}${state.follow ? 'following  ' : ''}${zoomed}${state.place.cursor + 1} of ${exchanges.length}${left} `;
  },
  subject({ data, place }) {
    const row = data.exchanges[place.cursor];
    return row === undefined ? null : { type: 'exchange', id: row.id };
  },
};

/** All of the time again, once a range covers it. */
function widened(range: Range, whole: Range): Range | null {
  return range.to - range.from >= (whole.to - whole.from) * 0.999 ? null : range;
}

function selected(state: Requests, place: ListState): Requests {
  const row = state.data.exchanges[place.cursor];
  if (state.range === null || row === undefined) return { ...state, place };
  return { ...state, place, range: reveal(state.range, state.data.whole, { start: row.startMono, end: row.endMono }) };
}

function problem(state: Requests, by: 1 | -1, height: number): StepOf<Requests> {
  const { exchanges } = state.data;
  const found = nextMatch(exchanges.length, state.place.cursor + by, by, i => isProblem(exchanges[i]!));
  if (found === null)
    return { say: { text: 'no request of this run went wrong; 4 shows what resources did, 9 what was found', kind: 'info' } };
  return { state: selected(state, moveList(state.place, { to: found }, exchanges.length, height)) };
}

function withLanes(state: Requests): Requests {
  const { exchanges, moments, connections } = state.data;
  return { ...state, lanes: lanesOf(exchanges, moments, connections, state.legs) };
}

function drawLanes(state: Requests, env: Env, height: number): Line[] {
  const { signs } = env.theme;
  const wide = env.size.columns >= 100;
  const label = wide ? 20 : 9;
  const width = env.size.columns - label - 1;
  const { data } = state;
  const range = state.range ?? data.whole;
  const row = data.exchanges[state.place.cursor];
  const on = new Set([row?.agentConnection, row?.primaryConnection]);
  const at = state.lanes.findIndex(lane => on.has(lane.connection.id));
  const { top } = settle({ cursor: Math.max(0, at + (at + 1 < state.lanes.length ? 1 : 0)), top: 0 }, state.lanes.length, height);
  const shown = state.lanes.slice(top, top + height);
  const hidden = state.lanes.length - shown.length;
  return [
    [span(pad(hidden > 0 ? `${hidden} more` : '', label + 1), 'dim'), span(axisLine(range, data.whole.from, width), 'dim')],
    ...shown.map(
      (lane): Line => [
        laneLabel(lane, label, wide, on.has(lane.connection.id), signs),
        span(' '),
        ...paintLane(lane, range, width, row?.id ?? null, signs),
      ],
    ),
    ...(shown.length < height ? Array.from({ length: height - shown.length }, () => EMPTY) : []),
    legendLine(gapLine(data.gaps, range, width), label, width, signs),
  ];
}

/** The gaps; where there are none to name, what the bars are made of. */
function legendLine(gaps: string, label: number, width: number, signs: Signs): Line {
  if (gaps.trim() !== '') return [span(pad('', label + 1)), span(gaps, 'dim')];
  const words = `${signs.handshake} handshake  ${signs.own} stringtap  ${signs.wait} waiting  ${signs.full} transfer  ${signs.idle} idle`;
  return [span(pad('', label + 1)), span(pad(words, width), 'dim')];
}

function laneLabel({ connection, bars }: Lane, width: number, wide: boolean, current: boolean, signs: Signs): Span {
  const primary = connection.leg === 'primary';
  const sign = current ? signs.cursor : ' ';
  const name = wide
    ? `${primary ? '└ primary' : 'agent'} c${connection.id} ×${bars.length}`
    : `${primary ? '└P' : 'A'} c${connection.id}`;
  return span(pad(`${sign}${name}`, width), current ? 'bold' : 'dim');
}

function drawList(state: Requests, env: Env, height: number): Line[] {
  const { exchanges } = state.data;
  const before = (row: ExchangeRow): ExchangeRow | null => exchanges[(row.n ?? 1) - 2] ?? null;
  const layout = layoutOf(exchangeColumns('run', state.time, before, state.data.whole.from), env.size.columns);
  const place = settle(state.place, exchanges.length, height);
  return [
    headOf(layout),
    ...exchanges.slice(place.top, place.top + height).map((row, i): Line => {
      const cursor = place.top + i === place.cursor;
      const sign = signOf(env, 'exchange', row.id, env.theme.signs.mark);
      const drawn = rowOf(layout, row, { cursor, sign, signs: env.theme.signs });
      return showsRow(cursor ? drawn : emphasise(drawn, state.query), place.top + i);
    }),
    ...(state.data.more > 0 && exchanges.length <= height ? [line(` ${state.data.more} more: :requests shows all`, 'dim')] : []),
  ];
}

export function runRequests(run: number, env: Env, isOpen: boolean): Screen {
  const data = read(run, env);
  const state: Requests = {
    run,
    data,
    legs: 'both',
    lanes: [],
    place: LIST_START,
    range: null,
    split: 'both',
    time: 'start',
    follow: isOpen,
    query: '',
  };
  const height = heights(state, env).list;
  return screenOf(
    VIEW,
    withLanes(isOpen ? { ...state, place: moveList(LIST_START, 'bottom', data.exchanges.length, height) } : state),
  );
}
