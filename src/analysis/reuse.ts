import type { Leg, Phase } from '../model.ts';
import { PHASES } from '../model.ts';
import { type Ending, endingOf, isIdleEnding, runActivity } from './reuse-endings.ts';
import {
  type Carried,
  type ConnectionFacts,
  type ConnectionUse,
  carry,
  type ExchangeFacts,
  gapBefore,
  idleBeforeClose,
  isBootstrap,
  setupMs,
  speaksTls,
} from './reuse-rows.ts';

/*
 * Folds connections and exchanges into the figures of connection reuse. Nothing here depends on when it runs.
 *
 * What is reported on is a set of exchanges (a run's, a certname's, a phase's, or all of them) and the connections that carried one of
 * them, or that carried nothing. A connection is *opened* in that set when its first exchange belongs to it, or when it carried
 * nothing; else it is *inherited*: a pooled connection outlives the run that caused it, and its handshake cost that run, not this one.
 */

/** Numbers of a list that is not empty; ms or counts. */
export interface Spread {
  min: number;
  median: number;
  mean: number;
  max: number;
}

/** One way of ending, counted. */
export interface Closing {
  /** Who closed; `null` for those that are open. */
  by: Leg | 'proxy' | null;
  ending: Ending;
  connections: number;
  /** Time between the last answer and the close; of unused ones between handshake and close. */
  idleMs: Spread | null;
}

/** What one phase's exchanges met on one leg. */
export interface PhaseReuse {
  phase: Phase;
  exchanges: number;
  first: number;
  reused: number;
  /** Time that connections took to open whose first exchange was of this phase. */
  setupMs: number;
}

/** Handshakes under three policies, with the measured times of the same set. */
export interface Cost {
  /** TCP and TLS of the connections that were opened. */
  spentMs: number;
  /** The mean that the two estimates use: of full handshakes of this set, else of the connections that it inherited. `null`: none was seen. */
  meanFullMs: number | null;
  /**
   * With perfect reuse: one connection an agent run (agent leg) or a certname (primary leg) for each exchange that was under way at the same time as others,
   * less the inherited ones. The agent's bootstrap counts as it was: the agent never reuses those connections.
   */
  perfect: { handshakes: number; ms: number | null };
  /** Without any: a full handshake for each exchange. The connections that carried nothing stay. */
  none: { handshakes: number; ms: number | null };
}

export interface LegReuse {
  /** Those that carried one of the exchanges, or nothing; opened + inherited. */
  connections: number;
  opened: number;
  inherited: number;
  /** Opened, and carried no exchange. */
  unused: number;
  /** Of opened connections; full + resumed are those that got that far, failed began TLS and did not. */
  handshakes: { full: number; resumed: number; failed: number };
  tlsVersions: ReadonlyArray<{ version: string; connections: number }>;
  /** first + reused. On the primary leg those that went upstream. */
  exchanges: number;
  /** First on their connection (ordinal 1). */
  first: number;
  /** Not first on their connection. A resumed TLS session is no reuse. */
  reused: number;
  /** reused ÷ exchanges × 100; `null` without exchanges. */
  reusePercent: number | null;
  /** Exchanges of the set a connection that carried one; and how many connections carried how many. */
  perConnection: Spread | null;
  distribution: ReadonlyArray<{ exchanges: number; connections: number }>;
  /** Of the connections' whole lives, TLS included. */
  bytesRead: number;
  bytesWritten: number;
  /** Of opened connections: TCP, full handshakes, resumed ones. */
  connectMs: Spread | null;
  fullMs: Spread | null;
  resumedMs: Spread | null;
  /** Idle time before each exchange that reused a connection. */
  gapMs: Spread | null;
  /** The longest time without an exchange after which a connection was used again. */
  longestSurvivedMs: number | null;
  /** The shortest after which somebody's idle limit closed one. */
  shortestClosedMs: { agent: number | null; proxy: number | null; primary: number | null };
  /** Most frequent first. */
  closings: readonly Closing[];
  /** Sent again because the connection was closed already; primary leg. */
  resent: number;
  /** See isBootstrap; agent leg only. */
  bootstrap: { connections: number; exchanges: number; first: number; setupMs: number };
  cost: Cost;
  phases: readonly PhaseReuse[];
}

/** One connection of the report. */
export interface ConnectionReuse extends Carried {
  inherited: boolean;
  bootstrap: boolean;
  ending: Ending;
  idleBeforeCloseMs: number | null;
}

export interface Reuse {
  agent: LegReuse;
  primary: LegReuse;
  /** In the order in which they were opened. */
  connections: readonly ConnectionReuse[];
}

