import { greatest, least } from '../analysis/extremes.ts';
import { foldReuse, type Reuse } from '../analysis/reuse.ts';
import { sized } from '../analysis/words.ts';
import type { PrimaryTime } from '../capture/primary-time.ts';
import type { ConnectionRow, ExchangeDetail } from '../capture/store.ts';
import type { Phase } from '../model.ts';
import { PHASES } from '../model.ts';
import { join, type Markup, markup } from './diff-markup.ts';
import { clip, duration } from './present.ts';
import { primaryText } from './primary-text.ts';

/** Drawings of a run's time: requests one below the other, and its connections. Plain SVG, no script; a tooltip tells each part. */

const WIDTH = 1160;
/** Where time begins: names stand left of it. */
const LEFT = 330;
/** What is right of the time: how long it took. */
const RIGHT = 78;
const ROW = 18;
const TOP = 24;
/** Rows that are drawn; a run of thousands of file requests is told by its phases and its table. */
export const DRAWN = 400;

interface Axis {
  from: number;
  to: number;
  x(mono: number): number;
}

/** Everything that belongs to the run, on one axis. */
export function axisOf(exchanges: readonly ExchangeDetail[], connections: readonly ConnectionRow[]): Axis {
  const first = least(exchanges.map(row => row.startMono));
  // a connection to the primary may have been opened long before by another run
  const opened = connections.filter(row => row.leg === 'agent' && row.openedMono > first - 60_000).map(row => row.openedMono);
  const from = Math.min(first, least(opened));
  const to = Math.max(from + 1, greatest(exchanges.map(row => row.endMono)));
  const scale = (WIDTH - LEFT - RIGHT) / (to - from);
  return { from, to, x: mono => LEFT + Math.min(Math.max(mono, from) - from, to - from) * scale };
}

/** `0`, `200 ms`, … at round numbers, at most eight. */
function ticks({ from, to }: Axis): number[] {
  const span = to - from;
  const rough = span / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(size => size >= rough) ?? span;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, n) => n * step);
}

function drawing(height: number, label: string, parts: readonly Markup[]): Markup {
  return markup`<div class="chart"><svg viewBox="0 0 ${String(WIDTH)} ${String(height)}" role="img" aria-label="${label}">${join(parts)}</svg></div>`;
}

function grid(axis: Axis, height: number): Markup[] {
  return ticks(axis).map(ms => {
    const x = fixed(axis.x(axis.from + ms));
    const words = ms === 0 ? '0' : ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(2))} s`;
    return markup`<line class="grid" x1="${x}" x2="${x}" y1="${String(TOP - 6)}" y2="${String(height)}"/><text class="tick" x="${x}" y="12" text-anchor="middle">${words}</text>`;
  });
}

const fixed = (n: number): string => n.toFixed(1);

function box(kind: string, axis: Axis, from: number, to: number, y: number, height: number, title: string): Markup {
  const x = axis.x(from);
  // what is shorter than a dot is a dot
  const width = Math.max(1.5, axis.x(to) - x);
  return markup`<rect class="${kind}" x="${fixed(x)}" y="${fixed(y)}" width="${fixed(width)}" height="${fixed(height)}"><title>${title}</title></rect>`;
}

/**
 * One row a request: its name, when it was under way, how long it took.
 *
 * @param primary what the primary's log says; the line in a bar is the time in a JRuby instance, which ends about when the answer begins
 */
export function waterfall(
  exchanges: readonly ExchangeDetail[],
  connections: ReadonlyMap<number, ConnectionRow>,
  axis: Axis,
  primary: ReadonlyMap<number, PrimaryTime>,
): Markup {
  const drawn = exchanges.slice(0, DRAWN);
  const height = TOP + drawn.length * ROW + 6;
  const rows = drawn.map((exchange, n) => {
    const y = TOP + n * ROW;
    const { timing, phase } = exchange;
    const sent = timing.requestEndMono ?? timing.startMono;
    const head = timing.responseHeadMono ?? timing.endMono;
    const bad = exchange.outcome !== 'answered' || (exchange.response?.status ?? 0) >= 500;
    const name = `${exchange.request.method} ${shortTarget(exchange.request.target)}`;
    const there = primary.get(exchange.id);
    const borrowed = there?.borrowMs ?? 0;
    const told = there === undefined ? '' : `\nat the primary ${primaryText(there, exchange.durationMs)}`;
    const title = `e${exchange.id} ${phase}: ${exchange.request.method} ${clip(exchange.request.target, 300)}\nanswered ${exchange.response?.status ?? 'nothing'} in ${duration(exchange.durationMs)}: sending ${duration(sent - timing.startMono)}, waiting ${duration(head - sent)}, receiving ${duration(timing.endMono - head)}\n${sized(exchange.requestBytes)} up, ${sized(exchange.responseBytes)} down, agent connection c${exchange.agentConnection} #${exchange.agentOrdinal}${told}`;
    const connection = exchange.agentOrdinal === 1 ? connections.get(exchange.agentConnection) : undefined;
    return markup`<g>${n % 2 === 1 ? markup`<rect class="stripe" x="0" y="${String(y)}" width="${String(WIDTH)}" height="${String(ROW)}"/>` : markup``}<text class="name" x="44" y="${String(y + 13)}">${clip(name, 46)}</text><text class="id" x="38" y="${String(y + 13)}" text-anchor="end">e${String(exchange.id)}</text>${
      connection?.handshakeMs == null
        ? markup``
        : box(
            'shake',
            axis,
            connection.openedMono,
            connection.openedMono + (connection.connectMs ?? 0) + connection.handshakeMs,
            y + 4,
            ROW - 8,
            `connection c${connection.id}: TCP and TLS, ${duration((connection.connectMs ?? 0) + connection.handshakeMs)}`,
          )
    }${box(`bar ${phase}`, axis, timing.startMono, timing.endMono, y + 3, ROW - 6, title)}${
      head < timing.endMono ? box('got', axis, head, timing.endMono, y + 3, ROW - 6, title) : markup``
    }${
      borrowed > 0 ? box('jruby', axis, Math.max(sent, head - borrowed), head, y + ROW - 7, 2.5, title) : markup``
    }<text class="${bad ? 'took bad' : 'took'}" x="${String(WIDTH - 2)}" y="${String(y + 13)}" text-anchor="end">${bad ? `${exchange.response?.status ?? exchange.outcome} ` : ''}${duration(exchange.durationMs)}</text></g>`;
  });
  return drawing(height, 'requests of the run over time', [...grid(axis, height), ...rows]);
}

