import { createECDH } from 'node:crypto';
import { childrenOf, type Der, oidOf, readDer, stringOf, TAG } from './der.ts';
import { attempt } from './limits.ts';
import type { Pseudonyms } from './pseudonyms.ts';

/*
 * Certificates, CSRs and CRLs of a capture that is shared: names in them are replaced where they are, by names of the same length, so that all
 * that reads them still does. Keys become others, the same for the same key; signatures do not hold any more.
 */

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]{0,4000000})-----END \1-----/g;

/** Rewrites the blocks of a PEM text; what stands between them is text. */
export function sharePem(text: string, names: Pseudonyms): string {
  if (names.level === 'low') return names.text(text);
  let out = '';
  let at = 0;
  for (const match of text.matchAll(BLOCK)) {
    out += names.text(text.slice(at, match.index));
    at = match.index + match[0].length;
    const der = new Uint8Array(Buffer.from(match[2]!.replace(/\s/g, ''), 'base64'));
    const done = attempt(() => rewrite(readDer(der), names, 0));
    // What is no DER can hold anything.
    if ('error' in done) der.set(names.filler(der, false));
    const lines =
      Buffer.from(der)
        .toString('base64')
        .match(/.{1,64}/g) ?? [];
    out += `-----BEGIN ${match[1]}-----\n${lines.join('\n')}\n-----END ${match[1]}-----`;
  }
  return out + names.text(text.slice(at));
}

/** Overwrites in place. */
function rewrite(der: Der, names: Pseudonyms, depth: number): void {
  const { tag, content } = der;
  if (depth > 20) {
    content.set(names.filler(content, false));
    return;
  }
  if ((tag & 0x20) !== 0) {
    const children = childrenOf(der);
    if (isKey(children)) replaceKey(children, names);
    else for (const child of children) rewrite(child, names, depth + 1);
    return;
  }
  if (tag === TAG.octetString) {
    const inner = attempt(() => readDer(content));
    if ('value' in inner && inner.value.raw.length === content.length && content.length > 0) {
      // an extension's value; bytes that only look like one hold no children that are whole
      const done = attempt(() => rewrite(inner.value, names, depth + 1));
      if (!('error' in done)) return;
    }
    if (names.level === 'full') content.set(names.filler(content, false));
    return;
  }
  if (tag === TAG.bitString) {
    // key usage is a byte or two; signatures are long
    if (content.length > 8 && names.level === 'full') content.set(names.filler(content.subarray(1), false), 1);
    return;
  }
  if ((tag & 0xc0) === 0x80) choice(der, names);
  else if (stringOf(der) !== null) setText(content, names, tag === 0x1e);
}

/** A primitive value with a tag of its context: a name, an address, a key's number. */
function choice({ tag, content }: Der, names: Pseudonyms): void {
  if (tag === 0x87 && (content.length === 4 || content.length === 16)) {
    const text = content.length === 4 ? content.join('.') : null;
    const made = text === null ? null : names.names(text).split('.').map(Number);
    if (made !== null && made.length === 4) content.set(made);
    else content.set(names.filler(content, false));
  } else if (/^[\x20-\x7e]+$/.test(Buffer.from(content).toString('latin1'))) setText(content, names, false);
  else if (content.length >= 8 && names.level === 'full') content.set(names.filler(content, false));
}

function setText(content: Uint8Array, names: Pseudonyms, wide: boolean): void {
  if (wide) {
    // BMPString, which Puppet never writes
    for (let at = 1; at < content.length; at += 2) content.set([0, 0x78], at - 1);
    return;
  }
  const made = Buffer.from(names.text(Buffer.from(content).toString('utf8')));
  content.set(made.length === content.length ? made : names.filler(content, true));
}

/** Algorithms of keys (RFC 3279, 5480, 8410). */
const RSA = '1.2.840.113549.1.1.1';
const EC = '1.2.840.10045.2.1';
const EDWARDS: ReadonlySet<string> = new Set(['1.3.101.112', '1.3.101.113']);
const CURVES: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10045.3.1.7', 'prime256v1'],
  ['1.3.132.0.34', 'secp384r1'],
  ['1.3.132.0.35', 'secp521r1'],
]);

function algorithm(children: readonly Der[]): string | null {
  const [head] = children;
  if (head?.tag !== TAG.sequence) return null;
  const oid = attempt(() => oidOf(childrenOf(head)[0], 'an algorithm'));
  return 'value' in oid ? oid.value : null;
}

/** A SubjectPublicKeyInfo. */
function isKey(children: readonly Der[]): boolean {
  if (children.length !== 2 || children[1]?.tag !== TAG.bitString) return false;
  const oid = algorithm(children);
  return oid === RSA || oid === EC || EDWARDS.has(oid ?? '');
}

function replaceKey(children: readonly Der[], names: Pseudonyms): void {
  if (names.level !== 'full') return;
  const bits = children[1]!.content.subarray(1);
  const oid = algorithm(children);
  if (oid === RSA) {
    const modulus = attempt(() => childrenOf(readDer(bits))[0]!.content);
    if ('error' in modulus) bits.set(names.filler(bits, false));
    else {
      // it stays a number of as many bits that OpenSSL takes for a modulus
      const number = modulus.value[0] === 0 ? modulus.value.subarray(1) : modulus.value;
      const top = number[0] ?? 0;
      number.set(names.filler(number, false));
      number[0] = top;
      number[number.length - 1]! |= 1;
    }
    return;
  }
  if (oid === EC) {
    const curve = attempt(() => CURVES.get(oidOf(childrenOf(children[0]!)[1], 'a curve')));
    const point = 'value' in curve && curve.value !== undefined ? pointOf(curve.value, bits, names) : null;
    if (point !== null && point.length === bits.length) {
      bits.set(point);
      return;
    }
  }
  bits.set(names.filler(bits, false));
}

/** A point of the curve that depends on another. */
function pointOf(curve: string, bits: Uint8Array, names: Pseudonyms): Uint8Array | null {
  const ecdh = createECDH(curve);
  try {
    ecdh.setPrivateKey(names.filler(bits, false).subarray(0, 30));
  } catch {
    return null; // no number below the curve's order: as good as never
  }
  return ecdh.getPublicKey(null, bits[0] === 4 ? 'uncompressed' : 'compressed');
}
