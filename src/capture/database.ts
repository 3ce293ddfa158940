import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { compact, tidyFullText, uncompact } from './compacting.ts';
import { CaptureError, OutdatedError, sqliteCode, UnwritableError } from './errors.ts';
import { type Lock, lockCapture } from './lock.ts';
import { APPLICATION_ID, migrate, notACapture, SCHEMA_VERSION, schemaVersion } from './migrations.ts';

/** How long a reader waits for a file that is being recovered or checkpointed. */
const READ_BUSY_MS = 2_000;

/** How long the writer waits for a program that took a write lock on the capture; answers wait for it much shorter. */
const WRITE_BUSY_MS = 10_000;

/**
 * Pages of a new capture. A capture has some 90 tables and indexes, most of them small, and each takes a page at least; bodies of a megabyte are
 * written a few percent slower than with SQLite's 4 KiB, and half as fast as with 1 KiB.
 */
const PAGE_BYTES = 2_048;

/** A write connection with the lock that makes it the only one. */
export interface OwnedDatabase {
  db: Database.Database;
  close(): void;
}

/**
 * Opens a capture for writing and makes it when there is none: the file 0600, folders that have to be made 0700, for captures
 * hold facts, catalogs and file contents. WAL, so that readers never wait for the writer, nor it for them; synchronous=NORMAL: a
 * commit is in the operating system's hands, and so survives the death of this process, but not a power cut.
 *
 * @param waitMs how long to wait for another owner that is about to finish
 * @throws CaptureError
 */
export function openForWriting(file: string, waitMs: number): OwnedDatabase {
  const path = resolve(file);
  const lock = prepared(path, waitMs);
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { fileMustExist: true, timeout: WRITE_BUSY_MS });
    if (schemaVersion(db, file) === 0) {
      db.pragma(`page_size = ${PAGE_BYTES}`);
      db.pragma('auto_vacuum = INCREMENTAL'); // before anything is written: what --retain deletes is given back in small steps
      db.pragma(`application_id = ${APPLICATION_ID}`);
    } else unhurried(db, own => uncompact(own, PAGE_BYTES));
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = NORMAL');
    db.pragma('foreign_keys = OFF'); // none are declared; the check would still cost
    db.pragma('cache_size = -8000'); // 8 MB: it appends, and hardly reads
    db.pragma('wal_autocheckpoint = 0'); // the writer does it after it has answered
    db.pragma(`journal_size_limit = ${64 << 20}`);
    migrate(db, file);
    const owned = db;
    return {
      db: owned,
      close() {
        settleJournal(owned);
        owned.close();
        lock.release();
      },
    };
  } catch (error) {
    db?.close();
    lock.release();
    throw openingError(error, file);
  }
}

/**
 * Runs one short write transaction on a capture that may be written by a proxy meanwhile, or by nobody: SQLite's own locks keep the two
 * apart, the one that comes second waits. Only for tables that the writer neither reads nor remembers.
 *
 * @throws CaptureError
 */
export function openBeside<T>(file: string, work: (db: Database.Database) => T): T {
  openForReading(file).close(); // says what is wrong with it, if anything is
  let db: Database.Database | null = null;
  try {
    db = new Database(resolve(file), { fileMustExist: true, timeout: READ_BUSY_MS });
    const own = db;
    return own.transaction(() => work(own)).immediate();
  } catch (error) {
    throw openingError(error, file);
  } finally {
    db?.close();
  }
}

/** A capture at rest is one plain file, which can be copied, and read from a folder that cannot be written; a small one takes as little as it can. */
function settleJournal(db: Database.Database): void {
  unhurried(db, own => {
    tidyFullText(own);
    own.pragma('journal_mode = DELETE');
    compact(own);
  });
}

/** Does what can be left. */
function unhurried(db: Database.Database, work: (db: Database.Database) => void): void {
  try {
    db.pragma('busy_timeout = 0');
    work(db);
  } catch {
    // Somebody reads it, or the disk is full: it stays in WAL mode, and as large, which is as good.
  } finally {
    db.pragma(`busy_timeout = ${WRITE_BUSY_MS}`);
  }
}

