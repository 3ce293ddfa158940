import { isUtf8 } from 'node:buffer';
import { type Data, FLOAT, Tagged } from './data.ts';
import { type Limits, Malformed } from './limits.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** Integers of up to 15 digits are exact in a double. */
const EXACT_DIGITS = 15;

/**
 * Parses JSON. Depth and number of values are counted by a scan of the bytes first, so that a hostile body costs no more than
 * reading it once. Integers beyond 2^53 stay exact (bigint).
 *
 * @param floats whole numbers that are written as floats stay that: see FLOAT in data.ts
 * @throws Malformed
 */
export function parseJson(bytes: Uint8Array, limits: Limits, floats = false): Data {
  if (!isUtf8(bytes)) throw new Malformed('not JSON: the body is not UTF-8');
  return parseJsonText(text(bytes), scanJson(bytes, limits), floats);
}

function text(bytes: Uint8Array): string {
  const bom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return Buffer.from(bytes.buffer, bytes.byteOffset + bom, bytes.byteLength - bom).toString('utf8');
}

/** @throws Malformed with a reason of ours: that of the engine quotes the body */
export function parseJsonText(source: string, scan: JsonScan, floats = false): Data {
  try {
    const wholes = floats && scan.wholeFloats;
    if (!scan.longNumbers && !wholes) return JSON.parse(source) as Data;
    return JSON.parse(source, (_key, value: Data, ...rest: unknown[]) => exactNumber(value, rest[0], wholes)) as Data;
  } catch (error) {
    const message = error instanceof Error ? error.message : '';
    const position = Number(/at position (\d+)/.exec(message)?.[1] ?? Number.NaN);
    if (message.includes('end of JSON input') || position >= source.length) throw new Malformed('the JSON ends early');
    throw new Malformed(Number.isNaN(position) ? 'not JSON' : `not JSON at character ${position}`);
  }
}

/** The third argument (`source`, the digits as written) is in every engine that stringtap runs on, and not yet in its types. */
function exactNumber(value: Data, context: unknown, floats: boolean): Data {
  if (typeof value !== 'number' || (!floats && Number.isSafeInteger(value))) return value;
  if (typeof context !== 'object' || context === null || !('source' in context)) return value;
  const source = String(context.source);
  if (floats && Number.isInteger(value) && /[.e]/i.test(source)) return new Tagged(FLOAT, value);
  if (Number.isSafeInteger(value)) return value;
  return /^-?\d{1,4000}$/.test(source) ? BigInt(source) : value;
}

export interface JsonScan {
  depth: number;
  /** Upper bound of the number of values. */
  items: number;
  /** Some number has more digits than a double holds. */
  longNumbers: boolean;
  /** Some number may be a float that is whole. */
  wholeFloats: boolean;
}

/**
 * Reads depth and size off the bytes, in one pass and without recursion. Text that is not JSON may give any answer: the parser
 * refuses it afterwards.
 *
 * @throws Malformed over the limits
 */
export function scanJson(bytes: Uint8Array, limits: Limits): JsonScan {
  let depth = 0;
  let deepest = 0;
  let items = 1;
  let digits = 0;
  let longNumbers = false;
  let wholeFloats = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte >= ZERO && byte <= NINE) {
      digits += 1;
      if (digits > EXACT_DIGITS) longNumbers = true;
      continue;
    }
    digits = 0;
    switch (byte) {
      case QUOTE:
        at = stringEnd(bytes, at + 1);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        items += 1;
        if (depth > deepest) deepest = depth;
        if (depth > limits.depth) throw new Malformed(`JSON nested deeper than ${limits.depth}`);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      case COMMA:
        items += 1;
        break;
      case POINT: // a fraction is a double's own business
        if (bytes[at + 1] === ZERO) wholeFloats = true;
        while (bytes[at + 1]! >= ZERO && bytes[at + 1]! <= NINE) at += 1;
        break;
      case 0x45: // E
      case 0x65: // e
        if (bytes[at - 1]! >= ZERO && bytes[at - 1]! <= NINE) wholeFloats = true;
        break;
      default:
    }
    if (items > limits.items) throw new Malformed(`JSON with more than ${limits.items} values`);
  }
  return { depth: deepest, items, longNumbers, wholeFloats };
}

/** Index of the quote that ends a string, or the end of the bytes. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
