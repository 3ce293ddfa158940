import { isUtf8 } from 'node:buffer';
import { Malformed } from './limits.ts';
import { formPairs, type Pairs } from './route.ts';

/** Puppet sends nine pairs; a body of nothing but `&a&a` must not become millions. */
const MAX_PAIRS = 10_000;

/** Pairs of an `application/x-www-form-urlencoded` body, in order, repeats kept. @throws Malformed for more than 10,000 */
export function parseForm(bytes: Uint8Array): Pairs {
  let pairs = 1;
  for (const byte of bytes) if (byte === 0x26) pairs += 1;
  if (pairs > MAX_PAIRS) throw new Malformed(`a form of ${pairs} pairs, limit ${MAX_PAIRS}`);
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return formPairs(body.toString(isUtf8(bytes) ? 'utf8' : 'latin1'));
}

const PERCENT = 0x25;

/** Percent-decodes to bytes: the text may be PSON with bytes that are no UTF-8. Bad escapes stay; `+` stays. */
export function percentBytes(text: string): Uint8Array {
  const source = Buffer.from(text);
  const out = Buffer.allocUnsafe(source.length);
  let length = 0;
  for (let at = 0; at < source.length; at++) {
    const high = source[at] === PERCENT ? hex(source[at + 1]) : -1;
    const low = high < 0 ? -1 : hex(source[at + 2]);
    if (low < 0) out[length++] = source[at]!;
    else {
      out[length++] = high * 16 + low;
      at += 2;
    }
  }
  return out.subarray(0, length);
}

function hex(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}
