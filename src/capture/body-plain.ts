import type { Database } from 'better-sqlite3';
import { codingsOf, decodeContent } from '../decode/encoding.ts';
import { Malformed } from '../decode/limits.ts';
import { createBodyReader, createUnpacking, type StoredBody, WHOLE_SQL } from './body-reader.ts';
import { readFieldLines } from './field-lines.ts';
import { contentOf } from './gzip-form.ts';

/** Of a body no more than this is read, and no more than that once its content codings are undone. */
export const SEARCHED_BODY_BYTES = 16 << 20;
export const SEARCHED_PLAIN_BYTES = 32 << 20;

/** Reads bodies as they are searched: the beginning without its content codings; as it is when they cannot be undone. */
export interface PlainReader {
  /**
   * @param lines the header lines that came with it, as JSON
   * @throws CaptureError when it is damaged
   */
  byId(id: number, lines: string | null): Buffer;
  /** The same of one that is read already. */
  of(stored: StoredBody, lines: string | null): Buffer;
}

export function createPlainReader(db: Database): PlainReader {
  const find = db.prepare<[number], StoredBody>(WHOLE_SQL);
  const pieces = createBodyReader(db);
  const unpack = createUnpacking(db);

  function of(stored: StoredBody, lines: string | null): Buffer {
    const { id, coding, bytes, gzip } = stored;
    const codings = lines === null || !/content-encoding/i.test(lines) ? [] : codingsOf(readFieldLines(lines));
    if (bytes === null || coding === 'chunks') return decoded(beginning(pieces(id)), codings);
    if (gzip !== 1) return decoded(asBuffer(unpack(stored)), codings);
    // What is stored is the content: gzip would be made of it, which takes a hundred times as long, only to be undone.
    if (codings.length === 1 && (codings[0] === 'gzip' || codings[0] === 'x-gzip')) return asBuffer(contentOf(unpack(stored)));
    return decoded(beginning(pieces(id)), codings);
  }

  return {
    of,
    byId(id, lines) {
      const stored = find.get(id);
      return stored === undefined ? Buffer.alloc(0) : of(stored, lines);
    },
  };
}

function beginning(pieces: Iterable<Uint8Array>): Buffer {
  const taken: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    taken.push(piece);
    size += piece.length;
    if (size >= SEARCHED_BODY_BYTES) break;
  }
  return taken.length === 1 ? asBuffer(taken[0]!) : Buffer.concat(taken);
}

function decoded(bytes: Buffer, codings: readonly string[]): Buffer {
  if (codings.length === 0) return bytes;
  try {
    return asBuffer(decodeContent(bytes, codings, SEARCHED_PLAIN_BYTES).bytes);
  } catch (error) {
    if (error instanceof Malformed) return bytes;
    throw error;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
