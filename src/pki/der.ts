import forge from 'node-forge';
import { PkiError } from './error.ts';

/**
 * ASN.1 in DER. Written with node-forge. Read by slicing: what was signed by somebody else must be copied byte for byte, which a
 * tree that is printed again does not promise, and a revocation list of 100,000 entries must not hold the event loop for a second.
 * Only DER is read (X.690 10): no indefinite and no overlong lengths, so a structure has one meaning for us and for everyone after us.
 */

/** One value: `der` is all of it, `body` is what it holds. Both are views of the bytes that were read. */
export interface Element {
  /** First byte: class, constructed bit and number. */
  tag: number;
  der: Buffer;
  body: Buffer;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  printable: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  /** `[0]` and `[3]`, constructed. */
  context0: 0xa0,
  context3: 0xa3,
} as const;

function malformed(what: string): PkiError {
  return new PkiError(`malformed ASN.1: ${what}`);
}

/** The element that starts at the offset. */
function elementAt(bytes: Buffer, at: number): Element {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw malformed('cut off');
  if ((tag & 0x1f) === 0x1f) throw malformed('a tag number over 30');
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || start + count > bytes.length) throw malformed('a length that DER does not allow');
    length = bytes.readUIntBE(start, count);
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw malformed('a length that DER does not allow');
    start += count;
  }
  const end = start + length;
  if (end > bytes.length) throw malformed('cut off');
  return { tag, der: bytes.subarray(at, end), body: bytes.subarray(start, end) };
}

/**
 * The one element that the bytes consist of.
 * @throws PkiError
 */
export function element(bytes: Buffer, tag: number): Element {
  const found = elementAt(bytes, 0);
  if (found.der.length !== bytes.length) throw malformed('bytes after the end');
  return expect(found, tag);
}

/** The elements side by side in the bytes. */
export function* elements(bytes: Buffer): Generator<Element> {
  for (let at = 0; at < bytes.length; ) {
    const found = elementAt(bytes, at);
    yield found;
    at += found.der.length;
  }
}

/** The elements inside a constructed one. */
export function children(parent: Element): Element[] {
  return [...elements(parent.body)];
}

/** The element itself when it has the tag. */
export function expect(found: Element | undefined, tag: number): Element {
  if (found === undefined) throw malformed('a field is missing');
  if (found.tag !== tag) throw malformed(`tag ${found.tag} where ${tag} belongs`);
  return found;
}

/** `1.2.840.…` of an OID. Bounded: an OID of a certificate has a dozen arcs, not thousands. */
export function oidText(oid: Element): string {
  const { body } = expect(oid, TAG.oid);
  if (body.length === 0 || body.length > 64 || body.at(-1)! >= 0x80) throw malformed('a bad OID');
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of body) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const first = arcs[0]!;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...arcs.slice(1)].join('.');
}

/** UTCTime or GeneralizedTime in the forms that RFC 5280 4.1.2.5 allows, as ms since the epoch. */
export function timeOf(time: Element | undefined): number {
  const text = time?.body.toString('latin1') ?? '';
  const digits = time?.tag === TAG.utcTime ? (Number(text.slice(0, 2)) < 50 ? `20${text}` : `19${text}`) : text;
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? [];
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if ((time?.tag !== TAG.utcTime && time?.tag !== TAG.generalizedTime) || Number.isNaN(at)) throw malformed('a bad time');
  return at;
}

/** Hex of an INTEGER as OpenSSL and Node print a serial: upper case, whole bytes, no leading zero byte. */
export function serialText(integer: Element): string {
  const { body } = expect(integer, TAG.integer);
  if (body.length === 0) throw malformed('an INTEGER of no bytes');
  return plainSerial(body.toString('hex'));
}

/** A serial as {@link serialText} gives it, from one that came in another case or with other zeros in front. */
export function plainSerial(hex: string): string {
  const digits = hex
    .replace(/[^0-9A-Fa-f]/g, '')
    .replace(/^0+(?=.)/, '')
    .toUpperCase();
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** The bytes of a BIT STRING that holds whole bytes, as all signatures and keys do. */
export function wholeBits(bits: Element | undefined): Buffer {
  const { body } = expect(bits, TAG.bits);
  if (body[0] !== 0) throw malformed('a BIT STRING that ends inside a byte');
  return body.subarray(1);
}

const { asn1 } = forge;
const { Type, Class } = asn1;

/** A structure that is being written. */
export type Asn1 = forge.asn1.Asn1;

const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function primitive(type: forge.asn1.Type, value: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, type, false, value);
}

export function sequence(...parts: Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
}

export function setOf(...parts: Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
}

/** `[number]`, constructed: explicit tagging. */
export function tagged(number: number, ...parts: Asn1[]): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, true, parts);
}

/** `[number] IMPLICIT`, primitive: a name in a SAN, a key id in an AKI. */
export function implicit(number: number, bytes: Uint8Array): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, false, binary(bytes));
}

export function oid(text: string): Asn1 {
  return primitive(Type.OID, asn1.oidToDer(text).getBytes());
}

export function bool(value: boolean): Asn1 {
  return primitive(Type.BOOLEAN, value ? '\xff' : '\x00');
}

export function nothing(): Asn1 {
  return primitive(Type.NULL, '');
}

/** A positive INTEGER from its big-endian bytes, the first of them not zero: node-forge drops the zero that is not needed. */
export function integer(bytes: Uint8Array): Asn1 {
  return primitive(Type.INTEGER, `\x00${binary(bytes)}`);
}

export function utf8(text: string): Asn1 {
  return primitive(Type.UTF8, binary(Buffer.from(text, 'utf8')));
}

export function octets(bytes: Uint8Array): Asn1 {
  return primitive(Type.OCTETSTRING, binary(bytes));
}

/** @param unused bits of the last byte that do not count */
export function bits(bytes: Uint8Array, unused = 0): Asn1 {
  return primitive(Type.BITSTRING, String.fromCharCode(unused) + binary(bytes));
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5). */
export function time(at: number): Asn1 {
  const date = new Date(at);
  if (date.getUTCFullYear() < 2050) return primitive(Type.UTCTIME, asn1.dateToUtcTime(date));
  return primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));
}

/** A constructed element as it was read, put into a structure that is being written byte for byte. */
export function verbatim(der: Buffer): Asn1 {
  const { tag, body } = elementAt(der, 0);
  if ((tag & 0x20) === 0) throw new TypeError('verbatim takes constructed elements');
  // node-forge prints class | type and then the value as it is: with the constructed bit in the type, the same first byte again.
  return asn1.create(tag & 0xc0, tag & 0x3f, false, binary(body));
}

/** The DER of a structure. */
export function encode(structure: Asn1): Buffer {
  return Buffer.from(asn1.toDer(structure).getBytes(), 'latin1');
}
