import { createHash, type Hash, hash } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import type { Database } from 'better-sqlite3';
import { BODY_SQL, type Value } from './statements.ts';

/** Bodies up to this size are one value in their row; larger ones are pieces of at most this size in `body_chunk`. */
export const CHUNK_BYTES = 256 << 10;

/** A body is held until its hash tells whether the file has it already, up to this size, and up to this much for all bodies together. */
const HOLD_BYTES = 2 << 20;
const HOLD_ALL_BYTES = 16 << 20;

/** A body whose hash is remembered needs no look-up in the file. */
const REMEMBERED = 4096;

/** Below this zstd does not pay: a call costs some 40 µs, and saves a few bytes. */
const COMPRESS_FROM_BYTES = 256;

const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** A body that is not whole yet: what came in earlier batches is copied, what came in this one is still in the ring. */
interface Growing {
  /** Full pieces of CHUNK_BYTES, then a tail that grows. */
  pieces: Uint8Array[];
  tail: Uint8Array;
  tailBytes: number;
  fresh: Uint8Array[];
  kept: number;
  hash: Hash | null;
  streaming: Streaming | null;
}

/** A large body: its row exists, its pieces are written as they fill up. */
interface Streaming {
  id: number;
  pieces: number;
  stored: number;
  /** How many pieces are not even tried, because one did not shrink: an archive stays one. */
  skip: number;
}

/** How a body ended: bytes that passed, and why fewer were kept. */
export interface BodyEnd {
  size: number;
  cut: string | null;
}

/** Stores bodies: by hash, once, compressed when that makes them smaller, large ones in pieces as they come. */
export interface Bodies {
  /** Takes the next part; `part` is valid until {@link settle}. */
  append(key: number, part: Uint8Array): void;
  /** The body is whole. @returns its id, `null` when it is empty or could not be stored */
  end(key: number, end: BodyEnd): number | null;
  drop(key: number): void;
  /** Copies what is not stored yet out of the ring; called at the end of each batch, within its transaction. */
  settle(): void;
  /** The transaction did not happen: what was learnt in it is forgotten, and bodies that lost a part (`keys`, or pieces) are given up. */
  rolledBack(keys: Iterable<number>): void;
}

const NOTHING = new Uint8Array(0);

