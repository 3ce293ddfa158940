import { Malformed } from './limits.ts';

/** One DER value (X.690): identifier octet, content, and the whole of it as it stood. */
export interface Der {
  /** Class, form and number, as the one octet that X.509 ever uses. */
  tag: number;
  content: Uint8Array;
  raw: Uint8Array;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** No OID in use has over 40 octets; reading a longer one into a number of that size would be the sender's choice of our work. */
const MAX_OID_BYTES = 128;

/** Reads the value that the bytes start with. @throws Malformed */
export function readDer(bytes: Uint8Array): Der {
  const tag = bytes[0];
  const first = bytes[1];
  if (tag === undefined || first === undefined) throw new Malformed('DER ends early');
  if ((tag & 0x1f) === 0x1f) throw new Malformed('DER with a tag number over 30');
  let header = 2;
  let length = first;
  if (first >= 0x80) {
    const size = first & 0x7f;
    if (size === 0 || size > 4) throw new Malformed(size === 0 ? 'DER of indefinite length' : 'DER length of more than 4 bytes');
    length = 0;
    for (let at = 0; at < size; at++) length = length * 256 + (bytes[2 + at] ?? 0);
    header += size;
  }
  const end = header + length;
  if (end > bytes.length) throw new Malformed(`DER claims ${length} bytes, ${Math.max(0, bytes.length - header)} are left`);
  return { tag, content: bytes.subarray(header, end), raw: bytes.subarray(0, end) };
}

/** The values inside a constructed one. @throws Malformed */
export function childrenOf(der: Der): Der[] {
  const children: Der[] = [];
  for (let rest = der.content; rest.length > 0; ) {
    const child = readDer(rest);
    children.push(child);
    rest = rest.subarray(child.raw.length);
  }
  return children;
}

/** The children of a value that must have a tag. @throws Malformed */
export function expectChildren(der: Der | undefined, tag: number, what: string): Der[] {
  return childrenOf(expectTag(der, tag, what));
}

/** @throws Malformed */
export function expectTag(der: Der | undefined, tag: number, what: string): Der {
  if (der === undefined) throw new Malformed(`no ${what}`);
  if (der.tag !== tag) throw new Malformed(`${what} has DER tag ${der.tag}, not ${tag}`);
  return der;
}

/** Dotted form. @throws Malformed */
export function oidOf(der: Der | undefined, what: string): string {
  const { content } = expectTag(der, TAG.oid, what);
  if (content.length > MAX_OID_BYTES) throw new Malformed(`${what} is an OID of ${content.length} bytes, limit ${MAX_OID_BYTES}`);
  if (content.length === 0 || content.at(-1)! >= 0x80) throw new Malformed(`${what} is no OID`);
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of content) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const [head, ...tail] = arcs as [bigint, ...bigint[]];
  const top = head < 40n ? 0n : head < 80n ? 1n : 2n;
  return [top, head - top * 40n, ...tail].join('.');
}

/** Upper-case hex of an INTEGER as `openssl` prints serial numbers: whole bytes, no leading zero byte. @throws Malformed */
export function integerHex(der: Der | undefined, what: string): string {
  const { content } = expectTag(der, TAG.integer, what);
  const skip = content.length > 1 && content[0] === 0 ? 1 : 0;
  return hexOf(content.subarray(skip)).toUpperCase();
}

/** A small INTEGER, `null` when it is beyond 2^31. @throws Malformed */
export function smallInteger(der: Der | undefined, what: string): number | null {
  const { content } = expectTag(der, TAG.integer, what);
  if (content.length === 0 || content.length > 4) return null;
  return Buffer.from(content).readIntBE(0, content.length);
}

/** Text of the string types of X.520; `null` for other tags. BMPString is UTF-16, T61String is read as latin1, as OpenSSL does. */
export function stringOf(der: Der): string | null {
  const buffer = Buffer.from(der.content.buffer, der.content.byteOffset, der.content.byteLength);
  switch (der.tag) {
    case 0x0c: // UTF8String
      return buffer.toString('utf8');
    case 0x12: // NumericString
    case 0x13: // PrintableString
    case 0x14: // T61String
    case 0x16: // IA5String
    case 0x1a: // VisibleString
      return buffer.toString('latin1');
    case 0x1e: // BMPString
      return buffer.length % 2 === 0 ? Buffer.from(buffer).swap16().toString('utf16le') : null;
    default:
      return null;
  }
}

/** UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 wants them, in ms since the epoch. @throws Malformed */
export function timeOf(der: Der | undefined, what: string): number {
  const text = der === undefined ? '' : Buffer.from(der.content).toString('latin1');
  const match = /^(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const digits = der?.tag === TAG.utcTime ? 2 : der?.tag === TAG.generalizedTime ? 4 : 0;
  if (match === null || match[1]!.length !== digits) throw new Malformed(`${what} is no time`);
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  const full = digits === 4 ? year : year < 50 ? 2000 + year : 1900 + year;
  return Date.UTC(full, month - 1, day, hour, minute, second);
}

export function isTime(der: Der | undefined): boolean {
  return der?.tag === TAG.utcTime || der?.tag === TAG.generalizedTime;
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
