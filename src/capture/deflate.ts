import { createBitWriter, type Trees, writeBlock } from './deflate-trees.ts';

/*
 * deflate as zlib does it at its default level: the same bytes give the same output, byte for byte, as from zlib 1.2.5 and later with level 6, a window
 * of 32 KiB and memLevel 8, which is what Java's GZIPOutputStream and most HTTP servers use. Node's own zlib is another one (Chromium's), and
 * finds other matches. The algorithm is that of zlib's deflate.c (deflate_slow, longest_match) and trees.c, by Jean-loup Gailly and Mark Adler.
 */

const WINDOW = 32_768;
const MIN_MATCH = 3;
const MAX_MATCH = 258;
/** How much of the input zlib wants to see before it decides. */
const MIN_LOOKAHEAD = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE = WINDOW - MIN_LOOKAHEAD;
/** A match of three bytes this far away costs more than it saves. */
const TOO_FAR = 4_096;

/** Level 6 of zlib's configuration table. */
const GOOD_LENGTH = 8;
const MAX_LAZY = 16;
const NICE_LENGTH = 128;
const MAX_CHAIN = 128;

/** Symbols of a block: zlib's lit_bufsize - 1 of memLevel 8. */
const BLOCK_SYMBOLS = 16_383;

/** @returns raw deflate data */
export function deflate(input: Uint8Array): Uint8Array {
  const size = input.length;
  const head = new Int32Array(32_768).fill(-1);
  const prev = new Int32Array(WINDOW);
  const out = createBitWriter(size);
  const trees: Trees = { literals: new Uint16Array(BLOCK_SYMBOLS), distances: new Uint16Array(BLOCK_SYMBOLS), count: 0 };
  let blockStart = 0;
  /** Where zlib's window begins; a match never begins there, for zero is its mark for none. */
  let base = 0;
  let at = 0;
  let matchStart = 0;
  let matchLength = MIN_MATCH - 1;
  let available = false;

  function insert(pos: number): number {
    const hash = ((input[pos]! << 10) ^ (input[pos + 1]! << 5) ^ input[pos + 2]!) & 0x7fff;
    const found = head[hash]!;
    prev[pos & (WINDOW - 1)] = found;
    head[hash] = pos;
    return found;
  }

  function longestMatch(from: number, before: number): number {
    const lookahead = size - at;
    const nice = Math.min(NICE_LENGTH, lookahead);
    const limit = Math.max(at - MAX_DISTANCE, base);
    let chain = before >= GOOD_LENGTH ? MAX_CHAIN >> 2 : MAX_CHAIN;
    let best = before;
    let match = from;
    do {
      if (input[match + best] === input[at + best] && input[match + best - 1] === input[at + best - 1]) {
        const length = commonLength(match);
        if (length > best) {
          matchStart = match;
          best = length;
          if (length >= nice) break;
        }
      }
      match = prev[match & (WINDOW - 1)]!;
    } while (match > limit && --chain !== 0);
    return Math.min(best, lookahead);
  }

  function commonLength(match: number): number {
    const most = Math.min(MAX_MATCH, size - at);
    let length = 0;
    while (length < most && input[match + length] === input[at + length]) length++;
    return length;
  }

  /** @returns whether the block is full */
  function tally(literal: number, distance: number): boolean {
    trees.literals[trees.count] = literal;
    trees.distances[trees.count] = distance;
    return ++trees.count === BLOCK_SYMBOLS;
  }

  function flush(last: boolean): void {
    writeBlock(out, trees, input.subarray(blockStart, at), last);
    blockStart = at;
    trees.count = 0;
  }

  while (at < size) {
    if (at - base >= WINDOW + MAX_DISTANCE && base + 2 * WINDOW < size) base += WINDOW;
    const found = size - at >= MIN_MATCH ? insert(at) : -1;
    let before = matchLength;
    const beforeStart = matchStart;
    matchLength = MIN_MATCH - 1;
    if (found > base && before < MAX_LAZY && at - found <= MAX_DISTANCE) {
      matchLength = longestMatch(found, before);
      if (matchLength === MIN_MATCH && at - matchStart > TOO_FAR) matchLength = MIN_MATCH - 1;
    }
    if (before >= MIN_MATCH && matchLength <= before) {
      const full = tally(before - MIN_MATCH, at - 1 - beforeStart);
      for (before -= 2; before !== 0; before--) if (++at <= size - MIN_MATCH) insert(at);
      available = false;
      matchLength = MIN_MATCH - 1;
      at++;
      if (full) flush(false);
    } else {
      if (available && tally(input[at - 1]!, 0)) flush(false);
      available = true;
      at++;
    }
  }
  if (available) tally(input[at - 1]!, 0);
  flush(true);
  return out.finish();
}