export function createBodies(db: Database): Bodies {
  const find = db.prepare<[Uint8Array, number], number>(BODY_SQL.find).pluck();
  const insert = db.prepare<Value[]>(BODY_SQL.insert);
  const start = db.prepare(BODY_SQL.start);
  const chunk = db.prepare<Value[]>(BODY_SQL.chunk);
  const finish = db.prepare<Value[]>(BODY_SQL.end);
  const dropChunks = db.prepare<[number]>(BODY_SQL.dropChunks);
  const dropBody = db.prepare<[number]>(BODY_SQL.drop);

  const growing = new Map<number, Growing>();
  const touched = new Set<Growing>();
  /** Bodies given up by a rollback: they end with nothing kept. */
  const broken = new Set<number>();
  const remembered = new Map<string, number>();
  let heldBytes = 0;

  function remember(name: string, id: number): number {
    if (remembered.size >= REMEMBERED) remembered.delete(remembered.keys().next().value ?? '');
    remembered.set(name, id);
    return id;
  }

  function writePiece(streaming: Streaming, piece: Uint8Array): void {
    const packed = streaming.skip > 0 ? null : compressed(piece);
    if (packed !== null) streaming.skip = 0;
    else streaming.skip = streaming.skip > 0 ? streaming.skip - 1 : 7;
    const bytes = packed ?? piece;
    chunk.run(streaming.id, streaming.pieces, packed === null ? 'identity' : 'zstd', bytes);
    streaming.pieces++;
    streaming.stored += bytes.length;
    heldBytes -= piece.length;
  }

  /** Writes what is held: the full pieces, with the tail when `all`. */
  function write(body: Growing, all: boolean): Streaming {
    body.streaming ??= { id: Number(start.run().lastInsertRowid), pieces: 0, stored: 0, skip: 0 };
    for (const piece of body.pieces) writePiece(body.streaming, piece);
    body.pieces = [];
    if (all && body.tailBytes > 0) {
      writePiece(body.streaming, body.tail.subarray(0, body.tailBytes));
      body.tail = NOTHING;
      body.tailBytes = 0;
    }
    return body.streaming;
  }

  function absorbFresh(body: Growing): void {
    for (const part of body.fresh) {
      absorb(body, part);
      heldBytes += part.length;
    }
    body.fresh = [];
  }

  function settleBody(body: Growing): void {
    body.hash ??= createHash('sha256');
    for (const part of body.fresh) body.hash.update(part);
    absorbFresh(body);
    const crowded = heldBytes > HOLD_ALL_BYTES;
    if (body.streaming !== null || crowded || body.kept > HOLD_BYTES) write(body, crowded);
  }

  function release(body: Growing): void {
    heldBytes -= body.pieces.length * CHUNK_BYTES + body.tailBytes;
    touched.delete(body);
  }

  function removeRows(streaming: Streaming): void {
    dropChunks.run(streaming.id);
    dropBody.run(streaming.id);
  }

  /** Stores a body that is whole, unless the file has it. */
  function store(body: Growing, sha256: string, { size, cut }: BodyEnd): number {
    const name = `${sha256} ${size}`;
    const digest = Buffer.from(sha256, 'hex');
    const found = remembered.get(name) ?? find.get(digest, size) ?? null;
    if (found !== null) {
      release(body);
      if (body.streaming !== null) removeRows(body.streaming);
      return remember(name, found);
    }
    if (body.streaming !== null || body.kept > CHUNK_BYTES) {
      absorbFresh(body);
      touched.delete(body);
      const streaming = write(body, true);
      finish.run(digest, size, body.kept, streaming.stored, cut, streaming.id);
      return remember(name, streaming.id);
    }
    release(body);
    const parts = body.tailBytes === 0 ? body.fresh : [body.tail.subarray(0, body.tailBytes), ...body.fresh];
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    const packed = compressed(bytes);
    const stored = packed ?? bytes;
    const result = insert.run(digest, size, body.kept, stored.length, packed === null ? 'identity' : 'zstd', cut, stored);
    return remember(name, Number(result.lastInsertRowid));
  }

  return {
    append(key, part) {
      if (broken.has(key)) return;
      let body = growing.get(key);
      if (body === undefined) {
        body = emptyBody();
        growing.set(key, body);
      }
      body.fresh.push(part);
      body.kept += part.length;
      touched.add(body);
    },
    end(key, end) {
      if (broken.delete(key)) return store(emptyBody(), hash('sha256', ''), { size: end.size, cut: 'lost' });
      const body = growing.get(key);
      if (body === undefined) return end.size === 0 ? null : store(emptyBody(), hash('sha256', ''), end);
      growing.delete(key);
      if (body.hash === null && body.fresh.length === 1) return store(body, hash('sha256', body.fresh[0]!), end);
      body.hash ??= createHash('sha256');
      for (const part of body.fresh) body.hash.update(part);
      return store(body, body.hash.digest('hex'), end);
    },
    drop(key) {
      broken.delete(key);
      const body = growing.get(key);
      if (body === undefined) return;
      growing.delete(key);
      release(body);
      if (body.streaming !== null) removeRows(body.streaming);
    },
    settle() {
      for (const body of touched) settleBody(body);
      touched.clear();
    },
    rolledBack(keys) {
      remembered.clear();
      for (const key of keys) broken.add(key);
      for (const [key, body] of growing) if (body.streaming !== null) broken.add(key);
      for (const key of broken) growing.delete(key);
      touched.clear();
      heldBytes = 0; // what failed may have counted half of a body
      for (const body of growing.values()) heldBytes += body.pieces.length * CHUNK_BYTES + body.tailBytes;
    },
  };
}

function emptyBody(): Growing {
  return { pieces: [], tail: NOTHING, tailBytes: 0, fresh: [], kept: 0, hash: null, streaming: null };
}

/** Copies a part behind what is held. The tail doubles as it grows, so a body that drips byte by byte costs no object per byte. */
function absorb(body: Growing, part: Uint8Array): void {
  let at = 0;
  while (at < part.length) {
    const length = Math.min(part.length - at, CHUNK_BYTES - body.tailBytes);
    const needed = body.tailBytes + length;
    if (needed > body.tail.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(needed, 2 * body.tail.length)));
      larger.set(body.tail.subarray(0, body.tailBytes));
      body.tail = larger;
    }
    body.tail.set(part.subarray(at, at + length), body.tailBytes);
    body.tailBytes = needed;
    at += length;
    if (body.tailBytes === CHUNK_BYTES) {
      body.pieces.push(body.tail);
      body.tail = NOTHING;
      body.tailBytes = 0;
    }
  }
}

/** zstd of the bytes, `null` when that is not smaller (most answers are gzip already). */
function compressed(bytes: Uint8Array): Uint8Array | null {
  if (bytes.length < COMPRESS_FROM_BYTES || (bytes[0] === 0x1f && bytes[1] === 0x8b)) return null;
  const packed = zstdCompressSync(bytes, ZSTD);
  return packed.length < bytes.length ? packed : null;
}
