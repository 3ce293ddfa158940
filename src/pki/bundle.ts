import type { X509Certificate } from 'node:crypto';
import { PkiError } from './error.ts';
import { fingerprintOf, plainFingerprint } from './pem.ts';
import { type Certificate, isIssuedBy, readCertificates } from './x509.ts';

/** The CA certificates of a primary: its roots, and what lies between them and the issuer of agents' certificates. */
export interface Bundle {
  /** As the primary sent it. */
  pem: string;
  /** In the primary's order, each once. */
  certificates: Certificate[];
  /** The self-signed ones. */
  roots: Certificate[];
}

/** A root and an intermediate CA are usual; some sites carry the chains of several CAs. */
const MAX_CERTIFICATES = 50;

/**
 * Reads a bundle that is about to be trusted, by us and by every agent. So each certificate in it must be a CA's, and lead to a root of
 * the same bundle by valid signatures: nothing rides along.
 * @throws PkiError
 */
export function readBundle(pem: string): Bundle {
  const all = readCertificates(pem);
  const certificates = [...new Map(all.map(certificate => [certificate.fingerprint, certificate])).values()];
  if (certificates.length === 0) throw new PkiError('there is no CA certificate in PEM');
  if (certificates.length > MAX_CERTIFICATES) throw new PkiError(`a CA bundle of ${certificates.length} certificates`);
  const roots = certificates.filter(({ x509 }) => isIssuedBy(x509, x509));
  if (roots.length === 0) throw new PkiError('the CA bundle has no self-signed root', 'the whole chain up to the root is needed');
  const led = new Set(roots);
  for (let before = -1; before !== led.size; ) {
    before = led.size;
    for (const certificate of certificates) {
      if (led.has(certificate)) continue;
      if (!certificate.x509.ca) throw new PkiError(`the CA bundle holds a certificate that is no CA's: ${oneLine(certificate)}`);
      if ([...led].some(ca => isIssuedBy(certificate.x509, ca.x509))) led.add(certificate);
    }
  }
  const stray = certificates.find(certificate => !led.has(certificate));
  if (stray !== undefined) throw new PkiError(`the CA bundle holds a certificate of no root in it: ${oneLine(stray)}`);
  return { pem, certificates, roots };
}

function oneLine({ x509 }: Certificate): string {
  return JSON.stringify(x509.subject.slice(0, 200));
}

/**
 * Whether a fingerprint that a person gave vouches for the bundle: SHA-256 of its text (what Puppet's `ca_fingerprint` means), or of the
 * DER of one of its certificates. In the second case there must be one root only: otherwise somebody in between could send the
 * genuine CA for us to recognise, and a root of his own for us to trust.
 */
export function isVouchedFor(bundle: Bundle, fingerprint: string): boolean {
  const wanted = plainFingerprint(fingerprint);
  if (wanted.length !== 64) return false;
  if (plainFingerprint(fingerprintOf(bundle.pem)) === wanted) return true;
  const matching = bundle.certificates.find(certificate => plainFingerprint(certificate.fingerprint) === wanted);
  if (matching === undefined || bundle.roots.length !== 1) return false;
  // The fingerprint of an intermediate vouches for the root that signed it. With an RSA exponent of one's own choosing, a key can be
  // made that fits a signature of somebody else; with the usual one it cannot.
  const [root] = bundle.roots;
  return matching === root || [undefined, 65537n].includes(root!.x509.publicKey.asymmetricKeyDetails?.publicExponent);
}

/** The CA of a primary, as what it signed is told from what others signed. */
export interface IssuingCa {
  /** Names a folder: 16 hex digits that follow from the keys of its roots. */
  readonly id: string;
  /** Whether one of its certificates signed this one, whatever the dates. */
  issued(certificate: X509Certificate): boolean;
}

export function issuingCa({ certificates, roots }: Bundle): IssuingCa {
  const keys = roots.map(({ spki }) => fingerprintOf(spki)).sort();
  return {
    id: plainFingerprint(fingerprintOf(keys.join('\n'))).slice(0, 16),
    issued: certificate => certificates.some(({ x509 }) => isIssuedBy(certificate, x509)),
  };
}

/** Each certificate of the older bundle is there, by its key, and lasts as long or longer. */
export function isLater(newer: Bundle, older: Bundle): boolean {
  const ends = older.certificates.map(({ spki, notAfter }) => {
    const same = newer.certificates.filter(certificate => certificate.spki.equals(spki));
    return Math.max(...same.map(certificate => certificate.notAfter)) - notAfter; // -Infinity where there is none
  });
  return ends.every(more => more >= 0) && ends.some(more => more > 0);
}

/** The same roots by key: a CA certificate that was renewed with its key is still that CA. */
export function haveSameRoots(one: Bundle, other: Bundle): boolean {
  const keys = ({ roots }: Bundle): Set<string> => new Set(roots.map(({ spki }) => fingerprintOf(spki)));
  const [ours, theirs] = [keys(one), keys(other)];
  return ours.size === theirs.size && [...ours].every(key => theirs.has(key));
}
