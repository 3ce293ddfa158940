import type { Leg, Phase } from '../model.ts';
import { PHASES } from '../model.ts';
import { createGroups, createNumbers, numbersOf } from './columns.ts';
import { type Ending, endingOf, isIdleEnding, runActivity } from './reuse-endings.ts';
import {
  type Carried,
  type ConnectionFacts,
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
  /** Those that are reported on; 0: it carried nothing. */
  exchanges: number;
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
export function foldReuse<Facts extends ExchangeFacts>(
  connections: Iterable<ConnectionFacts>,
  exchanges: Iterable<Facts>,
  counts: (exchange: Facts) => boolean = () => true,
): Reuse {
  let resent = 0;
  const all = carry(connections, exchanges, exchange => {
    const counted = counts(exchange);
    if (counted) resent += exchange.resent;
    return counted;
  });
  const activity = runActivity(all);
  const kept = all.flatMap((carried): ConnectionReuse[] => {
    const { facts, uses } = carried;
    const counted = uses.reduce((count, use) => count + (use.counted ? 1 : 0), 0);
    if (counted === 0 && uses.length > 0) return [];
    // what it is assigned to keeps its getter
    return [
      Object.assign(carried, {
        exchanges: counted,
        inherited: uses[0]?.counted === false,
        bootstrap: isBootstrap(facts),
        ending: endingOf(facts, uses, activity),
        idleBeforeCloseMs: idleBeforeClose(facts, uses),
      }),
    ];
  });
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
  const exchanges = sum(mine.map(connection => connection.exchanges));
  let first = 0;
  const paused = createNumbers();
  for (const { uses } of mine) {
    for (const [n, use] of uses.entries()) {
      if (!use.counted) continue;
      if (use.ordinal === 1) first += 1;
      const gap = gapBefore(uses, n);
      if (gap !== null) paused.push(gap);
    }
  }
  const gaps = numbersOf(paused);
  const resumed = secured.filter(({ facts }) => facts.resumed === true);
  const full = secured.filter(({ facts }) => facts.resumed !== true);
  const counts = mine.map(connection => connection.exchanges).filter(count => count > 0);
  const bootstrap = mine.filter(connection => connection.bootstrap);
  return {
    connections: mine.length,
    opened: opened.length,
    inherited: mine.length - opened.length,
    unused: opened.filter(({ exchanges }) => exchanges === 0).length,
    handshakes: {
      full: full.length,
      resumed: resumed.length,
      failed: opened.filter(({ facts }) => facts.handshakeMs === null && handshakeFailed(facts)).length,
    },
    tlsVersions: tally(secured.map(({ facts }) => facts.tlsVersion ?? 'unknown')).map(([version, connections]) => ({
      version,
      connections,
    })),
    exchanges,
    first,
    reused: exchanges - first,
    reusePercent: exchanges === 0 ? null : (100 * (exchanges - first)) / exchanges,
    perConnection: spread(counts),
    distribution: tally(counts)
      .map(([carried, connections]) => ({ exchanges: carried, connections }))
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
      exchanges: sum(bootstrap.map(connection => connection.exchanges)),
      first: bootstrap.filter(({ uses: [use] }) => use?.counted && use.ordinal === 1).length,
      setupMs: sum(bootstrap.map(({ facts }) => setupMs(facts) ?? 0)),
    },
    cost: cost(mine, leg),
    phases: phases(mine),
  };
}

/** A peer that left before it said anything had no handshake that could fail. */
function handshakeFailed(facts: ConnectionFacts): boolean {
  return speaksTls(facts) && facts.cause !== null && facts.connectMs !== null && facts.cause !== 'end';
}

/** The shortest time without an exchange after which this side's idle limit closed a connection. */
function limitOf(mine: readonly ConnectionReuse[], by: Leg | 'proxy'): number | null {
  const idle = mine
    .filter(({ ending, facts, exchanges }) => isIdleEnding(ending) && facts.closedBy === by && exchanges > 0)
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
  const unused = setups(opened.filter(({ exchanges }) => exchanges === 0));
  const needed = leastConnections(
    mine.filter(connection => !connection.bootstrap),
    leg,
  );
  const exchanges = sum(mine.map(connection => connection.exchanges));
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
  const places = new Map<string, number>();
  const inherited: number[] = [];
  /** When exchanges began and ended, by place of the group. */
  const moments = createGroups();
  for (const connection of mine) {
    const { facts, uses } = connection;
    const seen = new Set<number>();
    for (const use of uses) {
      if (!use.counted) continue;
      const whose = leg === 'agent' && use.run !== null ? `run ${use.run}` : (facts.certname ?? '');
      const key = `${facts.recording} ${whose}`;
      const place = places.get(key) ?? places.size;
      places.set(key, place);
      moments.add(place, use.startMono, Math.max(use.startMono, use.endMono));
      inherited[place] ??= 0;
      if (connection.inherited && !seen.has(place)) inherited[place] += 1;
      seen.add(place);
    }
  }
  return sum(
    inherited.map((count, place) => {
      const { firsts, seconds } = moments.of(place);
      return Math.max(0, peak(firsts.toSorted(), seconds.toSorted()) - count);
    }),
  );
}

/** The most exchanges that were under way at one moment, of sorted times; at least 1 when there is one. */
function peak(starts: Float64Array, ends: Float64Array): number {
  let over = 0;
  let most = starts.length === 0 ? 0 : 1;
  for (const [n, start] of starts.entries()) {
    while (ends[over]! <= start && over < n) over += 1;
    most = Math.max(most, n + 1 - over);
  }
  return most;
}

function tally<T>(values: readonly T[]): Array<[T, number]> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

/** Numbers of a list, or of a column. */
type Values = readonly number[] | Float64Array;

const sum = (values: Values): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};

function greatest(values: Values): number | null {
  let most: number | null = null;
  for (const value of values) most = Math.max(most ?? value, value);
  return most;
}

/** The lower middle is the median of an even number of values: one that was measured. */
function spread(values: Values): Spread | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return {
    min: sorted[0]!,
    median: sorted[(sorted.length - 1) >> 1]!,
    mean: sum(sorted) / sorted.length,
    max: sorted.at(-1)!,
  };
}