/** Without what is the same for all. */
export function shortTarget(target: string): string {
  return (target.split('?', 1)[0] ?? '').replace(/^\/puppet(?:-ca)?\/v\d\//, '');
}

/** One row a connection of either leg: opened, handshake, requests, idle, closed, and by whom. */
export function lanes(
  exchanges: readonly ExchangeDetail[],
  connections: readonly ConnectionRow[],
  axis: Axis,
): { chart: Markup; reuse: Reuse } {
  const reuse = foldReuse(connections, exchanges);
  const height = TOP + reuse.connections.length * (ROW + 4) + 6;
  const rows = reuse.connections.map(({ facts, uses, inherited }, n) => {
    const y = TOP + n * (ROW + 4);
    const before = inherited || facts.openedMono < axis.from; // of an earlier run
    const opened = before ? axis.from : facts.openedMono;
    const closed = facts.closedMono ?? Number.POSITIVE_INFINITY;
    const shaken = facts.openedMono + (facts.connectMs ?? 0) + (facts.handshakeMs ?? 0);
    const who = facts.certname ?? (facts.leg === 'agent' ? 'no certificate' : 'no identity');
    const name = `c${facts.id} ${facts.leg}, ${uses.length} request${uses.length === 1 ? '' : 's'}, ${who}`;
    const how = closed > axis.to ? 'stays open' : `closed by the ${facts.closedBy ?? '?'}`;
    const parts = [
      box(
        'open',
        axis,
        opened,
        Math.min(closed, axis.to),
        y + 7,
        ROW - 14,
        `connection c${facts.id} open, ${how}${facts.cause === null ? '' : ` (${facts.cause})`}`,
      ),
      ...(before || facts.handshakeMs === null
        ? []
        : [
            box(
              'shake',
              axis,
              facts.openedMono,
              shaken,
              y + 3,
              ROW - 6,
              `TCP and TLS, ${duration(shaken - facts.openedMono)}${facts.resumed === true ? ', resumed' : ''}`,
            ),
          ]),
      ...uses.map(use =>
        box(
          `bar ${use.phase}`,
          axis,
          use.startMono,
          use.endMono,
          y + 3,
          ROW - 6,
          `e${use.exchange} ${use.phase}, ${duration(use.endMono - use.startMono)}`,
        ),
      ),
      ...(closed > axis.to
        ? []
        : [
            markup`<line class="closed" x1="${fixed(axis.x(closed))}" x2="${fixed(axis.x(closed))}" y1="${String(y + 1)}" y2="${String(y + ROW - 1)}"/>`,
          ]),
    ];
    return markup`<g><text class="name" x="4" y="${String(y + 13)}">${clip(name, 54)}</text>${join(parts)}<text class="took" x="${String(WIDTH - 2)}" y="${String(y + 13)}" text-anchor="end">${closed > axis.to ? 'open' : (facts.closedBy ?? '')}</text></g>`;
  });
  return { chart: drawing(height, 'connections of the run over time', [...grid(axis, height), ...rows]), reuse };
}

/** What the colours mean: the phases that occur. */
export function legend(phases: ReadonlySet<Phase>, jruby: boolean): Markup {
  const some = PHASES.filter(phase => phases.has(phase) && !AUTHORITY.has(phase));
  const first = AUTHORITY.intersection(phases);
  const authority = first.size === 0 ? markup`` : markup`<li><i class="ca"></i>${[...first].join(', ')}</li>`;
  return markup`<ul class="legend">${authority}${join(some.map(phase => markup`<li><i class="${phase}"></i>${phase}</li>`))}<li><i class="shake"></i>TCP and TLS</li><li><i class="got"></i>receiving the answer</li>${jruby ? markup`<li><i class="jruby"></i>in a JRuby instance of the primary</li>` : markup``}</ul>`;
}

/** They share a colour. */
const AUTHORITY: ReadonlySet<Phase> = new Set(['ca', 'crl', 'csr', 'certificate']);
