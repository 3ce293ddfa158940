import type { Database } from 'better-sqlite3';
import { type Phase, SIDES, type Side } from '../model.ts';
import { createFormReader } from './body-reader.ts';
import { isDictionary, packedTogether, packedWith, TOGETHER_BYTES, unpacked } from './compress.ts';
import { CaptureError } from './errors.ts';
import { contentForm } from './gzip-form.ts';
import { CHUNK_BYTES } from './holding.ts';
import { PAUSE } from './lists.ts';
import type { DerivedWrite } from './messages.ts';

/** Shorter bodies are moved as they are, and larger ones stay where they are unless they get smaller. */
const FROM_BYTES = 256;
const MOVED_BYTES = 16 << 10;

/** From this size on zstd at a higher level saves something on what the writer made of a body. */
const SMALLER_FROM_BYTES = 1_024;

/** What packing has to save. */
const SAVES_BYTES = 64;

/** A dictionary that makes a body this small, compared with the body alone, is a good one. */
const GOOD = 0.4;

/** One that is worse than it was by this factor is replaced, if the one before it was a good one, or so many were not tried yet. */
const WORSE = 1.3;
const TRIES = 3;

/** More than a transaction of the writer takes. */
const RECENT = 4_096;

/** Bodies that are packed together. */
const TOGETHER = 8;

/** Kinds whose dictionary is remembered, and what the bytes of dictionaries may take in memory. */
const REMEMBERED = 20_000;
const CACHE_BYTES = 4 << 20;

/** Bodies of one node, phase and side are much alike from run to run. */
interface Kind {
  dictionary: number;
  best: number | null;
  tries: number;
}

interface Info {
  kept: number;
  stored: number;
  coding: string;
  dictionary: number | null;
  gzip: number;
}

/** What of a body is packed: its bytes, or the content of a gzip body. */
interface Form {
  bytes: Buffer;
  gzip: number;
}

/** What is known of the exchange whose bodies are looked at. */
export interface Packable {
  certname: string | null;
  phase: Phase;
  indirection: string | null;
  bodies: Readonly<Record<Side, number | null>>;
}

/**
 * Finds bodies that an earlier one of their kind makes much smaller. Reads only; the writer was quick with them, and this one may take its time.
 */
