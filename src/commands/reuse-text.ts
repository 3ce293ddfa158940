import type { Closing, ConnectionReuse, LegReuse, Reuse, Spread } from '../analysis/reuse.ts';
import type { Advice } from '../analysis/reuse-advice.ts';
import { paintLane, type Segment, segmentsOf, spanOf } from '../analysis/reuse-lanes.ts';
import { counted, sized } from '../analysis/words.ts';
import type { Leg } from '../model.ts';
import { idText } from './ids.ts';
import { printable } from './io.ts';
import { duration, table } from './present.ts';

/** The report of `stringtap reuse` in words. */

const LANE_COLUMNS = 72;
/** Lanes that are drawn; more are told as a number. */
const LANES = 60;

const percent = (value: number | null): string => (value === null ? '-' : `${value.toFixed(1)} %`);
const ms = (value: number | null): string => (value === null ? '-' : duration(value));
const median = (spread: Spread | null): string =>
  spread === null ? '-' : `${duration(spread.median)} (${duration(spread.min)} to ${duration(spread.max)})`;

/** Reuse without the connections that an agent never reuses. */
export function percentWithoutBootstrap({ exchanges, reused, bootstrap }: LegReuse): number | null {
  const rest = exchanges - bootstrap.exchanges;
  return rest === 0 ? null : ((reused - (bootstrap.exchanges - bootstrap.first)) / rest) * 100;
}

/** Names of the figures, and how each is read off a leg. */
export const FIGURES: ReadonlyArray<readonly [name: string, value: (leg: LegReuse) => string]> = [
  ['connections', leg => (leg.inherited === 0 ? `${leg.connections}` : `${leg.connections} (${leg.inherited} opened before)`)],
  ['  that carried nothing', leg => `${leg.unused}`],
  ['  without a client certificate', leg => (leg.bootstrap.connections === 0 ? '-' : bootstrap(leg))],
  ['handshakes, full', leg => `${leg.handshakes.full}`],
  ['handshakes, TLS session resumed', leg => `${leg.handshakes.resumed}`],
  ['handshakes, failed', leg => `${leg.handshakes.failed}`],
  ['TLS', leg => leg.tlsVersions.map(({ version, connections }) => `${connections} ${version}`).join(', ') || '-'],
  ['exchanges', leg => `${leg.exchanges}`],
  ['  first on their connection', leg => `${leg.first}`],
  ['  on a reused connection', leg => `${leg.reused}`],
  ['reuse', leg => percent(leg.reusePercent)],
  ['  without the bootstrap', leg => (leg.bootstrap.connections === 0 ? '-' : percent(percentWithoutBootstrap(leg)))],
  ['exchanges a connection', leg => perConnection(leg.perConnection)],
  ['TCP, median', leg => median(leg.connectMs)],
  ['full handshake, median', leg => median(leg.fullMs)],
  ['resumed handshake, median', leg => median(leg.resumedMs)],
  ['time in handshakes', leg => duration(leg.cost.spentMs)],
  ['  with perfect reuse', leg => estimate(leg.cost.perfect)],
  ['  with none', leg => estimate(leg.cost.none)],
  ['idle gap, median', leg => median(leg.gapMs)],
  ['longest gap survived', leg => ms(leg.longestSurvivedMs)],
  ['shortest gap that closed', leg => shortest(leg)],
  ['bytes read, written', leg => `${sized(leg.bytesRead)}, ${sized(leg.bytesWritten)}`],
  ['requests sent again', leg => `${leg.resent}`],
];

function bootstrap({ bootstrap: b }: LegReuse): string {
  return `${b.connections} (${counted(b.exchanges, 'exchange')}, ${duration(b.setupMs)} to open)`;
}

function perConnection(spread: Spread | null): string {
  return spread === null ? '-' : `${spread.min} to ${spread.max}, mean ${spread.mean.toFixed(1)}`;
}

function estimate({ handshakes, ms: time }: { handshakes: number; ms: number | null }): string {
  const count = handshakes === 1 ? '1 handshake' : `${handshakes} handshakes`;
  return time === null ? count : `${duration(time)} (${count})`;
}

function shortest({ shortestClosedMs }: LegReuse): string {
  const parts = (['agent', 'proxy', 'primary'] as const).flatMap(by => {
    const value = shortestClosedMs[by];
    return value === null ? [] : [`${duration(value)} by the ${by}`];
  });
  return parts.join(', ') || '-';
}

