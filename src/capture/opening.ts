import { resolve } from 'node:path';
import type { Database } from 'better-sqlite3';
import { openForReading, readingError } from './database.ts';
import { DECODING_SQL } from './decoded-statements.ts';
import { OutdatedError, sqliteCode } from './errors.ts';
import { JUDGING_SQL } from './findings-statements.ts';
import { isLocked } from './lock.ts';
import { createStore } from './reading.ts';
import { LAST_SQL, MARK_SQL } from './statements.ts';
import type { Store } from './store-shape.ts';

/*
 * Opening a capture that is up to date, as nearly every one is. What brings one up to date, with all decoders and rules behind it, is in
 * store.ts: loading it takes longer than opening.
 */

/** What has to be there: runs; or also what is decoded of bodies, and what the rules say. */
export type Wants = 'runs' | 'bodies';

/**
 * The store, when nothing has to be done before: also of a capture that is being written, whose proxy keeps it up to date.
 *
 * @returns `null` when it has to be brought up to date first
 * @throws CaptureError when there is none, it is no capture, or it is newer than this program
 */
export function openUpToDate(file: string, wants: Wants): Store | null {
  let db: Database;
  try {
    db = openForReading(file);
  } catch (error) {
    if (error instanceof OutdatedError) return null;
    throw error;
  }
  if (isUpToDate(db, wants) || isLocked(resolve(file)) === true) return openWith(db, file);
  db.close();
  return null;
}

/** @param file as the caller named it */
export function openWith(db: Database, file: string): Store {
  try {
    return createStore(db, file);
  } catch (error) {
    db.close();
    throw readingError(error, file);
  }
}

/** Everything is folded; of `bodies` also decoded and judged. */
function isUpToDate(db: Database, wants: Wants): boolean {
  try {
    return isFolded(db) && (wants === 'runs' || (isDecoded(db) && isJudged(db)));
  } catch (error) {
    if (sqliteCode(error) === null) throw error;
    return true; // damaged: it is read as far as it goes, and not written
  }
}

function isFolded(db: Database): boolean {
  const mark = db.prepare<[], { seq: number; settled: number }>(MARK_SQL.read).get();
  const last = db.prepare<[], number>(LAST_SQL.folded).pluck().get() ?? 0;
  return mark === undefined ? last === 0 : mark.settled === 1 && mark.seq >= last;
}

function isDecoded(db: Database): boolean {
  const mark = db.prepare<[], number>(DECODING_SQL.mark).pluck().get() ?? 0;
  return mark >= (db.prepare<[], number>(DECODING_SQL.last).pluck().get() ?? 0);
}

function isJudged(db: Database): boolean {
  return db.prepare<[], number>(JUDGING_SQL.pending).pluck().get() === 0;
}
