import type { Database } from 'better-sqlite3';
import { FULL_TEXT_TABLES } from './full-text-schema.ts';

/** Captures that take more than this are left as they are: the one step or the other takes some 30 ms a megabyte. */
const SMALL_BYTES = 4 << 20;

/**
 * Pages of a small capture at rest. Half of its 90 tables and indexes are nearly empty, and each has a page at least; what is written into such
 * pages takes more time, though.
 */
const RESTING_PAGE_BYTES = 1_024;

function number(db: Database, pragma: string): number {
  return Number(db.pragma(pragma, { simple: true }));
}

function isSmall(db: Database): boolean {
  return number(db, 'page_count') * number(db, 'page_size') <= SMALL_BYTES;
}

/** Makes what is in the full-text indexes of a small capture one piece each; what was written in steps is in several. */
export function tidyFullText(db: Database): void {
  if (!isSmall(db)) return;
  db.transaction(() => {
    for (const name of FULL_TEXT_TABLES) db.exec(`INSERT INTO ${name} (${name}) VALUES ('optimize')`);
  })();
}

/** Writes a small capture, which nobody writes to any more, anew: in small pages, all of them full. It must not be in WAL mode. */
export function compact(db: Database): void {
  if (isSmall(db)) rewrite(db, RESTING_PAGE_BYTES);
}

/** Gives a capture that was made compact the pages that are quickly written, before anything is. */
export function uncompact(db: Database, pageBytes: number): void {
  if (number(db, 'page_size') !== RESTING_PAGE_BYTES || number(db, 'page_count') === 0 || !isSmall(db)) return;
  db.pragma('journal_mode = DELETE');
  rewrite(db, pageBytes);
}

function rewrite(db: Database, pageBytes: number): void {
  db.pragma('temp_store = MEMORY');
  db.pragma(`page_size = ${pageBytes}`);
  db.exec('VACUUM');
}
