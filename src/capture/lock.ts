import { closeSync, existsSync, openSync, rmSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { sqliteCode } from './errors.ts';

/** The right to write a capture; it ends with the process, however that dies. */
export interface Lock {
  release(): void;
}

/**
 * Takes the write lock of a capture, or returns `null` when another process, or another thread of this one, has it.
 *
 * The lock is SQLite's own (`BEGIN EXCLUSIVE`) on an empty file beside the capture, `<capture>.lock`. A lock on the capture
 * itself would keep its readers out, a file that merely exists would survive `kill -9`, and Node has no flock. SQLite's locks end
 * with the process, hold between threads as well, and need no native code of ours. The holder removes the file; who locked a file
 * that was removed meanwhile sees that by its inode, and tries again.
 *
 * @param waitMs how long to wait for a holder that is about to finish
 * @throws when the folder cannot be written
 */
export function lockCapture(file: string, waitMs: number): Lock | null {
  const path = `${file}.lock`;
  for (;;) {
    create(path);
    const before = inode(path);
    if (before === null) continue;
    const db = new Database(path, { timeout: waitMs });
    try {
      db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      db.close();
      if (sqliteCode(error)?.startsWith('SQLITE_BUSY')) return null;
      throw error;
    }
    if (inode(path) === before) return { release: () => release(db, path) };
    db.close();
  }
}

/** Whether somebody writes a capture: a lock file alone may be left over. `null` when it cannot be told, as the folder is not ours to write. */
export function isLocked(file: string): boolean | null {
  if (!existsSync(`${file}.lock`)) return false;
  try {
    const lock = lockCapture(file, 0);
    lock?.release();
    return lock === null;
  } catch {
    return null;
  }
}

/** Removes the file while the lock is still held: the next one to come makes a new file. */
function release(db: Database.Database, path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Windows removes no open file: an empty lock file that nobody holds stays, and does no harm.
  }
  db.close();
}

/**
 * Never opens a file that exists: closing any descriptor of it would drop the locks that this process has on it (POSIX, fcntl).
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

function inode(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`;
}
