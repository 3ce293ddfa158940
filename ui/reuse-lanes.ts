import { greatest, least } from '../src/analysis/extremes.ts';
import { type ConnectionReuse, foldReuse } from '../src/analysis/reuse.ts';
import { paintLane, spanOf } from '../src/analysis/reuse-lanes.ts';
import type { ConnectionRow, ExchangeRow, Store } from '../src/capture/store.ts';
import type { Line, Span } from './text.ts';
import type { Signs, StyleName } from './theme.ts';
import type { Range } from './waterfall.ts';

/** Connections as lanes of one line each: what `stringtap reuse` draws, with the signs of the screens. */

/** Connections that are read; of a longer capture the newest. */
export const MOST_LANES = 200;
/** Exchanges of one connection that are read, the newest: a pooled one may have carried a million. */
const MOST_USES = 300;
/** Exchanges that are looked at for them: a key does not wait for more. No index leads from a connection to what it carried. */
const MOST_LOOKED = 5_000;
/** Exchanges of one run. */
const MOST_OF_RUN = 10_000;

/** A connection with all that its row has. */
export interface UsedConnection extends ConnectionReuse {
  readonly row: ConnectionRow;
}

/** @param run `null`: of the whole capture */
export function readLanes(store: Store, run: number | null): readonly UsedConnection[] {
  const connections: ConnectionRow[] =
    run === null
      ? [...store.connections({ reverse: true, limit: MOST_LANES })].reverse()
      : [...store.connections({ run, limit: MOST_LANES })];
  const { exchanges, missed } = run === null ? newestOf(store, connections) : ofRun(store, connections, run);
  const rows = new Map<number, ConnectionRow>(connections.map(row => [row.id, row]));
  const { connections: used } = foldReuse(connections, exchanges, row => run === null || row.run === run);
  return used.flatMap(lane => {
    const row = rows.get(lane.facts.id);
    // Of one whose exchanges were too far back nothing true could be drawn.
    const unknown = row !== undefined && row.exchanges > 0 && missed.has(row.id) && lane.uses.length === 0;
    return row === undefined || unknown ? [] : [{ ...lane, row }];
  });
}

/**
 * One connection and what it carried.
 *
 * @param run whose exchanges are read; `null`: the newest of any
 */
export function readLane(
  store: Store,
  row: ConnectionRow,
  run: number | null,
): { lane: ConnectionReuse | null; exchanges: ReadonlyMap<number, ExchangeRow> } {
  const { exchanges } = run === null ? newestOf(store, [row]) : ofRun(store, [row], run);
  const [lane = null] = foldReuse([row], exchanges, one => run === null || one.run === run).connections;
  return { lane, exchanges: new Map(exchanges.map(one => [one.id, one])) };
}

interface Read {
  /** In order. */
  readonly exchanges: readonly ExchangeRow[];
  /** Connections of which some were not read. */
  readonly missed: ReadonlySet<number>;
}

/** What the newest connections carried, from the newest exchange on backward until all of it was met. */
function newestOf(store: Store, connections: readonly ConnectionRow[]): Read {
  const left = new Map<number, number>(
    connections.flatMap(({ id, exchanges }) => (exchanges === 0 ? [] : [[id, Math.min(exchanges, MOST_USES)]])),
  );
  const exchanges: ExchangeRow[] = [];
  let looked = 0;
  const wants = (id: number | null, ordinal: number | null): boolean => {
    const count = id === null ? undefined : left.get(id);
    if (id === null || count === undefined) return false;
    if (count === 1 || ordinal === 1) left.delete(id);
    else left.set(id, count - 1);
    return true;
  };
  if (left.size === 0) return { exchanges, missed: new Set() };
  for (const row of store.exchanges({ reverse: true })) {
    const ofAgent = wants(row.agentConnection, row.agentOrdinal);
    if (wants(row.primaryConnection, row.primaryOrdinal) || ofAgent) exchanges.push(row);
    looked += 1;
    if (left.size === 0 || looked >= MOST_LOOKED) break;
  }
  return { exchanges: exchanges.reverse(), missed: new Set(left.keys()) };
}

/** The exchanges of a run, and on a connection that others had before or after it the one before, and the last of all. */
function ofRun(store: Store, connections: readonly ConnectionRow[], run: number): Read {
  const exchanges = new Map([...store.exchanges({ run, limit: MOST_OF_RUN })].map(row => [row.id as number, row]));
  const own = [...exchanges.values()];
  for (const { id, leg, exchanges: count } of connections) {
    const uses = own.filter(row => (leg === 'agent' ? row.agentConnection : row.primaryConnection) === id);
    const [first, last] = [uses[0], uses.at(-1)];
    if (first === undefined || last === undefined) continue;
    const ordinal = (row: ExchangeRow): number => (leg === 'agent' ? row.agentOrdinal : (row.primaryOrdinal ?? 1));
    const [before] = ordinal(first) > 1 ? store.exchanges({ connection: id, before: first.id, reverse: true, limit: 1 }) : [];
    const [after] = ordinal(last) < count ? store.exchanges({ connection: id, after: last.id, reverse: true, limit: 1 }) : [];
    for (const row of [before, after]) if (row !== undefined) exchanges.set(row.id, row);
  }
  return { exchanges: [...exchanges.values()].sort((a, b) => a.id - b.id), missed: new Set() };
}

/** The time that some lanes take: those of one recording, whose clock they share. */
export function rangeOf(lanes: readonly ConnectionReuse[], recording: number): Range {
  const spans = lanes.filter(({ facts }) => facts.recording === recording).map(spanOf);
  const from = least(spans.map(span => span.from));
  return { from, to: Math.max(from + 1, greatest(spans.map(span => span.to))) };
}

/** One lane in `width` columns. */
export function drawLane(lane: ConnectionReuse, { from, to }: Range, width: number, signs: Signs): Line {
  const looks: Record<string, { sign: string; style: StyleName }> = {
    '=': { sign: signs.handshake, style: 'name' },
    '#': { sign: signs.full, style: 'ok' },
    '.': { sign: signs.idle, style: 'dim' },
    '|': { sign: signs.closed, style: 'dim' },
  };
  const spans: Span[] = [];
  for (const [run = ''] of paintLane(lane, from, to, width).matchAll(/(.)\1*/gs)) {
    const look = looks[run[0] ?? ''];
    spans.push(look === undefined ? { text: run } : { text: look.sign.repeat(run.length), style: look.style });
  }
  return spans;
}

export function lanesLegend(signs: Signs): string {
  return `${signs.handshake} handshake  ${signs.full} request  ${signs.idle} idle  ${signs.closed} closed  < > open before, after`;
}
