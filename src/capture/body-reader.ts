import { zstdDecompressSync } from 'node:zlib';
import type { Database } from 'better-sqlite3';
import { CHUNK_BYTES } from './holding.ts';

/** Reads the bytes of a body by its id, a piece at a time; each piece is at most CHUNK_BYTES. */
export type ReadBody = (id: number) => Iterable<Uint8Array>;

/** Reads bytes in the middle of a body; fewer where it ends. What is before them is not kept in memory. */
export type ReadPart = (id: number, at: number, length: number) => Uint8Array;

/** Bodies whose pieces are remembered by where they begin; a reader looks into one or two at a time. */
const REMEMBERED = 16;

const SQL = {
  whole: 'SELECT coding, bytes FROM body WHERE id = ?',
  piece: 'SELECT coding, bytes FROM body_chunk WHERE body = ? AND n = ?',
} as const;

interface Piece {
  coding: string;
  bytes: Uint8Array | null;
}

export function createBodyReader(db: Database): ReadBody {
  const whole = db.prepare<[number], Piece>(SQL.whole);
  const piece = db.prepare<[number, number], Piece>(SQL.piece);
  return function* read(id) {
    const row = whole.get(id);
    if (row === undefined) return;
    if (row.coding !== 'chunks') {
      yield decoded(row);
      return;
    }
    // One look-up a piece: an iterator would hold the connection, and a snapshot of the file, as long as the reader takes.
    for (let n = 0, next = piece.get(id, 0); next !== undefined; next = piece.get(id, ++n)) yield decoded(next);
  };
}

export function createPartReader(db: Database): ReadPart {
  const whole = db.prepare<[number], Piece>(SQL.whole);
  const piece = db.prepare<[number, number], Piece>(SQL.piece);
  /** Where the pieces of a body begin, as far as they were read: pieces are full but where the writer ran out of memory. */
  const known = new Map<number, number[]>();
  let last: { id: number; n: number; bytes: Uint8Array } | null = null;

  function pieceOf(id: number, n: number): Uint8Array | null {
    if (last?.id === id && last.n === n) return last.bytes;
    const row = piece.get(id, n);
    if (row === undefined) return null;
    last = { id, n, bytes: decoded(row) };
    return last.bytes;
  }

  return function read(id, at, length) {
    const row = whole.get(id);
    if (row === undefined) return new Uint8Array(0);
    if (row.coding !== 'chunks') return decoded(row).subarray(at, at + length);
    if (known.size >= REMEMBERED) known.clear();
    const starts = known.get(id) ?? [0];
    known.set(id, starts);
    const parts: Uint8Array[] = [];
    let n = Math.max(
      0,
      starts.findLastIndex(start => start <= at),
    );
    for (let left = length; left > 0; n += 1) {
      const bytes = pieceOf(id, n);
      if (bytes === null) break;
      const start = starts[n]!;
      starts[n + 1] ??= start + bytes.length;
      const part = bytes.subarray(Math.max(0, at - start), Math.max(0, at + length - start));
      left -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts);
  };
}

function decoded({ coding, bytes }: Piece): Uint8Array {
  if (bytes === null) return new Uint8Array(0);
  return coding === 'zstd' ? zstdDecompressSync(bytes, { maxOutputLength: CHUNK_BYTES }) : bytes;
}
