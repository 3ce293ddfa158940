import { X509Certificate } from 'node:crypto';
import type { Failure } from '../model.ts';
import type { RevocationMode, Trust } from '../pki/trust.ts';
import type { Presented, Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import type { AgentConnection } from './intercept.ts';
import { mono } from './tracking.ts';
import type { Upstream } from './upstream.ts';

/**
 * How long a handshake with the primary, or a look at its revocation list, speaks for an identity. A pooled connection was proved
 * when it was opened; an agent that was revoked since would get in over it where a connection of its own would be refused.
 */
const STANDING_MS = 10_000;

/** After a list could not be read, each new handshake speaks for itself for so long: agents do not wait for a CA that is away. */
const AWAY_MS = 60_000;

export interface StandingOptions {
  upstream: Upstream;
  trustOf(primary: Primary): Trust;
  /** Reads the primary's CRL anew into its trust. */
  readCrl(primary: Primary): Promise<void>;
  /** For those who are named in header fields: whether a list that has ended still speaks. Default `chain`: it does not. */
  revocation?: RevocationMode;
  standingMs?: number;
}

/**
 * Asked with each exchange: `null` when it may go on at once, else a promise of why it may not, or `null`.
 *
 * An identity that is presented by TLS: only the exchanges of a new agent connection that would go on with an old pooled one ever wait.
 * Nothing is decided here: the pool of a revoked identity is closed, so that the primary itself refuses the next handshake.
 *
 * One that is said in header fields meets no handshake that could refuse it, so it is judged here, by a revocation list that is not
 * older than STANDING_MS: revoked, or with no list to judge by, it does not go on.
 */
export type Standing = (agent: AgentConnection, primary: Primary, identity: Presented) => Promise<Failure | null> | null;

export function openStanding(options: StandingOptions): Standing {
  const { upstream, trustOf, readCrl, revocation = 'chain', standingMs = STANDING_MS } = options;
  /** Of a connection, for each primary that its requests go to: SRV records may send reports and files elsewhere. */
  const asked = new WeakMap<AgentConnection, Map<Primary, Promise<null> | null>>();
  const judged = new WeakMap<AgentConnection, { of: Trust; by: number; whose: Presented; refused: Failure | null }>();
  const readAt = new WeakMap<Trust, number>();
  const failedAt = new WeakMap<Trust, number>();
  const reading = new WeakMap<Trust, Promise<void>>();

  /** Agents that come at the same time share one look. */
  function read(primary: Primary, trust: Trust): Promise<void> {
    let look = reading.get(trust);
    if (!look) {
      look = readCrl(primary)
        .then(() => {
          readAt.set(trust, mono());
          upstream.revet(primary);
        })
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

  function ask(primary: Primary, identity: Presented): Promise<null> | null {
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
    if (mono() - (failedAt.get(trust) ?? Number.NEGATIVE_INFINITY) < AWAY_MS) {
      upstream.retire(primary, identity);
      return null;
    }
    return read(primary, trust)
      .then(settle, () => {
        failedAt.set(trust, mono());
        upstream.retire(primary, identity);
      })
      .then(() => null);
  }

  /** Once for each list and connection: a signature is checked. */
  function judge(agent: AgentConnection, trust: Trust, identity: Presented): Failure | null {
    const by = readAt.get(trust) ?? 0;
    let known = judged.get(agent);
    if (known?.by !== by || known.of !== trust || known.whose !== identity) {
      const detail = whyRefused(trust, identity.certPem, revocation);
      known = { of: trust, by, whose: identity, refused: detail === null ? null : { reason: 'certificate-refused', detail } };
      judged.set(agent, known);
    }
    return known.refused;
  }

  function judgeSaid(agent: AgentConnection, primary: Primary, identity: Presented): Promise<Failure | null> | null {
    const trust = trustOf(primary);
    if (mono() - (readAt.get(trust) ?? Number.NEGATIVE_INFINITY) < standingMs) {
      const refused = judge(agent, trust, identity);
      return refused === null ? null : Promise.resolve(refused);
    }
    return read(primary, trust).then(
      () => judge(agent, trust, identity),
      (error: unknown) => ({
        reason: 'certificate-refused',
        detail: `whether it is revoked cannot be known, the primary gives no revocation list: ${reasonOf(error)}`,
      }),
    );
  }

  return (agent, primary, identity) => {
    if (identity.fields) return judgeSaid(agent, primary, identity);
    const looks = asked.get(agent) ?? new Map<Primary, Promise<null> | null>();
    asked.set(agent, looks);
    let pending = looks.get(primary);
    if (pending === undefined) {
      pending = ask(primary, identity)?.finally(() => looks.set(primary, null)) ?? null;
      looks.set(primary, pending);
    }
    return pending;
  };
}

/** What the CRLs of the primary's CA say against an agent's certificate; `null`: nothing, and they speak of its CA. */
function whyRefused(trust: Trust, certPem: string, mode: RevocationMode): string | null {
  try {
    const certificate = new X509Certificate(certPem);
    if (Date.now() >= Date.parse(certificate.validTo)) return 'expired';
    const verdict = trust.check(certificate, Date.now());
    switch (verdict.type) {
      case 'good':
        if (verdict.unlisted) return "its CA's revocation list is not known";
        return trust.revocation(certificate, mode, Date.now());
      case 'stranger':
        return 'issued by an unknown CA';
      case 'refused':
        return verdict.reason;
    }
  } catch (error) {
    return reasonOf(error);
  }
}
