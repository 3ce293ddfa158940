import { zstdDecompressSync } from 'node:zlib';
import type { Database } from 'better-sqlite3';
import { MAX_FORM_BYTES, unpacked } from './compress.ts';
import { CaptureError } from './errors.ts';
import { gzipOf } from './gzip-form.ts';

/** Reads the bytes of a body by its id, a piece at a time; each piece is at most CHUNK_BYTES. */
export type ReadBody = (id: number) => Iterable<Uint8Array>;

/** Reads bytes in the middle of a body; fewer where it ends. What is before them is not kept in memory. */
export type ReadPart = (id: number, at: number, length: number) => Uint8Array;

/** Bodies whose pieces are remembered by where they begin; a reader looks into one or two at a time. */
const REMEMBERED = 16;

/** What remembered dictionaries may take in memory, and what the blocks that bodies were read of. */
const DICTIONARY_BYTES = 4 << 20;
const BLOCK_BYTES = 4 << 20;

/** Where the bytes of a body `b` are; and its columns, for {@link StoredBody}. */
export const STORED_BODY = {
  columns:
    'b.id, b.coding, coalesce(p.dictionary, k.dictionary) AS dictionary, coalesce(p.gzip, q.gzip) AS gzip, q.block, q.at, q.length',
  bytes: 'coalesce(b.bytes, f.bytes, p.bytes, k.bytes)',
  joins: `LEFT JOIN body_fresh f ON f.body = b.id LEFT JOIN packed p ON p.body = b.id
    LEFT JOIN blocked q ON q.body = b.id LEFT JOIN block k ON k.id = q.block`,
} as const;

/** Reads a {@link StoredBody} by its id. */
export const WHOLE_SQL = `SELECT ${STORED_BODY.columns}, ${STORED_BODY.bytes} AS bytes FROM body b ${STORED_BODY.joins} WHERE b.id = ?`;

const SQL = {
  piece: 'SELECT coding, bytes FROM body_chunk WHERE body = ? AND n = ?',
} as const;

interface Piece {
  coding: string;
  bytes: Uint8Array | null;
}

/** What is stored of a body that is in one piece, or that says that it is not; `bytes` is `null` also when they were not read with the rest. */
export interface StoredBody extends Piece {
  id: number;
  dictionary: number | null;
  gzip: number | null;
  /** `bytes` are those of a block, and this is the place of the body in its content. */
  block: number | null;
  at: number | null;
  length: number | null;
}

export function createBodyReader(db: Database): ReadBody {
  const whole = createWholeReader(db);
  const piece = db.prepare<[number, number], Piece>(SQL.piece);
  return function* read(id) {
    const bytes = whole(id);
    if (bytes === null) return;
    if (bytes !== 'chunks') {
      yield bytes;
      return;
    }
    // One look-up a piece: an iterator would hold the connection, and a snapshot of the file, as long as the reader takes.
    for (let n = 0, next = piece.get(id, 0); next !== undefined; next = piece.get(id, ++n)) yield decoded(next);
  };
}

export function createPartReader(db: Database): ReadPart {
  const whole = createWholeReader(db);
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
    const bytes = whole(id);
    if (bytes === null) return new Uint8Array(0);
    if (bytes !== 'chunks') return bytes.subarray(at, at + length);
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

/** Makes the function that reads a body in one piece; `chunks` when it is in several, `null` when there is none. */
function createWholeReader(db: Database): (id: number) => Uint8Array | 'chunks' | null {
  const whole = db.prepare<[number], StoredBody>(WHOLE_SQL);
  const unpack = createUnpacking(db);
  return id => {
    const row = whole.get(id);
    if (row === undefined) return null;
    if (row.coding === 'chunks') return 'chunks';
    if (row.coding !== 'packed') return decoded(row);
    const form = unpack(row);
    return row.gzip === 1 ? readable(() => gzipOf(form)) : form;
  };
}

/** Reads what is packed of a body in one piece: its bytes, or the content of a gzip body. @throws CaptureError when it is not there */
export function createFormReader(db: Database): (id: number) => Uint8Array {
  const whole = db.prepare<[number], StoredBody>(WHOLE_SQL);
  const form = createUnpacking(db);
  return id => {
    const row = whole.get(id);
    if (row === undefined) throw damaged('its bytes are missing');
    return form(row);
  };
}

/**
 * Makes the form of a body, as {@link createFormReader} reads it, of what is stored of it. Dictionaries are remembered, and the content of blocks: those that
 * were used last, of 4 MiB together each.
 */
export function createUnpacking(db: Database): (stored: StoredBody) => Uint8Array {
  const whole = db.prepare<[number], StoredBody>(WHOLE_SQL);
  const dictionaries = createLatest(DICTIONARY_BYTES);
  const blocks = createLatest(BLOCK_BYTES);

  function read(id: number): Buffer {
    const row = whole.get(id);
    if (row === undefined || row.bytes === null || row.dictionary !== null) {
      throw damaged('the body that it is stored with is missing');
    }
    return Buffer.from(decoded(row));
  }

  function withDictionary(bytes: Uint8Array, dictionary: number): Buffer {
    const known = dictionaries.get(dictionary);
    if (known !== undefined) {
      try {
        return unpacked(bytes, known);
      } catch {
        // What retention took may have left its id to another body: read again.
      }
    }
    const fresh = read(dictionary);
    dictionaries.set(dictionary, fresh);
    return readable(() => unpacked(bytes, fresh));
  }

  return row => {
    const { bytes, dictionary, block } = row;
    if (bytes === null) throw damaged('its bytes are missing');
    if (dictionary === null) return decoded(row);
    if (block === null) return withDictionary(bytes, dictionary);
    let content = blocks.get(block);
    if (content === undefined) {
      content = withDictionary(bytes, dictionary);
      blocks.set(block, content);
    }
    return content.subarray(row.at ?? 0, (row.at ?? 0) + (row.length ?? 0));
  };
}

interface Latest {
  get(id: number): Buffer | undefined;
  set(id: number, bytes: Buffer): void;
}

/** Remembers those that were used last. */
function createLatest(maxBytes: number): Latest {
  const known = new Map<number, Buffer>();
  let cached = 0;

  function set(id: number, bytes: Buffer): void {
    cached += bytes.length - (known.get(id)?.length ?? 0);
    known.delete(id);
    known.set(id, bytes);
    for (const [old, { length }] of known) {
      if (cached <= maxBytes || old === id) break;
      known.delete(old);
      cached -= length;
    }
  }

  return {
    get(id) {
      const bytes = known.get(id);
      if (bytes !== undefined) set(id, bytes);
      return bytes;
    },
    set,
  };
}

function decoded({ coding, bytes }: Piece): Uint8Array {
  if (bytes === null) return new Uint8Array(0);
  return coding !== 'identity' ? readable(() => zstdDecompressSync(bytes, { maxOutputLength: MAX_FORM_BYTES })) : bytes;
}

function readable<T extends Uint8Array>(read: () => T): T {
  try {
    return read();
  } catch {
    throw damaged('what is stored of it is not what was written');
  }
}

function damaged(why: string): CaptureError {
  return new CaptureError(`a body of this capture is damaged: ${why}`, 'the rest of the capture can be read');
}