export function createPacking(db: Database): (exchange: Packable) => Generator<DerivedWrite> {
  const info = db.prepare<[number], Info>(
    `SELECT b.kept, b.stored, b.coding, coalesce(p.dictionary, k.dictionary) AS dictionary, coalesce(p.gzip, q.gzip, 0) AS gzip
     FROM body b LEFT JOIN packed p ON p.body = b.id LEFT JOIN blocked q ON q.body = b.id LEFT JOIN block k ON k.id = q.block
     WHERE b.id = ? AND b.sha256 IS NOT NULL`,
  );
  const needed = db
    .prepare<[number, number], number>(
      'SELECT 1 FROM packed WHERE dictionary = ? UNION ALL SELECT 1 FROM block WHERE dictionary = ? LIMIT 1',
    )
    .pluck();
  const kinds = new Map<string, Kind>();
  const read = createFormReader(db);
  const dictionaries = new Map<number, Form>();
  let cached = 0;
  /** Bodies that were packed a moment ago: whether that is in the file is not known. */
  const recent = new Set<number>();
  /** Bodies that were packed, by their dictionary, and wait for others. */
  const waiting = new Map<number, number[]>();

  function formOf(id: number): Form {
    const bytes = Buffer.from(read(id));
    const content = contentForm(bytes);
    return { bytes: content ?? bytes, gzip: Number(content !== null) };
  }

  /** A dictionary as it is in the file, which is how it will be read. */
  function dictionaryOf(id: number): Form {
    const known = dictionaries.get(id);
    if (known !== undefined) return known;
    const form = { bytes: Buffer.from(read(id)), gzip: info.get(id)?.gzip ?? 0 };
    dictionaries.set(id, form);
    cached += form.bytes.length;
    for (const [old, { bytes }] of dictionaries) {
      if (cached <= CACHE_BYTES || old === id) break;
      dictionaries.delete(old);
      cached -= bytes.length;
    }
    return form;
  }

  function remember(name: string, kind: Kind): void {
    kinds.delete(name);
    kinds.set(name, kind);
    if (kinds.size > REMEMBERED) kinds.delete(kinds.keys().next().value ?? '');
  }

  function isPresent(kind: Kind): boolean {
    const known = info.get(kind.dictionary);
    return known !== undefined && known.coding !== 'chunks' && known.dictionary === null;
  }

  /** The dictionary for a body: of its own node, or of another one. */
  function kindFor(mine: string, anyones: string): { kind: Kind; isOwn: boolean } | null {
    for (const [name, isOwn] of [
      [mine, true],
      [anyones, false],
    ] as const) {
      const kind = kinds.get(name);
      if (kind !== undefined && isPresent(kind)) return { kind, isOwn };
    }
    return null;
  }

  /** @returns the row of a body with a dictionary; `null` when it stays without one */
  function withDictionary(id: number, { stored }: Info, form: Form, mine: string, anyones: string): DerivedWrite | null {
    const found = kindFor(mine, anyones);
    if (found?.kind.dictionary === id) return null;
    const become = (tries: number): null => {
      remember(mine, { dictionary: id, best: null, tries });
      remember(anyones, { dictionary: id, best: null, tries: 0 });
      return null;
    };
    if (found === null) return isDictionary(form.bytes) ? become(0) : null;
    const { kind, isOwn } = found;
    const dictionary = dictionaryOf(kind.dictionary);
    const made = packedWith(form.bytes, dictionary.bytes);
    const ratio = made.length / stored;
    const { best, tries } = kind;
    const isWorse = ratio > GOOD && (best === null || ratio > WORSE * best);
    // of another node's, or not a good one: this body may be a better one for what follows
    if (isWorse && (!isOwn || tries < TRIES) && isDictionary(form.bytes)) return become(isOwn ? tries + 1 : 0);
    remember(mine, { dictionary: kind.dictionary, best: Math.min(best ?? 1, ratio), tries: ratio <= GOOD ? 0 : tries });
    if (stored - made.length < SAVES_BYTES || !unpacked(made, dictionary.bytes).equals(form.bytes)) return null;
    if (form.bytes.length <= TOGETHER_BYTES) wait(id, kind.dictionary);
    return ['pack', id, kind.dictionary, dictionary.gzip, form.gzip, made];
  }

  /** The row of a body by itself, as small as can be; `null` when it stays where it is. */
  function alone(id: number, { stored }: Info, { bytes, gzip }: Form, isKinds: boolean): DerivedWrite | null {
    if (gzip === 1 || (bytes.length >= SMALLER_FROM_BYTES && (bytes[0] !== 0x1f || bytes[1] !== 0x8b))) {
      const made = packedWith(bytes, null);
      // the content is a dictionary for other contents, and gzip is none
      const most = gzip === 1 && isKinds ? stored * 1.1 : stored - SAVES_BYTES;
      if (made.length <= most) return ['pack', id, null, null, gzip, made];
    }
    return stored <= MOVED_BYTES ? ['pack', id, null, null, 0, null] : null;
  }

  function rowOf(id: number, known: Info, mine: string, anyones: string): DerivedWrite | null {
    try {
      const form = formOf(id);
      const made = needed.get(id, id) === undefined ? withDictionary(id, known, form, mine, anyones) : null;
      return made ?? alone(id, known, form, kinds.get(mine)?.dictionary === id);
    } catch (error) {
      if (error instanceof CaptureError) return null; // it is damaged, or its dictionary is, and stays as it is
      throw error;
    }
  }

  function wait(id: number, dictionary: number): void {
    const ids = waiting.get(dictionary) ?? [];
    waiting.delete(dictionary);
    waiting.set(dictionary, [...ids, id]);
    if (waiting.size > REMEMBERED) waiting.delete(waiting.keys().next().value ?? 0);
  }

  /** Bodies that are in the file, each with the same dictionary; `null` when one is not what it was. */
  function together(ids: readonly number[], dictionaryId: number): DerivedWrite | null {
    try {
      const forms = ids.map(id => Buffer.from(read(id)));
      const { bytes } = dictionaryOf(dictionaryId);
      const made = packedTogether(forms, bytes);
      if (!unpacked(made, bytes).equals(Buffer.concat(forms))) return null;
      let at = 0;
      const members = ids.map((id, i) => {
        const begin = at;
        at += forms[i]!.length;
        return [id, begin, forms[i]!.length, info.get(id)?.gzip ?? 0];
      });
      return ['block', dictionaryId, made, JSON.stringify(members)];
    } catch (error) {
      if (error instanceof CaptureError) return null; // one of them is gone, most likely
      throw error;
    }
  }

  return function* rows({ certname, phase, indirection, bodies }) {
    for (const side of SIDES) {
      const id = bodies[side];
      const known = id === null ? undefined : info.get(id);
      if (id === null || known === undefined || known.kept > CHUNK_BYTES) continue;
      if (known.coding !== 'zstd' && known.coding !== 'identity') continue;
      if (known.kept < FROM_BYTES) {
        yield ['pack', id, null, null, 0, null];
        continue;
      }
      const anyones = `${phase} ${indirection} ${side}`;
      const mine = `${anyones} ${certname}`;
      const dictionary = kindFor(mine, anyones)?.kind.dictionary;
      if (dictionary !== undefined && recent.has(dictionary)) {
        recent.clear();
        yield PAUSE; // now it is in the file
      }
      const row = rowOf(id, known, mine, anyones);
      if (row === null) continue;
      if (recent.size >= RECENT) recent.clear();
      recent.add(id);
      yield row;
      const by = row[2];
      const ids = typeof by === 'number' ? waiting.get(by) : undefined;
      if (typeof by !== 'number' || ids === undefined || ids.length < TOGETHER) continue;
      waiting.delete(by);
      recent.clear();
      yield PAUSE; // now all of them are
      const block = together(ids, by);
      if (block !== null) yield block;
    }
  };
}
