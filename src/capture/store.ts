import { chmodSync, copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Database } from 'better-sqlite3';
import { openForReading } from './database.ts';
import { CaptureError, OutdatedError, sqliteCode, UnwritableError } from './errors.ts';
import { isLocked } from './lock.ts';
import { openUpToDate, openWith, type Wants } from './opening.ts';
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
export function openStore(file: string, wants: Wants = 'runs'): Store {
  try {
    return openUpToDate(file, wants) ?? openWith(broughtUpToDate(file, wants), file);
  } catch (error) {
    if (!(error instanceof UnwritableError) || !isOutdated(file) || statSync(file).size > MAX_COPY_BYTES) throw error;
  }
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-outdated-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const copy = join(dir, 'capture.db');
    copyFileSync(file, copy);
    chmodSync(copy, 0o600);
    const store = openWith(broughtUpToDate(copy, wants), copy);
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

function isOutdated(file: string): boolean {
  try {
    openForReading(file).close();
    return false;
  } catch (error) {
    return error instanceof OutdatedError;
  }
}

/** Its rows are not what this version reads, and whoever writes it cannot have them changed under it. */
function beingWritten(file: string): CaptureError {
  return new CaptureError(
    `${file} is being written by an older stringtap, and can be read by this one when that has ended`,
    'read it with the stringtap that writes it, or end that first',
  );
}

function broughtUpToDate(file: string, wants: Wants): Database {
  try {
    catchUp(file, wants === 'bodies');
  } catch (error) {
    // Of an older version it could not be read at all.
    if (isOutdated(file)) throw isLocked(resolve(file)) === true ? beingWritten(file) : error;
    // Being written by a proxy, which folds it itself; or not writable: then its runs are as far as they are.
    if (!(error instanceof CaptureError) && sqliteCode(error) === null) throw error;
  }
  return openForReading(file);
}
