import { zstdDecompressSync } from 'node:zlib';
import type { Database } from 'better-sqlite3';
import { CHUNK_BYTES } from './holding.ts';

/** Reads the bytes of a body by its id, a piece at a time; each piece is at most CHUNK_BYTES. */
export type ReadBody = (id: number) => Iterable<Uint8Array>;

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

function decoded({ coding, bytes }: Piece): Uint8Array {
  if (bytes === null) return new Uint8Array(0);
  return coding === 'zstd' ? zstdDecompressSync(bytes, { maxOutputLength: CHUNK_BYTES }) : bytes;
}
