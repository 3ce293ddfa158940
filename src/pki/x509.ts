import { createHash, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  type Asn1,
  bits,
  bool,
  children,
  type Element,
  element,
  encode,
  expect,
  implicit,
  integer,
  nothing,
  octets,
  oid,
  oidText,
  sequence,
  serialText,
  setOf,
  TAG,
  tagged,
  time,
  timeOf,
  utf8,
  verbatim,
  wholeBits,
} from './der.ts';
import { PkiError } from './error.ts';
import { fingerprintOf, pemOf, toPem } from './pem.ts';

/** Object identifiers that we read or write (RFC 5280, RFC 2985, RFC 5758). */
export const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  freshestCrl: '2.5.29.46',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  challengePassword: '1.2.840.113549.1.9.7',
  extensionRequest: '1.2.840.113549.1.9.14',
  /** Microsoft's extension request: Puppet takes it where the standard one is missing. */
  msExtensionRequest: '1.3.6.1.4.1.311.2.1.14',
} as const;

/** One extension of a certificate, of a CRL or of a CSR's extension request. */
export interface Extension {
  oid: string;
  critical: boolean;
  /** What the OCTET STRING holds. */
  value: Buffer;
  /** All of the extension, as it was signed. */
  der: Buffer;
}

/** A certificate, taken apart: the parts are views of the DER that was signed. */
export interface Certificate {
  der: Buffer;
  x509: X509Certificate;
  /** Name, DER. */
  subject: Buffer;
  /** Name, DER. */
  issuer: Buffer;
  /** Upper-case hex, as OpenSSL and Node print it. */
  serial: string;
  /** ms since the epoch. */
  notBefore: number;
  notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  spki: Buffer;
  extensions: Extension[];
  /** SHA-256 of the DER, `AB:CD:…`. */
  fingerprint: string;
}

/** A certificate of a Puppet agent is 2 kB; one with a page of extensions is still far below. */
const MAX_CERTIFICATE_BYTES = 128 * 1024;
const MAX_BUNDLE_CHARACTERS = 4 * 1024 * 1024;

/** The SEQUENCE OF Extension, as certificates, CRLs and extension requests hold it. */
export function readExtensions(list: Element): Extension[] {
  return children(expect(list, TAG.sequence)).map(item => {
    const fields = children(expect(item, TAG.sequence));
    const flag = fields.length === 3 ? expect(fields[1], TAG.boolean) : null;
    return {
      oid: oidText(expect(fields[0], TAG.oid)),
      critical: flag !== null && flag.body[0] !== 0,
      value: expect(fields.at(-1), TAG.octets).body,
      der: item.der,
    };
  });
}

/**
 * @throws PkiError for anything but one certificate in DER
 */
export function readCertificate(der: Buffer): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new PkiError(`a certificate of ${der.length} bytes`);
  const [tbs] = children(element(der, TAG.sequence));
  const fields = children(expect(tbs, TAG.sequence));
  if (fields[0]?.tag === TAG.context0) fields.shift(); // version
  const [serial, , issuer, validity, subject, spki] = fields;
  const [notBefore, notAfter] = children(expect(validity, TAG.sequence));
  const extensions = fields.find(field => field.tag === TAG.context3);
  return {
    der,
    x509: parse(der),
    subject: expect(subject, TAG.sequence).der,
    issuer: expect(issuer, TAG.sequence).der,
    serial: serialText(expect(serial, TAG.integer)),
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    spki: expect(spki, TAG.sequence).der,
    extensions: extensions === undefined ? [] : readExtensions(element(extensions.body, TAG.sequence)),
    fingerprint: fingerprintOf(der),
  };
}

function parse(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw new PkiError('malformed certificate');
  }
}

/**
 * All certificates of a PEM text, in its order.
 * @throws PkiError when one of them is malformed; a text without any gives none
 */
export function readCertificates(pem: string): Certificate[] {
  if (pem.length > MAX_BUNDLE_CHARACTERS) throw new PkiError(`a bundle of ${pem.length} characters`);
  return pemOf(pem, 'CERTIFICATE', 'X509 CERTIFICATE').map(readCertificate);
}

/** The public key, or `null` when OpenSSL cannot use it. */
export function publicKeyOf(certificate: X509Certificate): KeyObject | null {
  try {
    return certificate.publicKey;
  } catch {
    return null;
  }
}

/** Signed by that CA's key, issued under its name, and that is a CA. Dates are not looked at. */
export function isIssuedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  const key = publicKeyOf(ca);
  try {
    return key !== null && ca.ca && certificate.checkIssued(ca) && certificate.verify(key);
  } catch {
    return false; // A signature algorithm that OpenSSL does not know, or not any more.
  }
}

const DIRECTORY_STRINGS: readonly number[] = [TAG.utf8, TAG.printable];

/**
 * The common name of a Name, when there is exactly one and it can be read in one way only: alone in its RDN, UTF8String or
 * PrintableString. Others (a second CN, BMPString, …) are read differently by different TLS stacks, so they name nobody here.
 */
