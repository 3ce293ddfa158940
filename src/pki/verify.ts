import { createPublicKey, type X509Certificate } from 'node:crypto';
import { type Certname, toCertname } from '../model.ts';
import type { Authority } from './authority.ts';
import { PkiError } from './error.ts';
import { agentKeyOf, type IdentitySource } from './identity.ts';
import type { Trust } from './trust.ts';
import { commonNameOf, OID, publicKeyOf, readCertificate } from './x509.ts';

/** What an agent's certificate proves. */
export type Verdict =
  | {
      ok: true;
      certname: Certname;
      /** Whose CA issued it. */
      issuer: 'proxy' | 'primary';
      /** Upper-case hex. */
      serial: string;
      /** ms since the epoch. */
      notAfter: number;
    }
  | {
      ok: false;
      /** The CN as it is, hostile text, when there is one; `null` otherwise. */
      name: string | null;
      reason: string;
    };

export interface JudgeContext {
  authority: Authority;
  /** Of the primaries that the agent may reach with this certificate: each of them can make certificates for any certname. */
  trusts: readonly Trust[];
  identities: IdentitySource;
  now: number;
}

/**
 * Second half of the verdict. TLS has proved that the agent has the key, and OpenSSL has checked path, dates and purpose of a full
 * handshake. A resumed session skips OpenSSL's part, and OpenSSL knows no certnames and not today's revocation lists: so issuer,
 * dates, purpose and revocation are checked here for each connection, and one of our own CA must be for the key of an agent that is
 * enrolled at this moment.
 */
export function judge(cert: X509Certificate, { authority, trusts, identities, now }: JudgeContext): Verdict {
  let name: string | null = null;
  const refused = (reason: string): Verdict => ({ ok: false, name, reason });
  try {
    const certificate = readCertificate(cert.raw);
    name = commonNameOf(certificate.subject);
    if (name === null) return refused('its subject has not exactly one plain CN');
    const certname = toCertname(name);
    if (certname === null) return refused('its CN is no Puppet certname');
    if (now < certificate.notBefore) return refused('not valid yet');
    if (now >= certificate.notAfter) return refused('expired');
    if (cert.ca) return refused("a CA's certificate");
    // Node's `keyUsage` is the extended key usage. No such extension means any purpose (RFC 5280 4.2.1.12).
    const purposes: readonly string[] | undefined = cert.keyUsage;
    if (purposes !== undefined && !purposes.includes(OID.clientAuth)) return refused('not made for TLS clients');
    const good = { ok: true, certname, serial: certificate.serial, notAfter: certificate.notAfter } as const;

    if (authority.issued(certificate)) {
      if (authority.isRevoked(certificate.serial)) return refused('revoked by the proxy');
      const identity = identities.get(certname);
      const agentKey = identity === null ? null : agentKeyOf(identity);
      if (agentKey === null) return refused('not enrolled at this primary, or its enrolment was removed');
      // By key, not by certificate: one that was renewed is good until it ends, as the answer with the new one may have been lost.
      if (publicKeyOf(cert)?.equals(agentKey) !== true) return refused('another key has been enrolled since');
      return { ...good, issuer: 'proxy' };
    }
    for (const trust of trusts) {
      const verdict = trust.check(cert, now);
      if (verdict.type === 'good') {
        // The primary sees our key and not the agent's, unless the identity is the agent's own: then it can judge by itself.
        const identity = verdict.unlisted ? identities.get(certname) : null;
        if (identity !== null && publicKeyOf(cert)?.equals(createPublicKey(identity.certPem)) !== true) {
          return refused("its CA's revocation list is not known yet");
        }
        return { ...good, issuer: 'primary' };
      }
      if (verdict.type === 'refused') return refused(verdict.reason);
    }
    return refused('issued by an unknown CA');
  } catch (error) {
    if (error instanceof PkiError) return refused(error.message);
    throw error;
  }
}
