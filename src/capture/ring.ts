/**
 * The bytes of bodies on their way to the writer thread: one shared buffer, written here, read there, freed in order as batches
 * are acknowledged. Body bytes are copied exactly once, nothing is allocated or transferred, and memory is bounded by
 * construction.
 */
export interface Ring {
  /**
   * Copies up to `length` bytes as far as there is room, and notes where, as triples of key, place and length. @returns how many
   */
  write(key: number, chunk: Uint8Array, length: number, parts: number[]): number;
  /** Where the next byte goes: hand it to {@link release} when everything before was read. */
  end(): number;
  release(end: number): void;
  /** Bytes that are not released. */
  used(): number;
}

export function createRing(shared: SharedArrayBuffer): Ring {
  const bytes = Buffer.from(shared);
  const size = bytes.length;
  // Counted on and on; the place is the remainder.
  let head = 0;
  let tail = 0;

  function note(key: number, place: number, length: number, parts: number[]): void {
    const last = parts.length - 3;
    if (last >= 0 && parts[last] === key && parts[last + 1]! + parts[last + 2]! === place) parts[last + 2]! += length;
    else parts.push(key, place, length);
  }

  return {
    write(key, chunk, length, parts) {
      const taken = Math.min(length, size - (head - tail));
      const source = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let from = 0; from < taken; ) {
        const place = head % size;
        const piece = Math.min(taken - from, size - place);
        copyBytes(source, from, piece, bytes, place);
        note(key, place, piece, parts);
        head += piece;
        from += piece;
      }
      return taken;
    },
    end: () => head,
    release(end) {
      tail = Math.max(tail, end);
      if (tail === head) head = tail = Math.ceil(head / size) * size; // empty: begin at the front, which the caches know
    },
    used: () => head - tail,
  };
}

/**
 * Copies bytes into shared memory, or out of it. V8's `set` of a typed array goes byte by byte there, at a tenth of the speed, unless both places are
 * aligned alike, and so does Node's `copy` of all that a Buffer has.
 */
export function copyBytes(source: Buffer, from: number, length: number, target: Uint8Array, at: number): void {
  if (length === 0) return;
  const last = length - 1;
  source.copy(target, at, from, from + last);
  target[at + last] = source[from + last]!;
}
