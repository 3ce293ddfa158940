import { X509Certificate } from 'node:crypto';
import type { Trust } from '../pki/trust.ts';
import type { AgentConnection } from './intercept.ts';
import { mono } from './tracking.ts';
import type { Presented, Primary, Upstream } from './upstream.ts';

/**
 * How long a handshake with the primary, or a look at its revocation list, speaks for an identity. A pooled connection was proved
 * when it was opened; an agent that was revoked since would get in over it where a connection of its own would be refused.
 */
const STANDING_MS = 10_000;

export interface StandingOptions {
  upstream: Upstream;
  trustOf(primary: Primary): Trust;
  /** Reads the primary's CRL anew into its trust. */
  readCrl(primary: Primary): Promise<void>;
  standingMs?: number;
}

/**
 * Asked with each exchange: `null` when it may go on at once, else a promise after which it may. Only the exchanges of a new agent
 * connection that would go on with an old pooled one ever wait. Nothing is decided here: the pool of a revoked identity is closed,
 * so that the primary itself refuses the next handshake.
 */
export type Standing = (agent: AgentConnection, primary: Primary, identity: Presented) => Promise<void> | null;

export function openStanding({ upstream, trustOf, readCrl, standingMs = STANDING_MS }: StandingOptions): Standing {
  const asked = new WeakMap<AgentConnection, Promise<void> | null>();
  const readAt = new WeakMap<Trust, number>();
  const reading = new WeakMap<Trust, Promise<void>>();

  /** Agents that come at the same time share one look. */
  function read(primary: Primary, trust: Trust): Promise<void> {
    let look = reading.get(trust);
    if (!look) {
      look = readCrl(primary)
        .then(() => void readAt.set(trust, mono()))
        .finally(() => reading.delete(trust));
      reading.set(trust, look);
    }
    return look;
  }

  /** A certificate that cannot be judged is left to a new handshake too. */
  function isRevoked(trust: Trust, identity: Presented): boolean {
    try {
      return trust.check(new X509Certificate(identity.certPem), Date.now()).type === 'refused';
    } catch {
      return true;
    }
  }

  function ask(primary: Primary, identity: Presented): Promise<void> | null {
    const provedAt = upstream.provedAt(primary, identity);
    if (provedAt === null) return null;
    const trust = trustOf(primary);
    const settle = (): void => {
      if (isRevoked(trust, identity)) upstream.retire(primary, identity);
    };
    const newest = Math.max(provedAt, readAt.get(trust) ?? Number.NEGATIVE_INFINITY);
    if (mono() - newest < standingMs) {
      settle();
      return null;
    }
    // A list that cannot be read says nothing: a new handshake does.
    return read(primary, trust).then(settle, () => upstream.retire(primary, identity));
  }

  return (agent, primary, identity) => {
    let pending = asked.get(agent);
    if (pending === undefined) {
      pending = ask(primary, identity)?.finally(() => asked.set(agent, null)) ?? null;
      asked.set(agent, pending);
    }
    return pending;
  };
}