/** The figures of both legs side by side; with two reports each leg has two columns. */
export function figureLines(reports: readonly Reuse[], names: readonly string[]): string[] {
  const legs: readonly Leg[] = ['agent', 'primary'];
  const columns = legs.flatMap(leg =>
    reports.map((report, i) => ({
      title: `${leg.toUpperCase()} LEG${names[i] === undefined ? '' : `, ${names[i]}`}`,
      value: ([, read]: (typeof FIGURES)[number]) => read(report[leg]),
    })),
  );
  return [...table([{ title: '', value: ([name]) => name }, ...columns], FIGURES, Number.MAX_SAFE_INTEGER)];
}

export function closingLines(reuse: Reuse): string[] {
  const rows = (['agent', 'primary'] as const).flatMap(leg => reuse[leg].closings.map(closing => ({ leg, closing })));
  const lines = table<{ leg: Leg; closing: Closing }>(
    [
      { title: 'LEG', value: row => row.leg },
      { title: 'CLOSED BY', value: row => row.closing.by ?? '-' },
      { title: 'WHY', value: row => row.closing.ending },
      { title: 'CONN', right: true, value: row => String(row.closing.connections) },
      { title: 'IDLE BEFORE', value: row => median(row.closing.idleMs) },
    ],
    rows,
    Number.MAX_SAFE_INTEGER,
  );
  return [...lines];
}

/** A lane for each connection, over one scale of time for each recording. */
export function laneLines(reuse: Reuse): string[] {
  const shown = reuse.connections.slice(-LANES);
  const lines: string[] = [];
  const hidden = reuse.connections.length - shown.length;
  if (hidden > 0) lines.push(`(the last ${LANES} of ${reuse.connections.length} connections; a RUN as argument shows its own)`);
  for (const recording of new Set(shown.map(({ facts }) => facts.recording))) {
    const group = shown.filter(({ facts }) => facts.recording === recording);
    const spans = group.map(spanOf);
    const from = Math.min(...spans.map(span => span.from));
    const to = Math.max(...spans.map(span => span.to));
    lines.push(`${duration(to - from)} from left to right: = handshake, # request, . idle, | closed, < > open before, after`);
    for (const connection of group) lines.push(...lane(connection, from, to));
  }
  return lines;
}

function lane(connection: ConnectionReuse, from: number, to: number): string[] {
  const { facts } = connection;
  const head = `${idText('connection', facts.id)} ${facts.leg}`.padEnd(14);
  return [`${head} [${paintLane(connection, from, to, LANE_COLUMNS)}]`, `${' '.repeat(14)} ${printable(laneWords(connection))}`];
}

/** The story of one connection: whose it was, what went over it, who closed it and why. Not escaped. */
export function laneWords(connection: ConnectionReuse): string {
  const { facts } = connection;
  const whose = facts.certname ?? (facts.leg === 'primary' ? 'no identity' : (facts.peerName ?? 'no client certificate'));
  const words = [...segmentsOf(connection).map(segmentWords), closeWords(connection)];
  return `${facts.tlsVersion ?? facts.via}, ${whose}: ${words.join('; ')}`;
}

function segmentWords(segment: Segment): string {
  switch (segment.type) {
    case 'handshake':
      return `TCP ${duration(segment.connectMs)}, TLS ${duration(segment.tlsMs)} ${segment.resumed ? 'resumed' : 'full'}`;
    case 'inherited':
      return `opened before, exchanges until then: ${segment.exchanges}`;
    case 'requests': {
      const phases = segment.phases.map(({ phase, exchanges }) => (exchanges === 1 ? phase : `${exchanges} ${phase}`));
      return `${phases.join(', ')} in ${duration(segment.ms)}`;
    }
    case 'pause':
      return `idle ${duration(segment.ms)}`;
    default:
      return unreachable(segment);
  }
}

function unreachable(value: never): never {
  throw new Error(`no words for ${JSON.stringify(value)}`);
}

function closeWords({ facts, ending, idleBeforeCloseMs }: ConnectionReuse): string {
  if (facts.closedBy === null) return 'open';
  const idle = idleBeforeCloseMs === null ? '' : ` after ${duration(idleBeforeCloseMs)}`;
  return `closed by the ${facts.closedBy}${idle}: ${ending}`;
}

export function adviceLines(advice: readonly Advice[]): string[] {
  if (advice.length === 0) return ['nothing to change: no idle limit and no Connection: close cost a handshake'];
  return advice.flatMap(({ leg, seen, change, where }) => [
    `${leg} leg: ${seen}`,
    `  ${change}${where === null ? '' : ` (${where})`}`,
  ]);
}
