import { X509Certificate } from 'node:crypto';
import type { Certname, Fields } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import type { IdentitySource } from '../pki/identity.ts';
import type { Identity } from '../pki/identity-file.ts';
import { readCertificates } from '../pki/x509.ts';
import type { Presented } from './dial.ts';
import type { AgentConnection } from './intercept.ts';

/**
 * The identity `headers`: what a TLS terminator in front of a primary with `allow-header-cert-info: true` would say of an agent. The
 * primary believes it, so it is said only of the certname that this connection has proved.
 */
export function openHeaderIdentities(
  authority: Authority,
): (certname: Certname, agent: AgentConnection, identities: IdentitySource) => Presented | null {
  /** `from`: the identity that it was read out of; of an agent that shows the primary's own certificate there is none. */
  const known = new WeakMap<AgentConnection, { presented: Presented; from: Identity | null }>();
  return (certname, agent, identities) => {
    const last = known.get(agent);
    if (last !== undefined && (last.from === null || last.from === identities.get(certname))) return last.presented;
    const shown = agent.certificatePem();
    const [own] = shown === null ? [] : readCertificates(shown);
    if (own === undefined) return null;
    // An agent that enrolled through us shows a certificate of our CA: the one that the primary signed for it is ours to show.
    const isOurs = authority.issued(own);
    const from = isOurs ? identities.get(certname) : null;
    const certPem = isOurs ? (from?.certPem ?? null) : shown;
    if (certPem === null) return null;
    const presented = saidOf(certname, certPem);
    known.set(agent, { presented, from });
    return presented;
  };
}

/** @param certPem the certificate of the primary's CA; a chain after it is left out */
function saidOf(certname: Certname, certPem: string): Presented {
  const leaf = new X509Certificate(certPem);
  return {
    certname,
    keyPem: '',
    certPem: leaf.toString(),
    fingerprint: `said ${leaf.fingerprint256}`, // not the pool of the same certificate presented by TLS
    fields: clientFields(certname, leaf.toString()),
  };
}

/**
 * trapperkeeper-authorization, ring_middleware.clj: `X-Client-Verify` must be SUCCESS, `X-Client-DN` an RFC 2253 name, `X-Client-Cert`
 * exactly one certificate as percent-encoded PEM (it gives the extensions; a `+` is not a blank there).
 */
export function clientFields(certname: Certname, certPem: string): Fields {
  return [
    ['X-Client-Verify', 'SUCCESS'],
    ['X-Client-DN', `CN=${certname}`],
    ['X-Client-Cert', encodeURIComponent(certPem)],
  ];
}