export function commonNameOf(name: Buffer): string | null {
  const found: string[] = [];
  for (const rdn of children(element(name, TAG.sequence))) {
    const attributes = children(expect(rdn, TAG.set)).map(attribute => children(expect(attribute, TAG.sequence)));
    const names = attributes.filter(([type]) => oidText(expect(type, TAG.oid)) === OID.commonName);
    if (names.length === 0) continue;
    const value = names[0]![1];
    if (attributes.length > 1 || value === undefined || !DIRECTORY_STRINGS.includes(value.tag)) return null;
    found.push(value.body.toString('utf8'));
  }
  return found.length === 1 ? found[0]! : null;
}

/** A Name of one CN. */
export function commonName(text: string): Buffer {
  return encode(sequence(setOf(sequence(oid(OID.commonName), utf8(text)))));
}

/**
 * Key identifier of a SubjectPublicKeyInfo: the first 160 bits of SHA-256 of the key (RFC 7093 2, method 1), which works where SHA-1 is
 * switched off.
 */
export function keyIdentifier(spki: Buffer): Buffer {
  const [, key] = children(element(spki, TAG.sequence));
  return createHash('sha256').update(wholeBits(key)).digest().subarray(0, 20);
}

/** One extension as DER. */
export function extension(type: string, critical: boolean, value: Asn1): Buffer {
  return encode(sequence(oid(type), ...(critical ? [bool(true)] : []), octets(encode(value))));
}

export function subjectKeyIdentifier(id: Buffer): Buffer {
  return extension(OID.subjectKeyIdentifier, false, octets(id));
}

export function authorityKeyIdentifier(id: Buffer): Buffer {
  return extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, id)));
}

/** `pathlen:0` for a CA: it signs leaves only. */
export function basicConstraints(ca: boolean): Buffer {
  return extension(OID.basicConstraints, true, ca ? sequence(bool(true), integer(Buffer.from([0]))) : sequence());
}

/** DNS names and IP addresses as a server certificate carries them; Ruby compares an address with IP entries only. */
export function subjectAltName(names: readonly string[]): Buffer {
  const entries = names.map(name =>
    isIP(name) === 0 ? implicit(2, Buffer.from(name, 'latin1')) : implicit(7, addressBytes(name)),
  );
  return extension(OID.subjectAltName, false, sequence(...entries));
}

/** 4 or 16 bytes of an address that `net.isIP` accepted. */
export function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // The URL parser writes every form of IPv6 (`::ffff:1.2.3.4` too) as hex groups with at most one `::`; a zone is no part of it.
  const text = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const after = tail === undefined ? [] : groups(tail);
  const before = groups(head);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Buffer.from([...before, ...zeros, ...after].map(group => group.padStart(4, '0')).join(''), 'hex');
}

/** What goes into a signature: its algorithm as DER, and the hash that `crypto.sign` takes. */
interface SignatureScheme {
  identifier: Asn1;
  hash: string;
}

/** PKCS #1 v1.5 with SHA-256 for RSA (RFC 4055), ECDSA with the hash of the curve's strength (RFC 5758 3.2). */
function schemeOf(key: KeyObject): SignatureScheme {
  if (key.asymmetricKeyType === 'rsa') {
    return { identifier: sequence(oid('1.2.840.113549.1.1.11'), nothing()), hash: 'sha256' };
  }
  if (key.asymmetricKeyType === 'ec') {
    const curve = key.asymmetricKeyDetails?.namedCurve;
    if (curve === 'secp384r1') return { identifier: sequence(oid('1.2.840.10045.4.3.3')), hash: 'sha384' };
    if (curve === 'secp521r1') return { identifier: sequence(oid('1.2.840.10045.4.3.4')), hash: 'sha512' };
    return { identifier: sequence(oid('1.2.840.10045.4.3.2')), hash: 'sha256' };
  }
  throw new PkiError(`keys of type ${key.asymmetricKeyType} cannot sign here`, 'use RSA or EC keys');
}

/** The AlgorithmIdentifier that a signature with this key has; it stands inside of what is signed, too. */
export function signatureAlgorithm(key: KeyObject): Asn1 {
  return schemeOf(key).identifier;
}

/** `SEQUENCE { content, algorithm, signature }`: the frame of certificates, CRLs and CSRs. */
export function signed(content: Buffer, key: KeyObject): Buffer {
  const scheme = schemeOf(key);
  return encode(sequence(verbatim(content), scheme.identifier, bits(sign(scheme.hash, content, key))));
}

/** What a certificate says. Names, key and extensions as DER; times in ms, cut to seconds. */
export interface CertificateFields {
  serial: Buffer;
  issuer: Buffer;
  subject: Buffer;
  notBefore: number;
  notAfter: number;
  spki: Buffer;
  extensions: readonly Buffer[];
}

/** A version 3 certificate, PEM. */
export function signCertificate(fields: CertificateFields, key: KeyObject): string {
  const content = sequence(
    tagged(0, integer(Buffer.from([2]))),
    integer(fields.serial),
    signatureAlgorithm(key),
    verbatim(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    verbatim(fields.subject),
    verbatim(fields.spki),
    tagged(3, sequence(...fields.extensions.map(verbatim))),
  );
  return toPem('CERTIFICATE', signed(encode(content), key));
}
