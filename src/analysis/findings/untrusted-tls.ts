import { explainTls, type TlsCause, type TlsFailure, wordsOf } from '../tls-failures.ts';
import { counted } from '../words.ts';
import type { ConnectionFact } from './facts.ts';
import { evidence, type Found, page, quoted, type Rule } from './finding.ts';
import { tlsFailures } from './primary-trust.ts';

/** Rules of their own tell these. */
const OTHERS: ReadonlySet<TlsCause> = new Set(['primary-name', 'primary-crl-ended']);

/** What is no agent, or says nothing of trust: scanners, health checks, connections that were given up, other hosts. */
const NOISE: ReadonlySet<TlsCause> = new Set(['not-tls', 'not-http', 'plain-http', 'gave-up', 'local-host-refused']);

export const untrustedTls: Rule = {
  id: 'untrusted-tls',
  severities: ['error'],
  title: 'one end of a TLS connection did not trust the other',
  meaning:
    "No request gets through. On the agent's side: it does not know stringtap's CA, lacks its CRL, or its own certificate is refused. On the primary's side: its certificate is not of the CA that is pinned for it, or it refuses the identity.",
  fix: 'stringtap doctor looks at both sides; the agent needs --localcacert and --hostcrl as stringtap proxy prints them, the primary --ca-cert or --ca-fingerprint',
  threshold:
    "a TLS handshake that failed for a reason of trust, or an agent's certificate that was refused; not what scanners and health checks do",
  page: page('subsystem_agent_primary_comm.html'),
  judge(run) {
    const found = tlsFailures(run, cause => !OTHERS.has(cause) && !NOISE.has(cause));
    if (found === null) return [];
    const { words, failed, detail } = found;
    return [
      {
        severity: 'error',
        summary: `${counted(failed.length, 'request')} failed: ${words.what} (${quoted(detail)})`,
        fix: words.remedy,
        evidence: evidence({ exchanges: failed.map(one => one.id), figures: { cause: words.cause } }),
      },
    ];
  },
};

/** Connections of one address that failed, as the finding of it tells them: for the last cause, and for the one before that. */
export interface FailedBefore {
  connections: readonly number[];
  cause: string;
  count: number;
  other: { cause: string; count: number } | null;
}

/**
 * The same of an agent's connection that belongs to no run. Behind one address may be many agents, or one on which several things are wrong.
 *
 * @param cause of {@link causeOf}
 * @param before `null`: it is the first of its address
 */
export function judgeConnection(
  connection: Pick<ConnectionFact, 'id' | 'peer' | 'error' | 'refusal'>,
  cause: TlsFailure,
  before: FailedBefore | null,
): Required<Found> {
  const { id, error, refusal } = connection;
  const { count, other } = counting(cause.cause, before);
  const why = quoted(refusal ?? error ?? '');
  const words = other === null ? null : wordsOf(other.cause);
  const also =
    other === null || words === null ? null : { summary: `; ${counted(other.count, 'other')}: ${words.what}`, fix: words.remedy };
  return {
    severity: 'error',
    summary: `${counted(count, 'connection')} of the agent at ${quoted(addressOf(connection))} failed: ${cause.what} (${why})${also?.summary ?? ''}`,
    fix: also === null ? cause.remedy : `${cause.remedy}; for the others: ${also.fix}`,
    evidence: evidence({
      connections: [...(before?.connections ?? []), id],
      figures: {
        cause: cause.cause,
        connections: count,
        ...(other !== null && { otherCause: other.cause, otherConnections: other.count }),
      },
    }),
  };
}

function counting(cause: string, before: FailedBefore | null): Pick<FailedBefore, 'count' | 'other'> {
  if (before === null) return { count: 1, other: null };
  if (before.cause === cause) return { count: before.count + 1, other: before.other };
  const count = before.other?.cause === cause ? before.other.count + 1 : 1;
  return { count, other: { cause: before.cause, count: before.count } };
}

/** Why a connection failed, when it is a matter of trust. */
export function causeOf(connection: Pick<ConnectionFact, 'leg' | 'error' | 'refusal'>): TlsFailure | null {
  const words = explainTls(connection);
  return words === null || NOISE.has(words.cause) ? null : words;
}

/** `address:port` without the port. */
export function addressOf({ peer }: Pick<ConnectionFact, 'peer'>): string {
  return peer.replace(/:\d+$/, '');
}
