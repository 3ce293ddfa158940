import type { X509Certificate } from 'node:crypto';
import type { RevocationMode, Trust } from '../pki/trust.ts';
import type { Primary } from './dial.ts';
import { mono } from './tracking.ts';

/** A list that has ended is asked for again at most so often. */
const READ_EVERY_MS = 10_000;

/**
 * The judgement on the certificate of a primary that its CA signed, as an agent makes it with its own CRLs: OpenSSL is not given ours,
 * because it refuses every certificate while one list is missing, and the lists come over this very connection.
 */
export function openVetting(trust: Trust, mode: RevocationMode, readCrl: () => Promise<void>): NonNullable<Primary['vet']> {
  let readAt = Number.NEGATIVE_INFINITY;
  const judge = (certificate: X509Certificate): NodeJS.ErrnoException | null => revocationError(trust, mode, certificate);
  return certificate => {
    const refused = judge(certificate);
    if (refused === null) return null;
    // Revoked is final. A list that has ended may have been signed anew since it was read.
    if (refused.code === 'CERT_REVOKED' || mono() - readAt < READ_EVERY_MS) return Promise.resolve(refused);
    readAt = mono();
    return readCrl().then(
      () => judge(certificate),
      () => refused,
    );
  };
}

/** With the code that Node gives the same result of OpenSSL. */
export function revocationError(trust: Trust, mode: RevocationMode, certificate: X509Certificate): NodeJS.ErrnoException | null {
  const refused = trust.revocation(certificate, mode, Date.now());
  if (refused === null) return null;
  return Object.assign(new Error(refused), { code: refused === 'certificate revoked' ? 'CERT_REVOKED' : 'CRL_HAS_EXPIRED' });
}
