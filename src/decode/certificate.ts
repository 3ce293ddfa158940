import { childrenOf, type Der, expectChildren, integerHex, isTime, readDer, TAG, timeOf } from './der.ts';
import { alternativeNames, type Extension, extensionsOf } from './extensions.ts';
import { attempt, Malformed } from './limits.ts';
import { splitPem } from './pem.ts';
import { algorithmOf, fingerprintOf, type Name, nameOf, type PublicKey, publicKeyOf } from './x509.ts';

export interface Certificate {
  subject: Name;
  issuer: Name;
  /** Upper-case hex, as openssl prints it. */
  serial: string;
  notBeforeAt: number;
  notAfterAt: number;
  key: PublicKey;
  signatureAlgorithm: string;
  /** Of the DER: `AB:CD:…`. */
  fingerprint: string;
  /** `DNS:…`, `IP:…`. */
  alternativeNames: string[];
  extensions: Extension[];
  /** Basic constraints say that it may sign certificates. */
  authority: boolean;
}

export interface Revoked {
  serial: string;
  revokedAt: number;
  reason: string | null;
}

export interface Crl {
  issuer: Name;
  thisUpdateAt: number;
  nextUpdateAt: number | null;
  /** The cRLNumber extension: it grows with each revocation. */
  number: string | null;
  signatureAlgorithm: string;
  fingerprint: string;
  revoked: Revoked[];
  extensions: Extension[];
}

/** What a CA, CRL or certificate answer holds, each kind in its order. */
export interface Bundle {
  certificates: Certificate[];
  crls: Crl[];
}

/** A bundle of PEM blocks. A block that does not decode is a note; no block at all is an error. @throws Malformed */
export function decodeBundle(bytes: Uint8Array, notes: string[]): Bundle {
  const bundle: Bundle = { certificates: [], crls: [] };
  for (const [index, block] of splitPem(bytes, notes).entries()) {
    if (block.der === null) continue;
    const { der } = block;
    const decoded = attempt(() => {
      if (block.label === 'X509 CRL') bundle.crls.push(decodeCrl(der));
      else if (/^(?:X509 |TRUSTED )?CERTIFICATE$/.test(block.label)) bundle.certificates.push(decodeCertificate(der));
      else notes.push(`PEM block ${index + 1} is a ${block.label}`);
    });
    if ('error' in decoded) notes.push(`PEM block ${index + 1} (${block.label}): ${decoded.error}`);
  }
  if (bundle.certificates.length + bundle.crls.length === 0) {
    throw new Malformed(notes.length === 0 ? 'no PEM block' : `no certificate and no CRL: ${notes[0]}`);
  }
  return bundle;
}

/** Reads a certificate (RFC 5280 4.1). @throws Malformed */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  const whole = readDer(bytes);
  const [tbs, algorithm] = expectChildren(whole, TAG.sequence, 'the certificate');
  const fields = expectChildren(tbs, TAG.sequence, 'the certificate');
  if (fields[0]?.tag === 0xa0) fields.shift(); // version
  const [serial, , issuer, validity, subject, spki, ...rest] = fields;
  const [notBefore, notAfter] = expectChildren(validity, TAG.sequence, 'the validity');
  const wrapped = rest.find(field => field.tag === 0xa3);
  const extensions = wrapped === undefined ? undefined : childrenOf(wrapped)[0];
  const list = extensionsOf(extensions);
  return {
    subject: nameOf(subject, 'the subject'),
    issuer: nameOf(issuer, 'the issuer'),
    serial: integerHex(serial, 'the serial number'),
    notBeforeAt: timeOf(notBefore, 'notBefore'),
    notAfterAt: timeOf(notAfter, 'notAfter'),
    key: publicKeyOf(spki, 'the public key'),
    signatureAlgorithm: algorithmOf(algorithm, 'the signature algorithm'),
    fingerprint: fingerprintOf(whole.raw),
    alternativeNames: alternativeNames(extensions),
    extensions: list,
    authority: list.some(extension => extension.name === 'basicConstraints' && extension.value.startsWith('CA:TRUE')),
  };
}

/** Reads a CRL (RFC 5280 5.1). @throws Malformed */
export function decodeCrl(bytes: Uint8Array): Crl {
  const whole = readDer(bytes);
  const [tbs, algorithm] = expectChildren(whole, TAG.sequence, 'the CRL');
  const fields = expectChildren(tbs, TAG.sequence, 'the CRL');
  if (fields[0]?.tag === TAG.integer) fields.shift(); // version
  const [, issuer, thisUpdate, ...rest] = fields;
  const nextUpdate = isTime(rest[0]) ? rest.shift() : undefined;
  const entries = rest[0]?.tag === TAG.sequence ? rest.shift() : undefined;
  const wrapped = rest.find(field => field.tag === 0xa0);
  const extensions = extensionsOf(wrapped === undefined ? undefined : childrenOf(wrapped)[0]);
  return {
    issuer: nameOf(issuer, 'the issuer'),
    thisUpdateAt: timeOf(thisUpdate, 'thisUpdate'),
    nextUpdateAt: nextUpdate === undefined ? null : timeOf(nextUpdate, 'nextUpdate'),
    number: extensions.find(extension => extension.name === 'crlNumber')?.value ?? null,
    signatureAlgorithm: algorithmOf(algorithm, 'the signature algorithm'),
    fingerprint: fingerprintOf(whole.raw),
    revoked: entries === undefined ? [] : childrenOf(entries).map(revokedOf),
    extensions,
  };
}

function revokedOf(entry: Der): Revoked {
  const [serial, date, extensions] = expectChildren(entry, TAG.sequence, 'a revoked certificate');
  const reason = extensionsOf(extensions).find(extension => extension.name === 'CRLReason');
  return {
    serial: integerHex(serial, 'a revoked serial number'),
    revokedAt: timeOf(date, 'a revocation date'),
    reason: reason?.value ?? null,
  };
}