/**
 * @param counts which exchanges are reported on; the others only tell what was before them on their connection
 * @param connections those that have neither a counted exchange nor none at all are left out
 */
export function foldReuse(
  connections: Iterable<ConnectionFacts>,
  exchanges: readonly ExchangeFacts[],
  counts: (exchange: ExchangeFacts) => boolean = () => true,
): Reuse {
  const all = carry(connections, exchanges, counts);
  const activity = runActivity(all);
  const kept = all
    .filter(({ uses }) => uses.length === 0 || uses.some(use => use.counted))
    .map(
      (carried): ConnectionReuse => ({
        ...carried,
        inherited: carried.uses[0]?.counted === false,
        bootstrap: isBootstrap(carried.facts),
        ending: endingOf(carried, activity),
        idleBeforeCloseMs: idleBeforeClose(carried),
      }),
    );
  const resent = exchanges.reduce((sum, exchange) => sum + (counts(exchange) ? exchange.resent : 0), 0);
  return {
    agent: foldLeg(kept, 'agent', 0),
    primary: foldLeg(kept, 'primary', resent),
    connections: kept.sort((a, b) => a.facts.id - b.facts.id),
  };
}

function foldLeg(all: readonly ConnectionReuse[], leg: Leg, resent: number): LegReuse {
  const mine = all.filter(({ facts }) => facts.leg === leg);
  const opened = mine.filter(({ inherited }) => !inherited);
  const secured = opened.filter(({ facts }) => facts.handshakeMs !== null);
  const uses = mine.flatMap(({ uses: list }) => list.filter(use => use.counted));
  const first = uses.filter(use => use.ordinal === 1).length;
  const resumed = secured.filter(({ facts }) => facts.resumed === true);
  const full = secured.filter(({ facts }) => facts.resumed !== true);
  const counts = mine.map(countedUses).filter(count => count > 0);
  const gaps = mine.flatMap(connection =>
    connection.uses.flatMap((use, n) => (use.counted ? (gapBefore(connection, n) ?? []) : [])),
  );
  const bootstrap = mine.filter(connection => connection.bootstrap);
  return {
    connections: mine.length,
    opened: opened.length,
    inherited: mine.length - opened.length,
    unused: opened.filter(connection => connection.uses.length === 0).length,
    handshakes: {
      full: full.length,
      resumed: resumed.length,
      failed: opened.filter(({ facts }) => facts.handshakeMs === null && handshakeFailed(facts)).length,
    },
    tlsVersions: tally(secured.map(({ facts }) => facts.tlsVersion ?? 'unknown')).map(([version, connections]) => ({
      version,
      connections,
    })),
    exchanges: uses.length,
    first,
    reused: uses.length - first,
    reusePercent: uses.length === 0 ? null : (100 * (uses.length - first)) / uses.length,
    perConnection: spread(counts),
    distribution: tally(counts)
      .map(([exchanges, connections]) => ({ exchanges, connections }))
      .sort((a, b) => a.exchanges - b.exchanges),
    bytesRead: sum(mine.map(({ facts }) => facts.bytesRead)),
    bytesWritten: sum(mine.map(({ facts }) => facts.bytesWritten)),
    connectMs: spread(opened.flatMap(({ facts }) => facts.connectMs ?? [])),
    fullMs: spread(full.flatMap(({ facts }) => facts.handshakeMs ?? [])),
    resumedMs: spread(resumed.flatMap(({ facts }) => facts.handshakeMs ?? [])),
    gapMs: spread(gaps),
    longestSurvivedMs: greatest(gaps),
    shortestClosedMs: { agent: limitOf(mine, 'agent'), proxy: limitOf(mine, 'proxy'), primary: limitOf(mine, 'primary') },
    closings: closings(mine),
    resent,
    bootstrap: {
      connections: bootstrap.length,
      exchanges: sum(bootstrap.map(countedUses)),
      first: bootstrap.filter(({ uses: [use] }) => use?.counted && use.ordinal === 1).length,
      setupMs: sum(bootstrap.map(({ facts }) => setupMs(facts) ?? 0)),
    },
    cost: cost(mine, leg),
    phases: phases(mine),
  };
}

function countedUses({ uses }: Carried): number {
  return uses.reduce((count, use) => count + (use.counted ? 1 : 0), 0);
}

/** A peer that left before it said anything had no handshake that could fail. */
function handshakeFailed(facts: ConnectionFacts): boolean {
  return speaksTls(facts) && facts.cause !== null && facts.connectMs !== null && facts.cause !== 'end';
}

