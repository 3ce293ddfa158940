import { type Command, InvalidArgumentError } from 'commander';
import { counted } from '../analysis/words.ts';
import { NOTE_MAX } from '../capture/note-schema.ts';
import type { NoteSubject } from '../capture/notes.ts';
import { requireExchange, requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { noteJson, noteText, subjectText } from './note-text.ts';
import { captureFile, openCapture } from './options.ts';
import { clock, day } from './present.ts';

interface Options {
  mark?: boolean;
  marked?: boolean;
  delete?: number[];
  capture?: string;
  json?: boolean;
}

/** `stringtap note [RUN|EXCHANGE [TEXT]]`: what people want to remember of a run or an exchange, kept in the capture. */
export function registerNote(program: Command, io: Io): void {
  program
    .command('note')
    .description(
      'note something of a run (r3) or an exchange (e17), also while a proxy writes the capture; without text: list notes',
    )
    .argument('[id]', 'r3: run 3, e17: exchange 17')
    .argument('[text...]', `the note, at most ${NOTE_MAX} characters`)
    .option('--mark', 'mark it, with or without text')
    .option('--marked', 'list only what is marked')
    .option('--delete <NOTE...>', 'delete these notes (n2 n5)', noteId)
    .option('--capture <FILE>', 'capture file (default: the newest in captures/)')
    .option('--json', 'one JSON object a line')
    .action(async (id: string | undefined, words: string[], options: Options) => {
      const file = captureFile(options.capture);
      const subject = id === undefined ? null : subjectOf(id);
      const text = words.join(' ');
      if (options.marked === true && (text !== '' || options.mark === true || options.delete !== undefined))
        throw new CliError('--marked lists notes', 'as in: stringtap note --marked; --mark marks one', 2);
      if (options.delete !== undefined) {
        if (subject !== null) throw new CliError('--delete takes numbers of notes', 'as in: stringtap note --delete n2', 2);
        await upToDate(file);
        const { removeNotes } = await import('../capture/notes.ts');
        removeNotes(file, options.delete);
        io.chatter(`${counted(options.delete.length, 'note')} deleted from ${file}`);
      } else if (subject !== null && (text !== '' || options.mark === true)) {
        if (text.length > NOTE_MAX)
          throw new CliError(
            `a note of ${text.length} characters, limit ${NOTE_MAX}`,
            'what is longer goes into a file; the note names it',
            2,
          );
        await upToDate(file);
        const { addNote } = await import('../capture/notes.ts');
        const note = addNote(file, subject, text, options.mark === true);
        if (options.json === true) io.out(JSON.stringify({ id: `n${note}` }));
        else io.out(`n${note}`);
      } else if (options.mark === true) {
        throw new CliError('--mark needs a run or an exchange', 'as in: stringtap note r3 --mark', 2);
      } else await list(io, file, subject, options);
    });
}

/** A capture of an older version has no notes yet: who opens it for reading brings it up to date. */
async function upToDate(file: string): Promise<void> {
  (await openCapture(file)).close();
}

function subjectOf(text: string): NoteSubject {
  const match = /^([re])(\d{1,15})$/.exec(text);
  if (match === null) {
    throw new CliError(
      `note takes a run or an exchange, not ${JSON.stringify(text)}`,
      'as in: stringtap note r3 "slow since Monday"',
      2,
    );
  }
  return { type: match[1] === 'r' ? 'run' : 'exchange', id: Number(match[2]) };
}

function noteId(text: string, before: number[] | undefined): number[] {
  const match = /^n?(\d{1,15})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected the number of a note, as in n2');
  return [...(before ?? []), Number(match[1])];
}

async function list(io: Io, file: string, subject: NoteSubject | null, options: Options): Promise<void> {
  const store = await openCapture(file);
  try {
    if (subject !== null) (subject.type === 'run' ? requireRun : requireExchange)(store, subject.id);
    const wanted = subject === null ? {} : subject.type === 'run' ? { run: subject.id } : { exchange: subject.id };
    const rows = store.notes(wanted).filter(row => options.marked !== true || row.mark);
    for (const row of rows) {
      if (options.json === true) io.out(JSON.stringify(noteJson(row)));
      else
        io.out(
          `${`n${row.id}`.padEnd(4)} ${subjectText(row).padEnd(9)} ${day(Date.parse(row.at))} ${clock(Date.parse(row.at)).slice(0, 5)}  ${noteText(row)}`,
        );
    }
    if (rows.length === 0) io.chatter('no notes');
  } finally {
    store.close();
  }
}
