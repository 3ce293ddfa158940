import { type KeyObject, verify, type X509Certificate } from 'node:crypto';
import {
  children,
  type Element,
  element,
  elements,
  encode,
  expect,
  integer,
  oidText,
  sequence,
  serialText,
  TAG,
  tagged,
  time,
  timeOf,
  verbatim,
  wholeBits,
} from './der.ts';
import { PkiError } from './error.ts';
import { pemOf, toPem } from './pem.ts';
import { authorityKeyIdentifier, extension, OID, publicKeyOf, readExtensions, signatureAlgorithm, signed } from './x509.ts';

/** A certificate revocation list, taken apart. */
export interface Crl {
  der: Buffer;
  /** Name, DER. */
  issuer: Buffer;
  /** ms since the epoch. */
  thisUpdate: number;
  /** `null` when the list has none, which RFC 5280 does not allow but OpenSSL does. */
  nextUpdate: number | null;
  /** CRL number, 0 when it has none. */
  number: bigint;
  /** Serials, upper-case hex. */
  revoked: ReadonlySet<string>;
  /** A critical extension that changes what the list means (a delta, an indirect or a partial list), or an unknown one. */
  partial: boolean;
  signature: { tbs: Buffer; hash: string | null; value: Buffer };
}

/** Hash by signature algorithm; the same identifiers are used in CSRs. SHA-1 is what old Puppet CAs signed their lists with. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.1.5', 'sha1'],
  ['1.2.840.113549.1.1.14', 'sha224'],
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.2.840.10045.4.1', 'sha1'],
  ['1.2.840.10045.4.3.1', 'sha224'],
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
]);

/** The hash of an AlgorithmIdentifier of RSA (PKCS #1 v1.5) or ECDSA, `null` for any other. */
export function hashOf(algorithm: Element | undefined): string | null {
  const [type] = children(expect(algorithm, TAG.sequence));
  return HASHES.get(oidText(expect(type, TAG.oid))) ?? null;
}

/** Checks a signature; a key or algorithm that does not fit is no valid signature, never an exception. */
export function isSigned(signature: Crl['signature'], key: KeyObject): boolean {
  if (signature.hash === null) return false;
  try {
    return verify(signature.hash, signature.tbs, key, signature.value);
  } catch {
    return false;
  }
}

/**
 * @throws PkiError for anything but one CRL in DER
 */
export function readCrl(der: Buffer): Crl {
  const [tbs, algorithm, value] = children(element(der, TAG.sequence));
  const fields = children(expect(tbs, TAG.sequence));
  if (fields[0]?.tag === TAG.integer) fields.shift(); // version
  const [, issuer, thisUpdate, ...rest] = fields;
  const isTime = rest[0]?.tag === TAG.utcTime || rest[0]?.tag === TAG.generalizedTime;
  const nextUpdate = isTime ? timeOf(rest.shift()) : null;
  const revoked = new Set<string>();
  let partial = false;
  if (rest[0]?.tag === TAG.sequence) {
    for (const entry of elements(rest.shift()!.body)) revoked.add(serialText(elements(entry.body).next().value ?? entry));
  }
  const extensions = rest[0]?.tag === TAG.context0 ? readExtensions(element(rest[0].body, TAG.sequence)) : [];
  let number = 0n;
  for (const { oid, critical, value: content } of extensions) {
    if (oid === OID.crlNumber) number = BigInt(`0x${serialText(element(content, TAG.integer))}`);
    else if (critical) partial = true;
  }
  return {
    der,
    issuer: expect(issuer, TAG.sequence).der,
    thisUpdate: timeOf(thisUpdate),
    nextUpdate,
    number,
    revoked,
    partial,
    signature: { tbs: expect(tbs, TAG.sequence).der, hash: hashOf(algorithm), value: wholeBits(value) },
  };
}

/** All CRLs of a PEM text, in its order. */
export function readCrls(pem: string): Crl[] {
  return pemOf(pem, 'X509 CRL').map(readCrl);
}

/** The list is of that CA: its name, and a valid signature of its key. */
export function isListOf(crl: Crl, ca: { subject: Buffer; x509: X509Certificate }): boolean {
  const key = publicKeyOf(ca.x509);
  return crl.issuer.equals(ca.subject) && key !== null && isSigned(crl.signature, key);
}

/** What a CRL of ours says. */
export interface CrlFields {
  issuer: Buffer;
  /** Key identifier of the CA. */
  issuerKey: Buffer;
  thisUpdate: number;
  nextUpdate: number;
  /** Grows from list to list (RFC 5280 5.2.3). */
  number: number;
  revoked: ReadonlyArray<{ serial: string; at: number }>;
}

/** A version 2 CRL, PEM. */
export function signCrl(fields: CrlFields, key: KeyObject): string {
  if (!Number.isSafeInteger(fields.number)) throw new PkiError(`the CRL number ${fields.number} is no whole number`);
  const entries = fields.revoked.map(({ serial, at }) => sequence(integer(bytesOf(serial)), time(at)));
  const content = sequence(
    integer(Buffer.from([1])),
    signatureAlgorithm(key),
    verbatim(fields.issuer),
    time(fields.thisUpdate),
    time(fields.nextUpdate),
    ...(entries.length === 0 ? [] : [sequence(...entries)]), // absent when empty: RFC 5280 5.1.2.6
    tagged(
      0,
      sequence(
        verbatim(authorityKeyIdentifier(fields.issuerKey)),
        verbatim(extension(OID.crlNumber, false, integer(bytesOf(fields.number.toString(16))))),
      ),
    ),
  );
  return toPem('X509 CRL', signed(encode(content), key));
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}
