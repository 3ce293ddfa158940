import { createHash, type Hash, hash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { withCompressed } from './compress.ts';
import { CHUNK_BYTES, createHolding, type Held, nothingHeld } from './holding.ts';
import { createRepeats, type Repeat } from './repeats.ts';
import { BODY_SQL, LAST_SQL, type Value } from './statements.ts';

/**
 * A body is held until its hash tells whether the file has it already, up to this size, and up to this much for all bodies
 * together.
 */
const HOLD_BYTES = 2 << 20;
const HOLD_ALL_BYTES = 16 << 20;

/** A body whose hash is remembered needs no look-up in the file. */
const REMEMBERED = 4096;

/** A body that is not whole yet: what came in earlier batches is held, what came in this one is still in the ring. */
interface Growing {
  held: Held;
  fresh: Buffer[];
  kept: number;
  hash: Hash | null;
  streaming: Streaming | null;
  /** So far it is the same as a body that is known: nothing is held or hashed. `undefined` before its first part was looked at. */
  repeat: Repeat | null | undefined;
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
  append(key: number, part: Buffer): void;
  /** The body is whole. @returns its id, `null` when it is empty */
  end(key: number, end: BodyEnd): number | null;
  drop(key: number): void;
  /** Copies what is not stored yet out of the ring; called at the end of each batch, within its transaction. */
  settle(): void;
  /** Bytes that went into the file since the last call. */
  written(): number;
  /** Bodies were deleted: their ids are not to be given out again. */
  forget(): void;
  /**
   * The transaction did not happen: what was learnt in it is forgotten, and bodies that lost a part (`unfinished`, or pieces) are given
   * up. Those that were to end in it are nobody's any more.
   */
  rolledBack(unfinished: Iterable<number>, ended: Iterable<number>): void;
}

export function createBodies(db: Database): Bodies {
  const find = db.prepare<[{ sha256: Uint8Array; size: number }], number>(BODY_SQL.find).pluck();
  const insert = db.prepare<Value[]>(BODY_SQL.insert);
  const insertBytes = db.prepare<[number, Uint8Array]>(BODY_SQL.bytes);
  const start = db.prepare<[number]>(BODY_SQL.start);
  const chunk = db.prepare<Value[]>(BODY_SQL.chunk);
  const finish = db.prepare<Value[]>(BODY_SQL.end);
  const dropChunks = db.prepare<[number]>(BODY_SQL.dropChunks);
  const dropBody = db.prepare<[number]>(BODY_SQL.drop);

  const holding = createHolding();
  const growing = new Map<number, Growing>();
  const touched = new Set<Growing>();
  /** Bodies given up by a rollback: they end with nothing kept. */
  const broken = new Set<number>();
  const remembered = new Map<string, number>();
  const repeats = createRepeats();
  let writtenBytes = 0;
  /** SQLite would give the highest id again once its body is deleted, and readers remember bodies by their ids. */
  let lastId = db.prepare<[], number>(LAST_SQL.body).pluck().get() ?? 0;

  function remember(name: string, id: number): number {
    if (remembered.size >= REMEMBERED) remembered.delete(remembered.keys().next().value ?? '');
    remembered.set(name, id);
    return id;
  }

  /** Writes what is held: the full pieces, with the tail when `all`. */
  function write(body: Growing, all: boolean): Streaming {
    if (body.streaming === null) {
      start.run(++lastId);
      body.streaming = { id: lastId, pieces: 0, stored: 0, skip: 0 };
    }
    const { streaming } = body;
    holding.drain(body.held, all, piece => {
      const add = (bytes: Uint8Array, coding: string): void => {
        chunk.run(streaming.id, streaming.pieces, coding, bytes);
        streaming.pieces++;
        streaming.stored += bytes.length;
        writtenBytes += bytes.length;
        streaming.skip = coding === 'zstd' ? 0 : streaming.skip > 0 ? streaming.skip - 1 : 7;
      };
      if (streaming.skip > 0) add(piece, 'identity');
      else withCompressed(piece, add);
    });
    return streaming;
  }

  function holdFresh(body: Growing): void {
    for (const part of body.fresh) holding.append(body.held, part);
    body.fresh = [];
  }

  /** Whether the parts of this batch go on as a known body does; when not, what came before them is held like any other. */
  function follows(body: Growing): boolean {
    if (body.repeat === undefined) body.repeat = repeats.begin(body.fresh[0]!);
    if (body.repeat === null) return false;
    if (body.repeat.follow(body.fresh)) {
      body.fresh = [];
      return true;
    }
    unrepeat(body, body.repeat);
    return false;
  }

  function unrepeat(body: Growing, repeat: Repeat): void {
    body.repeat = null;
    const before = repeat.soFar();
    if (before.length === 0) return;
    body.hash = createHash('sha256').update(before);
    holding.append(body.held, before);
  }

  function settleBody(body: Growing): void {
    if (follows(body)) return;
    body.hash ??= createHash('sha256');
    for (const part of body.fresh) body.hash.update(part);
    holdFresh(body);
    const crowded = holding.bytes > HOLD_ALL_BYTES;
    if (body.streaming !== null || crowded || body.kept > HOLD_BYTES) write(body, crowded);
  }

  /** The id of the body that this one repeats from its first byte to its last. */
  function repeatedId(body: Growing, { cut }: BodyEnd): number | null {
    if (!follows(body)) return null;
    const id = cut === null ? body.repeat!.whole() : null;
    if (id === null) unrepeat(body, body.repeat!);
    else touched.delete(body);
    return id;
  }

  function release(body: Growing): void {
    holding.free(body.held);
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
    const found = remembered.get(name) ?? find.get({ sha256: digest, size }) ?? null;
    if (found !== null) {
      if (body.streaming === null && cut === null) repeats.came(found, size, [...body.held.pieces, tailOf(body), ...body.fresh]);
      release(body);
      if (body.streaming !== null) removeRows(body.streaming);
      return remember(name, found);
    }
    if (body.streaming !== null || body.kept > CHUNK_BYTES) {
      holdFresh(body);
      touched.delete(body);
      const streaming = write(body, true);
      finish.run(digest, size, body.kept, streaming.stored, cut, streaming.id);
      return remember(name, streaming.id);
    }
    const parts = body.held.tailBytes === 0 ? body.fresh : [tailOf(body), ...body.fresh];
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    const id = withCompressed(bytes, (stored, coding) => {
      insert.run(++lastId, digest, size, body.kept, stored.length, coding, cut);
      insertBytes.run(lastId, stored);
      return lastId;
    });
    writtenBytes += body.kept;
    release(body);
    return remember(name, id);
  }

  function forget(): void {
    remembered.clear();
    repeats.forget();
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
      const repeated = repeatedId(body, end);
      if (repeated !== null) return repeated;
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
    written() {
      const bytes = writtenBytes;
      writtenBytes = 0;
      return bytes;
    },
    forget,
    rolledBack(unfinished, ended) {
      forget();
      for (const key of unfinished) broken.add(key);
      for (const [key, body] of growing) if (body.streaming !== null) broken.add(key);
      const over = [...ended];
      for (const key of [...broken, ...over]) {
        const body = growing.get(key);
        if (body === undefined) continue;
        growing.delete(key);
        holding.free(body.held);
      }
      for (const key of over) broken.delete(key);
      touched.clear();
    },
  };
}

function emptyBody(): Growing {
  return { held: nothingHeld(), fresh: [], kept: 0, hash: null, streaming: null, repeat: undefined };
}

function tailOf({ held }: Growing): Buffer {
  return held.tail.subarray(0, held.tailBytes);
}
