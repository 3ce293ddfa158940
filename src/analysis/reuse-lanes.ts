import type { Phase } from '../model.ts';
import type { ConnectionReuse } from './reuse.ts';
import { type ConnectionUse, gapBefore } from './reuse-rows.ts';

/** A pause shorter than this is part of a burst of requests: an agent that applies resources takes some ms between two. */
const PAUSE_MS = 250;

/** What happened on one connection, in order. */
export type Segment =
  /** TCP and TLS. */
  | { type: 'handshake'; connectMs: number; tlsMs: number; resumed: boolean }
  /** It was opened before what is reported on. */
  | { type: 'inherited'; exchanges: number }
  /** Exchanges with no pause between them. */
  | { type: 'requests'; exchanges: number; ms: number; phases: ReadonlyArray<{ phase: Phase; exchanges: number }> }
  | { type: 'pause'; ms: number };

/** The story of one connection; its close is the connection's own `ending`. */
export function segmentsOf(connection: ConnectionReuse): Segment[] {
  const { facts, uses, inherited } = connection;
  const segments: Segment[] = [];
  const from = uses.findIndex(use => use.counted);
  if (inherited) segments.push({ type: 'inherited', exchanges: (uses[from]?.ordinal ?? 1) - 1 });
  else if (facts.handshakeMs !== null) {
    const { connectMs, handshakeMs, resumed } = facts;
    segments.push({ type: 'handshake', connectMs: connectMs ?? 0, tlsMs: handshakeMs, resumed: resumed === true });
  }
  if (from < 0) return segments;
  let burst: ConnectionUse[] = [];
  const flush = (): void => {
    const [first, last] = [burst[0], burst.at(-1)];
    if (first === undefined || last === undefined) return;
    const phases = new Map<Phase, number>();
    for (const { phase } of burst) phases.set(phase, (phases.get(phase) ?? 0) + 1);
    segments.push({
      type: 'requests',
      exchanges: burst.length,
      ms: last.endMono - first.startMono,
      phases: [...phases].map(([phase, exchanges]) => ({ phase, exchanges })),
    });
    burst = [];
  };
  for (const [n, use] of uses.entries()) {
    const pause = gapBefore(uses, n) ?? 0;
    if (!use.counted || pause >= PAUSE_MS) flush();
    if (!use.counted) continue;
    if (pause >= PAUSE_MS) segments.push({ type: 'pause', ms: pause });
    burst.push(use);
  }
  flush();
  return segments;
}

/** When a connection was there, as far as it is reported on: monotonic ms. */
export function spanOf({ facts, uses, inherited }: ConnectionReuse): { from: number; to: number } {
  const counted = uses.filter(use => use.counted);
  const last = counted.at(-1)?.endMono ?? facts.openedMono + (facts.connectMs ?? 0) + (facts.handshakeMs ?? 0);
  const outlives = facts.closedMono === null || uses.at(-1)?.counted === false;
  return {
    from: inherited ? (counted[0]?.startMono ?? facts.openedMono) : facts.openedMono,
    to: outlives ? last : Math.max(last, facts.closedMono ?? last),
  };
}

/**
 * One line of `width` characters for the time `from` to `to`: `=` handshake, `#` an exchange under way, `.` open and idle, `|` closed;
 * `<` was open before, `>` stays open. What is shorter than a character is shown as one.
 */
export function paintLane(connection: ConnectionReuse, from: number, to: number, width: number): string {
  const { facts, uses, inherited } = connection;
  const cells: string[] = new Array<string>(width).fill(' ');
  const scale = width / Math.max(1, to - from);
  const cell = (moment: number): number => Math.min(width - 1, Math.max(0, Math.floor((moment - from) * scale)));
  const paint = (start: number, end: number, mark: string): void => {
    for (let i = cell(start); i <= cell(end); i += 1) cells[i] = mark;
  };
  const opened = inherited ? from : facts.openedMono;
  const closed = facts.closedMono ?? Number.POSITIVE_INFINITY;
  paint(opened, Math.min(closed, to), '.');
  if (!inherited) paint(opened, opened + (facts.connectMs ?? 0) + (facts.handshakeMs ?? 0), '=');
  for (const use of uses) if (use.counted) paint(use.startMono, use.endMono, '#');
  if (inherited) cells[0] = '<';
  if (closed > to) cells[width - 1] = '>';
  else cells[Math.min(width - 1, cell(closed))] = '|';
  return cells.join('');
}