/** The shortest time without an exchange after which this side's idle limit closed a connection. */
function limitOf(mine: readonly ConnectionReuse[], by: Leg | 'proxy'): number | null {
  const idle = mine
    .filter(({ ending, facts, uses }) => isIdleEnding(ending) && facts.closedBy === by && uses.length > 0)
    .flatMap(({ idleBeforeCloseMs }) => idleBeforeCloseMs ?? []);
  return idle.length === 0 ? null : idle.reduce((a, b) => Math.min(a, b));
}

function closings(mine: readonly ConnectionReuse[]): Closing[] {
  const groups = new Map<string, ConnectionReuse[]>();
  for (const connection of mine) {
    const key = `${connection.facts.closedBy} ${connection.ending}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [connection]);
    else group.push(connection);
  }
  return [...groups.values()]
    .map(group => ({
      by: group[0]!.facts.closedBy,
      ending: group[0]!.ending,
      connections: group.length,
      idleMs: spread(group.flatMap(({ idleBeforeCloseMs }) => idleBeforeCloseMs ?? [])),
    }))
    .sort((a, b) => b.connections - a.connections);
}

function phases(mine: readonly ConnectionReuse[]): PhaseReuse[] {
  const byPhase = new Map<Phase, PhaseReuse>();
  for (const { facts, uses } of mine) {
    for (const use of uses) {
      if (!use.counted) continue;
      const row = byPhase.get(use.phase) ?? { phase: use.phase, exchanges: 0, first: 0, reused: 0, setupMs: 0 };
      byPhase.set(use.phase, row);
      row.exchanges += 1;
      if (use.ordinal === 1) {
        row.first += 1;
        row.setupMs += setupMs(facts) ?? 0;
      } else row.reused += 1;
    }
  }
  return PHASES.flatMap(phase => byPhase.get(phase) ?? []);
}

function cost(mine: readonly ConnectionReuse[], leg: Leg): Cost {
  const opened = mine.filter(({ inherited }) => !inherited);
  const setups = (list: readonly ConnectionReuse[]): number[] => list.flatMap(({ facts }) => setupMs(facts) ?? []);
  const full = setups(opened.filter(({ facts }) => facts.resumed === false));
  const inherited = setups(mine.filter(connection => connection.inherited && connection.facts.resumed === false));
  const meanFullMs = spread(full.length > 0 ? full : inherited)?.mean ?? null;
  const apart = setups(opened.filter(connection => connection.bootstrap));
  const unused = setups(opened.filter(({ uses }) => uses.length === 0));
  const needed = leastConnections(
    mine.filter(connection => !connection.bootstrap),
    leg,
  );
  const exchanges = sum(mine.map(countedUses));
  return {
    spentMs: sum(setups(opened)),
    meanFullMs,
    perfect: {
      handshakes: apart.length + needed,
      ms: meanFullMs === null ? null : sum(apart) + needed * meanFullMs,
    },
    none: {
      handshakes: unused.length + exchanges,
      ms: meanFullMs === null ? null : sum(unused) + exchanges * meanFullMs,
    },
  };
}

/** How many connections the exchanges need that were not there yet: the most that were under way at once, of each run or certname. */
function leastConnections(mine: readonly ConnectionReuse[], leg: Leg): number {
  const groups = new Map<string, { uses: ConnectionUse[]; inherited: number }>();
  for (const { facts, uses, inherited } of mine) {
    const seen = new Set<string>();
    for (const use of uses) {
      if (!use.counted) continue;
      const whose = leg === 'agent' && use.run !== null ? `run ${use.run}` : (facts.certname ?? '');
      const key = `${facts.recording} ${whose}`;
      const group = groups.get(key) ?? { uses: [], inherited: 0 };
      groups.set(key, group);
      group.uses.push(use);
      if (inherited && !seen.has(key)) group.inherited += 1;
      seen.add(key);
    }
  }
  return sum([...groups.values()].map(group => Math.max(0, peak(group.uses) - group.inherited)));
}

/** The most exchanges that were under way at one moment; at least 1 when there is one. */
function peak(uses: readonly ConnectionUse[]): number {
  const moments = uses.flatMap(({ startMono, endMono }) => [
    { at: startMono, step: 1 },
    { at: Math.max(startMono, endMono), step: -1 },
  ]);
  moments.sort((a, b) => a.at - b.at || a.step - b.step);
  let now = 0;
  let most = uses.length === 0 ? 0 : 1;
  for (const { step } of moments) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}

function tally<T>(values: readonly T[]): Array<[T, number]> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function greatest(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((a, b) => Math.max(a, b));
}

/** The lower middle is the median of an even number of values: one that was measured. */
function spread(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return {
    min: sorted[0]!,
    median: sorted[(sorted.length - 1) >> 1]!,
    mean: sum(sorted) / sorted.length,
    max: sorted.at(-1)!,
  };
}
