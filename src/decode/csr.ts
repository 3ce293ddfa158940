import { verify } from 'node:crypto';
import { type Der, expectChildren, oidOf, readDer, stringOf, TAG } from './der.ts';
import { alternativeNames, type Extension, extensionsOf, plainValue } from './extensions.ts';
import { Malformed } from './limits.ts';
import { oidName } from './oids.ts';
import { splitPem } from './pem.ts';
import { algorithmOf, bitsOf, fingerprintOf, keyObjectOf, type Name, nameOf, type PublicKey, publicKeyOf } from './x509.ts';

/** A certificate signing request (RFC 2986). */
export interface Csr {
  subject: Name;
  key: PublicKey;
  signatureAlgorithm: string;
  /** `null` when the algorithm is not one that can be checked. */
  signatureValid: boolean | null;
  /** As `puppet agent --fingerprint` prints it. */
  fingerprint: string;
  alternativeNames: string[];
  /** `extension_requests` of csr_attributes.yaml: they go into the certificate. */
  extensions: Extension[];
  /** `custom_attributes` of csr_attributes.yaml: they do not. The challenge password is not among them. */
  attributes: Extension[];
  /** There is a challenge password. Its value is a secret for autosigning, and is never read. */
  challengePassword: boolean;
}

/** The CSR of a PEM body. @throws Malformed */
export function decodeCsr(bytes: Uint8Array, notes: string[]): Csr {
  const block = splitPem(bytes, notes).find(({ label }) => label.endsWith('CERTIFICATE REQUEST'));
  if (block === undefined || block.der === null) throw new Malformed(notes[0] ?? 'no PEM block of a certificate request');
  const whole = readDer(block.der);
  const [info, algorithm, signature] = expectChildren(whole, TAG.sequence, 'the request');
  const [, subject, spki, attributes] = expectChildren(info, TAG.sequence, 'the request');
  const found = attributesOf(attributes);
  const signatureAlgorithm = algorithmOf(algorithm, 'the signature algorithm');
  return {
    subject: nameOf(subject, 'the subject'),
    key: publicKeyOf(spki, 'the public key'),
    signatureAlgorithm,
    signatureValid: signatureValid(info!, spki!, signatureAlgorithm, bitsOf(signature, 'the signature')),
    fingerprint: fingerprintOf(whole.raw),
    alternativeNames: found.requested.flatMap(alternativeNames),
    extensions: found.requested.flatMap(extensionsOf),
    attributes: found.attributes,
    challengePassword: found.challengePassword,
  };
}

interface Attributes {
  /** Extension lists of the extReq and msExtReq attributes. */
  requested: Der[];
  attributes: Extension[];
  challengePassword: boolean;
}

function attributesOf(der: Der | undefined): Attributes {
  const found: Attributes = { requested: [], attributes: [], challengePassword: false };
  if (der === undefined) return found;
  for (const attribute of expectChildren(der, 0xa0, 'the attributes')) {
    const [id, set] = expectChildren(attribute, TAG.sequence, 'an attribute');
    const oid = oidOf(id, 'an attribute');
    const values = expectChildren(set, TAG.set, 'the values of an attribute');
    const name = oidName(oid);
    if (name === 'challengePassword') found.challengePassword = true;
    else if (name === 'extReq' || name === 'msExtReq') found.requested.push(...values);
    else {
      const value = values.map(item => stringOf(item) ?? plainValue(item.raw)).join(', ');
      found.attributes.push({ oid, name, critical: false, value });
    }
  }
  return found;
}

/** Digest of each algorithm name in oids.ts; `null` where the key type implies it. RSA-PSS needs its parameters, and is not checked. */
const DIGESTS: ReadonlyMap<string, string | null> = new Map([
  ['RSA-MD5', 'md5'],
  ['RSA-SHA1', 'sha1'],
  ['RSA-SHA224', 'sha224'],
  ['RSA-SHA256', 'sha256'],
  ['RSA-SHA384', 'sha384'],
  ['RSA-SHA512', 'sha512'],
  ['ECDSA-SHA1', 'sha1'],
  ['ECDSA-SHA224', 'sha224'],
  ['ECDSA-SHA256', 'sha256'],
  ['ECDSA-SHA384', 'sha384'],
  ['ECDSA-SHA512', 'sha512'],
  ['Ed25519', null],
  ['Ed448', null],
]);

/** Proof that the sender holds the key (RFC 2986 4.2). */
function signatureValid(info: Der, spki: Der, algorithm: string, signature: Uint8Array): boolean | null {
  const digest = DIGESTS.get(algorithm);
  const key = keyObjectOf(spki);
  if (digest === undefined || key === null) return null;
  try {
    return verify(digest, info.raw, key, signature);
  } catch {
    return false; // a key of another type than the algorithm's
  }
}
