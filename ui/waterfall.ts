import type { ConnectionRow, ExchangeRow, MomentsRow } from '../src/capture/store.ts';
import { duration } from '../src/commands/present.ts';
import type { Leg } from '../src/model.ts';
import { isProblem } from './exchange-cells.ts';
import { type Line, type Span, span } from './text.ts';
import type { Signs, StyleName } from './theme.ts';

/** One run over time: a lane for each connection, with its requests as bars. Pure, of rows that were read. Times are monotonic ms. */

/** One request on one lane. */
export interface Bar {
  readonly id: number;
  readonly start: number;
  /** Our own part ends: a primary connection is ready. */
  readonly ready: number;
  /** Waiting ends: the first byte of the answer's body, or its head. */
  readonly answer: number;
  readonly end: number;
  readonly style: StyleName;
  readonly problem: boolean;
}

export interface Lane {
  readonly connection: ConnectionRow;
  readonly bars: readonly Bar[];
}

/** The part of the time that is shown. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * Lanes of a run: each connection of the agent in the order of opening, below it the connections to the primary that its requests were the
 * first to use.
 */
export function lanesOf(
  exchanges: readonly ExchangeRow[],
  moments: ReadonlyMap<number, MomentsRow>,
  connections: readonly ConnectionRow[],
  legs: 'both' | Leg,
): Lane[] {
  const bars = new Map<number, Bar[]>();
  const firstUser = new Map<number, number>();
  for (const row of exchanges) {
    const bar = barOf(row, moments.get(row.id));
    push(bars, row.agentConnection, bar);
    if (row.primaryConnection === null) continue;
    if (!firstUser.has(row.primaryConnection)) firstUser.set(row.primaryConnection, row.agentConnection);
    push(bars, row.primaryConnection, { ...bar, start: bar.ready });
  }
  const lane = (connection: ConnectionRow): Lane => ({ connection, bars: bars.get(connection.id) ?? [] });
  const of = (leg: Leg): ConnectionRow[] =>
    connections.filter(row => row.leg === leg).sort((a, b) => a.openedMono - b.openedMono || a.id - b.id);
  if (legs !== 'both') return of(legs).map(lane);
  const primary = of('primary');
  const under = (id: number): ConnectionRow[] => primary.filter(row => firstUser.get(row.id) === id);
  const lanes = of('agent').flatMap(row => [lane(row), ...under(row.id).map(lane)]);
  const shown = new Set(lanes.map(({ connection }) => connection.id));
  return [...lanes, ...primary.filter(row => !shown.has(row.id)).map(lane)];
}

function push(bars: Map<number, Bar[]>, connection: number, bar: Bar): void {
  const known = bars.get(connection);
  if (known === undefined) bars.set(connection, [bar]);
  else known.push(bar);
}

function barOf(row: ExchangeRow, moments: MomentsRow | undefined): Bar {
  const { startMono: start, endMono: end } = row;
  const within = (moment: number | null | undefined, otherwise: number): number =>
    Math.min(end, Math.max(start, moment ?? otherwise));
  const ready = within(row.primaryReadyMono, row.answeredBy === 'proxy' ? end : start);
  const answer = Math.max(ready, within(moments?.firstByteMono ?? moments?.responseHeadMono, end));
  return { id: row.id, start, ready, answer, end, style: `phase-${row.phase}`, problem: isProblem(row) };
}

/** All of the time that the requests take; connections that idle on after them are not what one looks for. */
export function wholeRange(exchanges: readonly ExchangeRow[], connections: readonly ConnectionRow[]): Range {
  if (exchanges.length === 0) return { from: 0, to: 1 };
  const starts = connections.filter(row => row.leg === 'agent').map(row => row.openedMono);
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const row of exchanges) {
    from = Math.min(from, row.startMono);
    to = Math.max(to, row.endMono);
  }
  const first = from;
  for (const opened of starts)
    if (opened < first && first - opened < Math.max(1000, (to - first) * 0.2)) from = Math.min(from, opened);
  return { from, to: Math.max(from + 1, to + (to - from) * 0.01) };
}

/** Zooms by a factor around a moment; never closer than 5 ms, never further than the whole. */
export function zoom(range: Range, whole: Range, factor: number, around: number): Range {
  const width = Math.min(whole.to - whole.from, Math.max(5, (range.to - range.from) * factor));
  const share = (around - range.from) / Math.max(1e-6, range.to - range.from);
  return clamped({ from: around - width * Math.min(1, Math.max(0, share)), to: 0 }, width, whole);
}

/** Moves by a part of what is shown. */
export function pan(range: Range, whole: Range, by: number): Range {
  const width = range.to - range.from;
  return clamped({ from: range.from + width * by, to: 0 }, width, whole);
}

/** The range moved, not zoomed, so that a bar can be seen. */
export function reveal(range: Range, whole: Range, bar: { start: number; end: number }): Range {
  if (bar.end >= range.from && bar.start <= range.to) return range;
  const width = range.to - range.from;
  return clamped({ from: bar.start - width * 0.1, to: 0 }, width, whole);
}

function clamped(range: Range, width: number, whole: Range): Range {
  const from = Math.max(whole.from, Math.min(range.from, whole.to - width));
  return { from, to: from + width };
}

interface Cell {
  char: string;
  style: StyleName;
}

