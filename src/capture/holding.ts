import { copyBytes } from './ring.ts';

/** Bodies are cut into pieces of this size; smaller ones are one piece. */
export const CHUNK_BYTES = 256 << 10;

/**
 * Full-size buffers that are kept for the next body: making them anew costs more than filling them, and memory until V8 collects
 * them.
 */
const SPARE = 32;

/** What is held of one body: full pieces of CHUNK_BYTES, then a tail that grows. */
export interface Held {
  pieces: Buffer[];
  tail: Buffer;
  tailBytes: number;
}

/** Memory for parts of bodies that are not in the file yet. */
export interface Holding {
  /** Bytes of memory that all bodies take. */
  readonly bytes: number;
  /**
   * Copies a part behind what is held. A body that drips byte by byte costs no object per byte: its tail grows in a few steps.
   */
  append(held: Held, part: Buffer): void;
  /**
   * Hands out the full pieces, with the tail when `all`, one after the other, and frees them; a piece is valid during the call.
   */
  drain(held: Held, all: boolean, write: (piece: Buffer) => void): void;
  free(held: Held): void;
}

const NOTHING = Buffer.alloc(0);

export function nothingHeld(): Held {
  return { pieces: [], tail: NOTHING, tailBytes: 0 };
}

export function createHolding(): Holding {
  const spare: Buffer[] = [];
  let bytes = 0;

  function make(needed: number): Buffer {
    const size = needed <= 4_096 ? 4_096 : needed <= 16_384 ? 16_384 : needed <= 65_536 ? 65_536 : CHUNK_BYTES;
    bytes += size;
    return (size === CHUNK_BYTES ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(size);
  }

  function unmake(buffer: Buffer): void {
    bytes -= buffer.length;
    if (buffer.length === CHUNK_BYTES && spare.length < SPARE) spare.push(buffer);
  }

  return {
    get bytes() {
      return bytes;
    },
    append(held, part) {
      for (let at = 0; at < part.length; ) {
        const length = Math.min(part.length - at, CHUNK_BYTES - held.tailBytes);
        const needed = held.tailBytes + length;
        if (needed > held.tail.length) {
          const larger = make(needed);
          larger.set(held.tail.subarray(0, held.tailBytes));
          unmake(held.tail);
          held.tail = larger;
        }
        copyBytes(part, at, length, held.tail, held.tailBytes);
        held.tailBytes = needed;
        at += length;
        if (needed < CHUNK_BYTES) continue;
        held.pieces.push(held.tail);
        held.tail = NOTHING;
        held.tailBytes = 0;
      }
    },
    drain(held, all, write) {
      for (let piece = held.pieces.shift(); piece !== undefined; piece = held.pieces.shift()) {
        write(piece);
        unmake(piece);
      }
      if (!all || held.tailBytes === 0) return;
      write(held.tail.subarray(0, held.tailBytes));
      unmake(held.tail);
      held.tail = NOTHING;
      held.tailBytes = 0;
    },
    free(held) {
      for (const piece of held.pieces.splice(0)) unmake(piece);
      unmake(held.tail);
      held.tail = NOTHING;
      held.tailBytes = 0;
    },
  };
}
