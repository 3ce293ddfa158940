import { chmodSync, copyFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { openForReading, readingError } from './database.ts';
import { isDecoded } from './decoded-derivation.ts';
import { isSettled } from './derive.ts';
import { CaptureError, OutdatedError, sqliteCode, UnwritableError } from './errors.ts';
import { isJudged } from './findings-derivation.ts';
import { createStore } from './reading.ts';
import { catchUp } from './rederive.ts';
import type { Store } from './store-shape.ts';

export type {
  BodyInfo,
  ConnectionFilter,
  ConnectionRow,
  ExchangeDetail,
  ExchangeFilter,
  ExchangeRow,
  FindingFilter,
  FindingRow,
  LossRow,
  MomentsRow,
  OutcomeType,
  QueryResult,
  RecordingRow,
  RunEnd,
  RunFilter,
  RunRow,
} from './shapes.ts';
export type { Store } from './store-shape.ts';

/** An outdated capture that cannot be written is brought up to date in a copy, if it is no larger: the sample that is installed with stringtap, say. */
const MAX_COPY_BYTES = 64 << 20;

/**
 * Opens a capture for reading. What a proxy that was killed left unfolded is folded first, if the file can be written. One of an older
 * version is brought up to date first, a small one that cannot be written in a copy that goes away when the store is closed.
 *
 * @param wants `bodies`: what is not decoded yet is decoded first, too, and runs are judged by the rules, which takes longer
 * @throws CaptureError when there is none, it is no capture, or it is newer than this program
 */
export function openStore(file: string, wants: 'runs' | 'bodies' = 'runs'): Store {
  try {
    return openWith(openSettled(file, wants === 'bodies'), file);
  } catch (error) {
    if (!(error instanceof UnwritableError) || !isOutdated(file) || statSync(file).size > MAX_COPY_BYTES) throw error;
  }
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-outdated-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const copy = join(dir, 'capture.db');
    copyFileSync(file, copy);
    chmodSync(copy, 0o600);
    const store = openWith(openSettled(copy, wants === 'bodies'), copy);
    const close = (): void => {
      store.close();
      remove();
    };
    return { ...store, file, close };
  } catch (error) {
    remove();
    throw error;
  }
}

function openWith(db: Database, file: string): Store {
  try {
    return createStore(db, file);
  } catch (error) {
    db.close();
    throw readingError(error, file);
  }
}

function isOutdated(file: string): boolean {
  try {
    openForReading(file).close();
    return false;
  } catch (error) {
    return error instanceof OutdatedError;
  }
}

function openSettled(file: string, bodies: boolean): Database {
  let db: Database;
  try {
    db = openForReading(file);
  } catch (error) {
    if (!(error instanceof OutdatedError)) throw error;
    catchUp(file, bodies); // which brings it up to date
    return openForReading(file);
  }
  if (settled(db, bodies)) return db;
  db.close();
  try {
    catchUp(file, bodies);
  } catch (error) {
    // Being written by a proxy, which folds it itself; or not writable: then its runs are as far as they are.
    if (!(error instanceof CaptureError) && sqliteCode(error) === null) throw error;
  }
  return openForReading(file);
}

function settled(db: Database, bodies: boolean): boolean {
  try {
    return isSettled(db) && (!bodies || (isDecoded(db) && isJudged(db)));
  } catch (error) {
    if (sqliteCode(error) === null) throw error;
    return true; // damaged: it is read as far as it goes, and not written
  }
}

/** The capture in `dir` that was written last, or `null`. */
export function newestCapture(dir: string): string | null {
  let newest: { file: string; at: number } | null = null;
  for (const name of fileNames(dir)) {
    if (!name.endsWith('.db')) continue;
    const file = join(dir, name);
    // While a proxy writes, the newest rows are in the WAL.
    const times = [file, `${file}-wal`].map(path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    const at = Math.max(...times);
    if (newest === null || at > newest.at) newest = { file, at };
  }
  return newest?.file ?? null;
}

function fileNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
