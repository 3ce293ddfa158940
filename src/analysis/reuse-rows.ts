import { type CloseCause, type ConnectionId, type ExchangeId, type Leg, PHASES, type Phase, type RunId } from '../model.ts';
import { createGroups, createIntegers, createNumbers } from './columns.ts';

/** What the folds of connection reuse need of a connection; a store's row has it all. Times in ms of the recording's monotonic clock. */
export interface ConnectionFacts {
  id: ConnectionId;
  /** Monotonic moments of two recordings are not comparable. */
  recording: number;
  leg: Leg;
  via: 'direct' | 'connect' | 'plain' | 'blind';
  /** Proved on the agent leg, presented on the primary leg. */
  certname: string | null;
  /** CN of the peer's certificate; on the agent leg `null` when the agent sent none. */
  peerName: string | null;
  openedMono: number;
  /** TCP's own time; `null` when it never connected. */
  connectMs: number | null;
  /** The TLS handshake's own time; `null` when it was never done. */
  handshakeMs: number | null;
  tlsVersion: string | null;
  /** A TLS session was resumed on this new connection: not the same as a connection that is reused. */
  resumed: boolean | null;
  bytesRead: number;
  bytesWritten: number;
  closedMono: number | null;
  closedBy: Leg | 'proxy' | null;
  cause: CloseCause | null;
}

/** What the folds need of an exchange. */
export interface ExchangeFacts {
  id: ExchangeId;
  run: RunId | null;
  phase: Phase;
  agentConnection: ConnectionId;
  /** 1: first on its connection. */
  agentOrdinal: number;
  primaryConnection: ConnectionId | null;
  primaryOrdinal: number | null;
  /** Request head parsed. */
  startMono: number;
  /** A primary connection was ready to take the request. */
  primaryReadyMono: number | null;
  endMono: number;
  /** Times that it was sent again because a pooled connection turned out closed. */
  resent: number;
}

/** One exchange as one connection carried it. */
export interface ConnectionUse {
  exchange: ExchangeId;
  run: RunId | null;
  phase: Phase;
  ordinal: number;
  /** Agent leg: the request's head was there. Primary leg: the connection was ready to take it. */
  startMono: number;
  /** The last byte of the answer was at hand. */
  endMono: number;
  /** It is one of those that are reported on; others serve to know what was before it. */
  counted: boolean;
}

/** One connection with all that is known to have been on it, in the order of ordinals. */
export interface Carried {
  readonly facts: ConnectionFacts;
  /** Made when it is asked for: of a million exchanges only numbers are held. */
  readonly uses: readonly ConnectionUse[];
}

/** Time without an exchange before the n-th use (from 0), ms: `null` for the first one, never below 0. */
export function gapBefore(uses: readonly ConnectionUse[], n: number): number | null {
  const before = uses[n - 1];
  const use = uses[n];
  return before === undefined || use === undefined ? null : Math.max(0, use.startMono - before.endMono);
}

/** Time from the last answer (without one: from the end of the handshake) to the close, ms; `null` while it is open. */
export function idleBeforeClose(facts: ConnectionFacts, uses: readonly ConnectionUse[]): number | null {
  if (facts.closedMono === null) return null;
  const since = uses.at(-1)?.endMono ?? facts.openedMono + (facts.connectMs ?? 0) + (facts.handshakeMs ?? 0);
  return Math.max(0, facts.closedMono - since);
}

/** Time that a connection cost before its first byte of HTTP, ms: TCP and TLS. `null` when the handshake was never done. */
export function setupMs(facts: ConnectionFacts): number | null {
  return facts.handshakeMs === null ? null : (facts.connectMs ?? 0) + facts.handshakeMs;
}

/** Whether TLS is spoken on it with us. */
export function speaksTls({ via }: ConnectionFacts): boolean {
  return via === 'direct' || via === 'connect';
}

/**
 * An agent's connection without a client certificate: the probe, certificate/ca, the first CRL, the CSR and the polling for the
 * certificate. The agent never reuses the first two (http/pool.rb: the peer is not verified), and none of them for the run itself (ssl/verifier.rb: another
 * SSL context), so they say nothing about `http_keepalive_timeout`.
 */
export function isBootstrap(facts: ConnectionFacts): boolean {
  return facts.leg === 'agent' && facts.handshakeMs !== null && facts.certname === null && facts.peerName === null;
}

/** Puts exchanges on their connections. Exchanges on connections that were not given are left out. */
export function carry<Facts extends ExchangeFacts>(
  connections: Iterable<ConnectionFacts>,
  exchanges: Iterable<Facts>,
  counts: (exchange: Facts) => boolean,
): Carried[] {
  const byId = new Map<ConnectionId, ConnectionFacts>();
  for (const facts of connections) byId.set(facts.id, facts);
  const all = [...byId.values()];
  const places = new Map(all.map(({ id }, place) => [id, place]));
  const kept = createKept();
  /** Numbers of exchanges, doubled, and one more on the primary leg; their ordinals; by place of the connection. */
  const uses = createGroups();
  for (const e of exchanges) {
    const agent = places.get(e.agentConnection);
    const primary = e.primaryConnection === null || e.primaryOrdinal === null ? undefined : places.get(e.primaryConnection);
    if (agent === undefined && primary === undefined) continue;
    const n = kept.add(e, counts(e));
    if (agent !== undefined) uses.add(agent, 2 * n, e.agentOrdinal);
    if (primary !== undefined) uses.add(primary, 2 * n + 1, e.primaryOrdinal ?? 0);
  }
  const made = new Map<number, readonly ConnectionUse[]>();
  return all.map((facts, place) => ({
    facts,
    get uses() {
      const known = made.get(place);
      if (known !== undefined) return known;
      const { firsts, seconds } = uses.of(place);
      const mine = Array.from(firsts, (use, i) => kept.make(Math.floor(use / 2), use % 2 === 1, seconds[i]!));
      // Exchanges come in the order of their request heads, which on the primary leg is not always the order of the connection.
      mine.sort((a, b) => a.ordinal - b.ordinal);
      if (kept.count() <= FEW) made.set(place, mine);
      return mine;
    },
  }));
}

/** Of so many exchanges what was made is kept. */
const FEW = 2048;

/** Exchanges as columns. */
function createKept() {
  const [start, ready, end, exchange, run] = [
    createNumbers(),
    createNumbers(),
    createNumbers(),
    createNumbers(),
    createNumbers(),
  ];
  /** The phase, and whether it is counted. */
  const what = createIntegers();
  let count = 0;
  return {
    count: () => count,
    add(e: ExchangeFacts, counted: boolean): number {
      start.push(e.startMono);
      ready.push(e.primaryReadyMono ?? e.startMono);
      end.push(e.endMono);
      exchange.push(e.id);
      run.push(e.run ?? -1);
      what.push(PHASES.indexOf(e.phase) * 2 + (counted ? 1 : 0));
      count += 1;
      return count - 1;
    },
    make(n: number, primary: boolean, ordinal: number): ConnectionUse {
      const ofRun = run.at(n);
      return {
        exchange: exchange.at(n) as ExchangeId,
        run: ofRun < 0 ? null : (ofRun as RunId),
        phase: PHASES[what.at(n) >> 1]!,
        ordinal,
        startMono: (primary ? ready : start).at(n),
        endMono: end.at(n),
        counted: (what.at(n) & 1) === 1,
      };
    },
  };
}