/** Makes folder and file, and takes the lock. */
function prepared(path: string, waitMs: number): Lock {
  let lock: Lock | null;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    lock = lockCapture(path, waitMs);
    const found = lock === null ? null : statSync(path, { throwIfNoEntry: false });
    if (found === undefined) closeSync(openSync(path, 'wx', 0o600));
    else if (found?.isFile() && found.size === 0) chmodSync(path, 0o600);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new UnwritableError(`cannot write ${path} (${code})`, 'choose a capture file in a folder that you may write');
  }
  if (lock === null) {
    throw new CaptureError(
      `${path} is being written by another stringtap`,
      'stop that one, or give this one another --capture FILE; reading commands may be used meanwhile',
    );
  }
  return lock;
}

/**
 * Opens a capture for reading. One that a proxy closed can be read anywhere; one in WAL mode (being written, or killed) only
 * where SQLite can make its shared memory beside it.
 *
 * @throws CaptureError
 */
export function openForReading(file: string): Database.Database {
  const path = resolve(file);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new CaptureError(`there is no capture ${file}`, '`stringtap proxy` writes one; `--capture FILE` chooses its place');
  }
  try {
    return opened(path, file);
  } catch (error) {
    if (sqliteCode(error) !== 'SQLITE_READONLY_ROLLBACK') throw openingError(error, file);
  }
  try {
    takeBack(path);
    return opened(path, file);
  } catch (error) {
    throw openingError(error, file);
  }
}

function opened(path: string, file: string): Database.Database {
  return checked(new Database(path, { readonly: true, fileMustExist: true, timeout: READ_BUSY_MS }), file);
}

/** Who was killed while a capture was made compact left its journal, which SQLite takes back when it may write. */
function takeBack(path: string): void {
  const db = new Database(path, { fileMustExist: true, timeout: READ_BUSY_MS });
  try {
    db.pragma('user_version');
  } finally {
    db.close();
  }
}

function checked(db: Database.Database, file: string): Database.Database {
  try {
    const version = schemaVersion(db, file);
    if (version === 0) throw notACapture(file);
    if (version < SCHEMA_VERSION) {
      throw new OutdatedError(`${file} was written by an older stringtap`, 'copy it to a folder that you may write');
    }
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Anything that opening, or the first read, can throw, as a person should read it. */
function openingError(error: unknown, file: string): unknown {
  const code = sqliteCode(error);
  if (code === null) return error;
  if (code === 'SQLITE_NOTADB') return notACapture(file);
  return readingError(error, file);
}

/** An error of SQLite as a {@link CaptureError}; others are returned as they are. */
export function readingError(error: unknown, file: string): unknown {
  // SQLite has no checksums: a byte that a disk has changed may be in a text of ours.
  if (error instanceof SyntaxError) {
    return new CaptureError(`${file} is damaged (a text in it is no JSON)`, '`stringtap redecode` makes derived rows anew');
  }
  const code = sqliteCode(error);
  if (code === null) return error;
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new CaptureError(`${file} is damaged (${code})`, `\`sqlite3 ${file} .recover\` saves what can be read`);
  }
  if (code.startsWith('SQLITE_BUSY')) {
    return new CaptureError(`${file} is locked by another program (${code})`, 'close the program that has it open for writing');
  }
  if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY') || code === 'SQLITE_PERM') {
    return new UnwritableError(
      `cannot open ${file} (${code})`,
      'check the permissions of the file; a capture whose proxy was killed has to be in a folder that you may write',
    );
  }
  if (code === 'SQLITE_FULL') {
    return new CaptureError(
      `there is no room on the disk of ${file} (${code})`,
      'free space there, or --capture FILE on another disk',
    );
  }
  return new CaptureError(`cannot read ${file} (${code})`, 'check the disk, and the permissions of the file');
}
