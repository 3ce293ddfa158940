import type { Database } from 'better-sqlite3';
import { CaptureError } from './errors.ts';
import { MIGRATIONS } from './schema.ts';

/** `STAP`, in the header of every capture (`PRAGMA application_id`; `file` and sqlite3 tools can tell by it). */
export const APPLICATION_ID = 0x53544150;

/** The schema that this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

function number(db: Database, pragma: string): number {
  return Number(db.pragma(pragma, { simple: true }));
}

/**
 * The schema version of a capture, 0 for an empty file. Reads only. @throws CaptureError for another program's, or a newer, file
 */
export function schemaVersion(db: Database, file: string): number {
  const version = number(db, 'user_version');
  if (number(db, 'application_id') !== APPLICATION_ID) {
    if (version === 0 && number(db, 'page_count') === 0) return 0;
    throw notACapture(file);
  }
  if (version > SCHEMA_VERSION) {
    throw new CaptureError(
      `${file} was written by a newer stringtap (capture version ${version}, this one reads up to ${SCHEMA_VERSION})`,
      'install the stringtap that wrote it, or a newer one',
    );
  }
  return version;
}

export function notACapture(file: string): CaptureError {
  return new CaptureError(`${file} is not a stringtap capture`, 'give the path of a file that `stringtap proxy` wrote');
}

/** Brings a capture up to date, each step in a transaction of its own: a crash leaves a file of some whole version. */
export function migrate(db: Database, file: string): void {
  for (let version = schemaVersion(db, file); version < SCHEMA_VERSION; version++) {
    db.transaction(() => {
      db.exec(MIGRATIONS[version]!.sql);
      db.pragma(`user_version = ${version + 1}`);
    }).immediate();
  }
}
