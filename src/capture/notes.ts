import type { Database } from 'better-sqlite3';
import { openBeside } from './database.ts';
import { CaptureError } from './errors.ts';
import { NOTE_MAX } from './note-schema.ts';

/** What somebody noted of a run or an exchange. */
export interface NoteRow {
  id: number;
  /** The run that it is of, or that its exchange belongs to. */
  run: number | null;
  /** `null` for a note of a run. */
  exchange: number | null;
  at: string;
  /** Found again by it: `stringtap note --marked`. */
  mark: boolean;
  /** May be empty, of a mark. */
  text: string;
}

/** What a note is of. */
export type NoteSubject = { type: 'run' | 'exchange'; id: number };

const SQL = {
  list: 'SELECT id, run, exchange, at, mark, text FROM v_note WHERE (:run IS NULL OR run = :run) AND (:exchange IS NULL OR exchange = :exchange) ORDER BY id',
  run: 'SELECT exchange FROM run_exchange WHERE run = ? ORDER BY n LIMIT 1',
  exchange: 'SELECT id FROM exchange WHERE id = ?',
  add: 'INSERT INTO note (subject, exchange, at, mark, text) VALUES (?, ?, ?, ?, ?)',
  remove: 'DELETE FROM note WHERE id = ?',
} as const;

export function readNotes(db: Database, filter: { run?: number; exchange?: number }): NoteRow[] {
  const wanted = { run: filter.run ?? null, exchange: filter.exchange ?? null };
  const rows = db.prepare<[typeof wanted], Omit<NoteRow, 'mark'> & { mark: number }>(SQL.list).all(wanted);
  return rows.map(row => ({ ...row, mark: row.mark === 1 }));
}

/**
 * Adds a note, also while a proxy writes the capture: one short transaction between two of its own.
 *
 * @returns its id
 * @throws CaptureError when there is no such run or exchange, or the file cannot be written
 */
export function addNote(file: string, subject: NoteSubject, text: string, mark: boolean): number {
  return openBeside(file, db => {
    const exchange = db.prepare<[number], number>(SQL[subject.type]).pluck().get(subject.id);
    if (exchange === undefined) {
      const what = subject.type === 'run' ? `run r${subject.id}` : `exchange e${subject.id}`;
      throw new CaptureError(`there is no ${what} in ${file}`, `stringtap ${subject.type}s ${file} lists them`);
    }
    const values = [subject.type, exchange, Date.now(), Number(mark), text.slice(0, NOTE_MAX)];
    return Number(db.prepare<Array<string | number>>(SQL.add).run(...values).lastInsertRowid);
  });
}

/** @throws CaptureError when one of them is not there; none is deleted then */
export function removeNotes(file: string, ids: readonly number[]): void {
  openBeside(file, db => {
    for (const id of ids) {
      if (db.prepare<[number]>(SQL.remove).run(id).changes === 0) {
        throw new CaptureError(`there is no note n${id} in ${file}`, `stringtap note --capture ${file} lists them`);
      }
    }
  });
}