/** One lane in `width` columns. */
export function paintLane(lane: Lane, range: Range, width: number, selected: number | null, signs: Signs): Line {
  const cells: (Cell | null)[] = new Array<Cell | null>(width).fill(null);
  const scale = width / (range.to - range.from);
  const cell = (moment: number): number => Math.floor((moment - range.from) * scale);
  const paint = (start: number, end: number, char: string, style: StyleName): void => {
    const to = Math.min(width - 1, cell(end));
    for (let i = Math.max(0, cell(start)); i <= to; i += 1) cells[i] = { char, style };
  };
  const { connection, bars } = lane;
  const closed = connection.closedMono ?? Number.POSITIVE_INFINITY;
  paint(connection.openedMono, Math.min(closed, range.to), signs.idle, 'dim');
  const handshake = (connection.connectMs ?? 0) + (connection.handshakeMs ?? 0);
  if (connection.handshakeMs !== null) paint(connection.openedMono, connection.openedMono + handshake, signs.handshake, 'name');
  for (const bar of bars)
    if (bar.end >= range.from && bar.start <= range.to) paintBar(cells, bar, range, scale, bar.id === selected, signs);
  const end = cell(closed);
  if (closed <= range.to && end >= 0 && end < width && (cells[end] === null || cells[end]?.style === 'dim'))
    cells[end] = { char: signs.closed, style: 'dim' };
  return joined(cells);
}

function paintBar(cells: (Cell | null)[], bar: Bar, range: Range, scale: number, selected: boolean, signs: Signs): void {
  const first = Math.floor((bar.start - range.from) * scale);
  const last = Math.max(first, Math.ceil((bar.end - range.from) * scale) - 1);
  for (let i = Math.max(0, first); i <= Math.min(cells.length - 1, last); i += 1) {
    // A bar of one cell shows what it spent most of its time with.
    const moment = first === last ? middleOf(bar) : range.from + (i + 0.5) / scale;
    const own = moment < bar.ready;
    const wait = !own && moment < bar.answer;
    const style: StyleName = selected ? 'selected' : bar.problem ? 'error' : own ? 'own' : bar.style;
    const sign = bar.problem && i === last ? '!' : own ? signs.own : wait ? signs.wait : signs.full;
    cells[i] = { char: sign, style };
  }
}

function middleOf({ start, ready, answer, end }: Bar): number {
  const parts = [ready - start, answer - ready, end - answer];
  const most = parts.indexOf(Math.max(...parts));
  return [start, ready, answer][most]! + parts[most]! / 2;
}

function joined(cells: readonly (Cell | null)[]): Line {
  const spans: Span[] = [];
  let text = '';
  let style: StyleName | undefined;
  const flush = (): void => {
    if (text !== '') spans.push(span(text, style));
    text = '';
  };
  for (const cell of cells) {
    if (cell?.style !== style) flush();
    style = cell?.style;
    text += cell?.char ?? ' ';
  }
  flush();
  return spans;
}

/** Moments in round steps, from the start of the run. */
export function axisLine(range: Range, origin: number, width: number): string {
  const step = roundStep((range.to - range.from) / Math.max(1, Math.floor(width / 12)));
  const cells: string[] = new Array<string>(width).fill(' ');
  let free = 0;
  for (let t = Math.ceil((range.from - origin) / step) * step; t <= range.to - origin; t += step) {
    const at = Math.floor(((t + origin - range.from) / (range.to - range.from)) * width);
    const label = `|${tickText(t)}`;
    if (at < free || at + label.length > width) continue;
    for (let i = 0; i < label.length; i += 1) cells[at + i] = label[i]!;
    free = at + label.length + 1;
  }
  return cells.join('');
}

function tickText(ms: number): string {
  if (Math.abs(ms) < 1e-6) return '0';
  if (Math.abs(ms) < 1000) return `${Number(ms.toFixed(1))} ms`;
  return ms < 60_000 ? `${Number((ms / 1000).toFixed(2))} s` : duration(ms);
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1e-3, least)));
  return [1, 2, 5, 10].map(n => n * power).find(step => step >= least) ?? power * 10;
}

/** Times in which no request was under way: the agent was at work, or thinking. */
export function gapsOf(exchanges: readonly ExchangeRow[]): Range[] {
  const gaps: Range[] = [];
  let end: number | null = null;
  for (const row of exchanges.toSorted((a, b) => a.startMono - b.startMono)) {
    if (end !== null && row.startMono > end) gaps.push({ from: end, to: row.startMono });
    end = Math.max(end ?? row.endMono, row.endMono);
  }
  return gaps;
}

/** The gaps that are wide enough to be named: `├ agent 1.2 s ┤`. */
export function gapLine(gaps: readonly Range[], range: Range, width: number): string {
  const cells: string[] = new Array<string>(width).fill(' ');
  const scale = width / (range.to - range.from);
  for (const gap of gaps) {
    const from = Math.max(0, Math.ceil((gap.from - range.from) * scale));
    const to = Math.min(width - 1, Math.floor((gap.to - range.from) * scale) - 1);
    const text = [` agent ${duration(gap.to - gap.from)} `, ` ${duration(gap.to - gap.from)} `].find(
      words => words.length + 2 <= to - from + 1,
    );
    if (text === undefined) continue;
    const fill = '╌'.repeat(Math.max(0, Math.floor((to - from - 1 - text.length) / 2)));
    const label = `${fill}${text}${fill}`;
    for (let i = 0; i < label.length; i += 1) cells[from + 1 + i] = label[i]!;
  }
  return cells.join('');
}
