import { isUtf8 } from 'node:buffer';
import { type Data, Tagged } from './data.ts';
import { parseJson, parseJsonText, scanJson } from './json.ts';
import type { Limits } from './limits.ts';

/**
 * PSON is JSON whose strings may hold any bytes (Puppet sends binary file content that way; `external/pson/pure/generator.rb`,
 * utf8_to_pson). Bytes that are no UTF-8 travel through the JSON parser as lone surrogates U+DC80 to U+DCFF, and a string that holds
 * one becomes its bytes: a Uint8Array.
 *
 * @param floats see parseJson
 * @throws Malformed
 */
export function parsePson(bytes: Uint8Array, limits: Limits, floats = false): Data {
  if (isUtf8(bytes)) return parseJson(bytes, limits, floats);
  const scan = scanJson(bytes, limits);
  return restore(parseJsonText(decodeEscaping(bytes), scan, floats));
}

const ESCAPED_BYTE = /[\udc80-\udcff]/;

function restore(data: Data): Data {
  // A well-formed pair holds no escaped byte, but its second half is in the same range.
  if (typeof data === 'string') return ESCAPED_BYTE.test(data) && !data.isWellFormed() ? encodeEscaping(data) : data;
  if (Array.isArray(data)) return data.map(restore);
  if (data === null || typeof data !== 'object' || data instanceof Tagged) return data;
  // Keys are names; one that is no UTF-8 keeps its surrogates. A Map takes any key as plain data.
  return new Map(Object.entries(data).map(([key, value]) => [key, restore(value)]));
}

/** UTF-8 to text, each byte that is none to U+DC00 + byte. No sequence makes more UTF-16 units than it has bytes. */
function decodeEscaping(bytes: Uint8Array): string {
  const units = new Uint16Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const size = sequenceLength(bytes, at);
    const point = size === 0 ? 0xdc00 + bytes[at]! : codePoint(bytes, at, size);
    if (point < 0x10000) units[length++] = point;
    else {
      units[length++] = 0xd800 + ((point - 0x10000) >> 10);
      units[length++] = 0xdc00 + ((point - 0x10000) & 0x3ff);
    }
    at += Math.max(1, size);
  }
  // Every machine that Node runs on is little-endian, or `swap16` would be due here.
  return Buffer.from(units.buffer, 0, length * 2).toString('utf16le');
}

function codePoint(bytes: Uint8Array, at: number, size: number): number {
  let point = size === 1 ? bytes[at]! : bytes[at]! & (0xff >> (size + 1));
  for (let next = 1; next < size; next++) point = (point << 6) | (bytes[at + next]! & 0x3f);
  return point;
}

/** Length of the UTF-8 sequence at an offset, 0 when there is none (Unicode 15, table 3-7). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  for (let next = 1; next < length; next++) {
    if ((bytes[at + next]! & 0xc0) !== 0x80) return 0; // also past the end: undefined & 0xc0 is 0
  }
  const second = bytes[at + 1]!;
  const overlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
  const surrogate = first === 0xed && second > 0x9f;
  const beyond = first === 0xf4 && second > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

/** The bytes that {@link decodeEscaping} read; other lone surrogates (JSON escapes may name them) become U+FFFD. */
function encodeEscaping(text: string): Uint8Array {
  const out = Buffer.allocUnsafe(text.length * 3);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const point = text.codePointAt(at)!;
    if (point >= 0xdc80 && point <= 0xdcff) out[length++] = point - 0xdc00;
    else if (point < 0x80) out[length++] = point;
    else {
      length += out.write(String.fromCodePoint(point), length);
      if (point > 0xffff) at += 1;
    }
  }
  return new Uint8Array(out.subarray(0, length));
}
