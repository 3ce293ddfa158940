import type { Closing, ConnectionReuse, LegReuse, Reuse, Spread } from '../analysis/reuse.ts';
import type { Advice } from '../analysis/reuse-advice.ts';
import { paintLane, type Segment, segmentsOf, spanOf } from '../analysis/reuse-lanes.ts';
import { counted, sized } from '../analysis/words.ts';
import type { Leg } from '../model.ts';
import { idText } from './ids.ts';
import { printable } from './io.ts';
import { broken, duration, table } from './present.ts';

/** The report of `stringtap reuse` in words. */

/** Columns of a lane, where there is room for them, and of what stands before it. */
const LANE_COLUMNS = 72;
const LANE_HEAD = 14;
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

/** A column of figures narrower than this is read more easily below the others. */
const LEAST_FIGURE = 18;

interface FigureColumn {
  title: string;
  leg: LegReuse;
}

/** The figures of both legs side by side, with two reports each leg in two columns; what has no room in `width` goes on below. */
export function figureLines(reports: readonly Reuse[], names: readonly string[], width = Number.MAX_SAFE_INTEGER): string[] {
  const legs = (['agent', 'primary'] as const).map(leg =>
    reports.map((report, i): FigureColumn => {
      const name = names[i] === undefined ? '' : `, ${names[i]}`;
      return { title: `${leg.toUpperCase()} LEG${name}`, leg: report[leg] };
    }),
  );
  const tablesOf = (groups: readonly (readonly FigureColumn[])[]): string[] | null => {
    const tables = groups.map(columns => figureTable(columns, width));
    return tables.includes(null) ? null : tables.flatMap((lines, i) => (i === 0 ? lines! : ['', ...lines!]));
  };
  const each = legs.flat().map(column => [column]);
  return tablesOf([legs.flat()]) ?? tablesOf(legs) ?? tablesOf(each) ?? [];
}

/** `null`: too many columns. */
function figureTable(figures: readonly FigureColumn[], width: number): string[] | null {
  const name = Math.max(...FIGURES.map(([text]) => text.length));
  const whole = [
    ...table(
      [
        { title: '', value: ([text]: (typeof FIGURES)[number]) => text },
        ...figures.map(({ title, leg }) => ({ title, value: ([, read]: (typeof FIGURES)[number]) => read(leg) })),
      ],
      FIGURES,
      Number.MAX_SAFE_INTEGER,
    ),
  ];
  if (whole.every(line => line.length <= width)) return whole;
  const room = Math.floor((width - name) / figures.length) - 2;
  if (room < LEAST_FIGURE && figures.length > 1) return null;
  const rows = [
    ['', ...figures.map(({ title }) => title)],
    ...FIGURES.map(([text, read]) => [text, ...figures.map(({ leg }) => read(leg))]),
  ];
  return rows.flatMap(([text = '', ...values]) => {
    const cells = values.map(value => broken(value, Math.max(1, room)));
    const height = Math.max(...cells.map(cell => cell.length));
    return Array.from({ length: height }, (_, i) =>
      [(i === 0 ? text : '').padEnd(name), ...cells.map(cell => (cell[i] ?? '').padEnd(room))].join('  ').trimEnd(),
    );
  });
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
export function laneLines(reuse: Reuse, width = Number.MAX_SAFE_INTEGER): string[] {
  const columns = Math.max(20, Math.min(LANE_COLUMNS, width - LANE_HEAD - 3));
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
    for (const connection of group) lines.push(...lane(connection, from, to, columns));
  }
  return lines;
}

function lane(connection: ConnectionReuse, from: number, to: number, columns: number): string[] {
  const { facts } = connection;
  const head = `${idText('connection', facts.id)} ${facts.leg}`.padEnd(LANE_HEAD);
  return [
    `${head} [${paintLane(connection, from, to, columns)}]`,
    `${' '.repeat(LANE_HEAD)} ${printable(laneWords(connection))}`,
  ];
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
