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
  const exchanges = new Map<number, ExchangeRow>();
  for (const { id } of connections) {
    for (const row of store.exchanges({ connection: id, reverse: true, limit: MOST_USES })) exchanges.set(row.id, row);
  }
  const inOrder = [...exchanges.values()].sort((a, b) => a.id - b.id);
  const rows = new Map<number, ConnectionRow>(connections.map(row => [row.id, row]));
  const { connections: used } = foldReuse(connections, inOrder, row => run === null || row.run === run);
  return used.flatMap(lane => {
    const row = rows.get(lane.facts.id);
    return row === undefined ? [] : [{ ...lane, row }];
  });
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
