import type { Connection, Exchange, Phase } from '../model.ts';

/** What a rule of `--fault` does to an exchange. */
export type FaultAction =
  /** The request goes to the primary so much later. */
  | { type: 'delay'; ms: number }
  /** Answered by us. */
  | { type: 'status'; status: number; retryAfterMs: number | null }
  /** A TCP reset instead of an answer. */
  | { type: 'reset' }
  /** The connection ends in an orderly way instead of an answer. */
  | { type: 'close' }
  /** No answer at all. */
  | { type: 'stall' }
  /** The connection ends after so many bytes of the body of the primary's answer. */
  | { type: 'cut'; bytes: number }
  /** The body of the primary's answer passes at this pace. */
  | { type: 'rate'; bytesPerSecond: number }
  /** The bytes of a file are the answer's body; it is read at each use. */
  | { type: 'answer'; file: string };

/** Which of the exchanges that a rule matches it takes; `null`: all of them. */
export interface FaultLimit {
  /** No more than so many, counted after the other two. */
  times: number | null;
  /** Every n-th one. */
  every: number | null;
  /** From 0 to 1. */
  chance: number | null;
}

export interface FaultRule {
  /** As it is printed and captured: the action comes first. */
  text: string;
  action: FaultAction;
  limit: FaultLimit;
  matches(exchange: Exchange, connection: Connection): boolean;
}

/** The rules of a proxy, counting what they took. */
export interface Faults {
  /** The rule that takes an exchange: the first that matches and whose limits allow it. The exchange has been admitted. */
  take(exchange: Exchange, connection: Connection): FaultRule | null;
  /** Something that waits; `end` is called when the proxy ends. @returns what takes it off again */
  waiting(end: () => void): () => void;
  /** The proxy ends: what waits goes on or is closed, and no rule takes anything any more. */
  end(): void;
}

/** @param random between 0 and 1, of {@link FaultLimit.chance} */
export function openFaults(rules: readonly FaultRule[], random: () => number = Math.random): Faults {
  const counts = new Map(rules.map(rule => [rule, { seen: 0, taken: 0 }]));
  const waits = new Set<() => void>();
  let ended = false;

  function allows(rule: FaultRule): boolean {
    const { times, every, chance } = rule.limit;
    const count = counts.get(rule)!;
    count.seen += 1;
    if (every !== null && count.seen % every !== 0) return false;
    if (chance !== null && random() >= chance) return false;
    if (times !== null && count.taken >= times) return false;
    count.taken += 1;
    return true;
  }

  return {
    take(exchange, connection) {
      if (ended) return null;
      const fits = (rule: FaultRule): boolean =>
        isPossible(rule.action, exchange) && rule.matches(exchange, connection) && allows(rule);
      return rules.find(fits) ?? null;
    },
    waiting(end) {
      waits.add(end);
      return () => void waits.delete(end);
    },
    end() {
      ended = true;
      for (const end of [...waits]) end();
      waits.clear();
    },
  };
}

/** Where the two legs differ: what the agent gets there is made of what the primary said, and of nothing else. */
export const BOOTSTRAP_PHASES: ReadonlySet<Phase> = new Set<Phase>(['ca', 'crl', 'csr', 'certificate']);

/** What is done to the body of an answer, and not to whether there is one. */
export const BODY_ACTIONS: ReadonlySet<FaultAction['type']> = new Set<FaultAction['type']>(['cut', 'rate', 'answer']);

/** No answer of a file in the bootstrap, and none to somebody without a certname: another's secret may be in it. */
function isPossible({ type }: FaultAction, { route, certname }: Exchange): boolean {
  if (BODY_ACTIONS.has(type) && BOOTSTRAP_PHASES.has(route.phase)) return false;
  return type !== 'answer' || certname !== null;
}
