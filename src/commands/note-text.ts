import type { NoteRow } from '../capture/notes.ts';
import type { Store } from '../capture/store.ts';
import { idText } from './ids.ts';
import { printable } from './io.ts';
import { day } from './present.ts';

/** What a note is of, as lists show it. */
export function subjectText(row: NoteRow): string {
  if (row.exchange === null) return idText('run', row.run) ?? '-';
  return row.run === null ? `e${row.exchange}` : `e${row.exchange} (r${row.run})`;
}

/** A note as a line: a mark is a star. */
export function noteText(row: NoteRow): string {
  return [...(row.mark ? ['*'] : []), ...(row.text === '' ? [] : [printable(row.text)])].join(' ');
}

/** A note as `--json` gives it. */
export function noteJson(row: NoteRow): object {
  return { ...row, id: `n${row.id}`, run: idText('run', row.run), exchange: idText('exchange', row.exchange) };
}

/** The notes of a page, each with what it is of when that is not the page itself. */
export function noteLines(store: Store, of: { run: number } | { exchange: number }): string[] {
  return store.notes(of).map(row => {
    const where = 'run' in of && row.exchange !== null ? `e${row.exchange}: ` : '';
    return `${where}${noteText(row)} (n${row.id}, ${day(Date.parse(row.at))})`;
  });
}
