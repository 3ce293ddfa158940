import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { withoutSecrets } from '../capture/hidden-store.ts';
import { SIDES } from '../model.ts';
import { requireExchange, requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { tellLosses } from './losses.ts';
import { openCapture } from './options.ts';
import { showBody } from './show-body.ts';
import { showConnection } from './show-connection.ts';
import { showExchange } from './show-exchange.ts';
import { showRun } from './show-run.ts';
import { showTable, TABLE_NAMES, type TableName } from './show-tables.ts';

interface ShowOptions {
  headers?: boolean;
  raw?: boolean;
  body?: string;
  json?: boolean;
  reveal?: boolean;
}

/** `stringtap show r3 | e17 | c5`: one run or one exchange, decoded; one connection. */
export function registerShow(program: Command, io: Io): void {
  program
    .command('show')
    .description('show one run (r3) or one exchange (e17), decoded; or one table of it; or one connection (c5)')
    .argument(
      '<id>',
      'r3: run 3, e17: exchange 17, c5: connection 5; a bare number is a run, with --headers or --body an exchange',
    )
    .argument('[table]', `one table in place of the page: ${TABLE_NAMES.join(', ')}`)
    .argument('[filter]', 'only rows with this text in them')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--headers', 'field lines as received')
    .option('--body <SIDE>', `one body, decoded: ${SIDES.join(', ')}`)
    .option('--raw', 'with --body: the bytes as they were on the wire')
    .option('--reveal', 'Sensitive values, passwords and tokens as they are (private keys never)')
    .option('--json', 'as JSON; tables one object a line')
    .action(async (text: string, ...rest: [string?, string?, string?, ShowOptions?]) => {
      const [second, third, fourth, options] = rest;
      const words = [second, third, fourth].filter(word => word !== undefined);
      await show(io, text, words, options ?? {});
    });
}

async function show(io: Io, text: string, words: readonly string[], options: ShowOptions): Promise<void> {
  const match = /^([rec]?)(\d{1,15})$/.exec(text);
  if (!match) {
    throw new CliError(
      `show takes a run, an exchange or a connection, not ${JSON.stringify(text)}`,
      'as in: stringtap show r3, stringtap show e17, stringtap show c5',
      2,
    );
  }
  const id = Number(match[2]);
  const asked = options.body ?? (options.raw === true ? 'response' : null);
  const isExchange = match[1] === 'e' || (match[1] === '' && (asked !== null || options.headers === true));
  const { table, filter, file } = sorted(words);
  if (!isExchange && (asked !== null || options.headers === true)) {
    throw new CliError('--headers, --body and --raw are of an exchange', `as in: stringtap show e${id} --headers`, 2);
  }
  if (asked !== null && options.json === true) {
    throw new CliError(
      '--body is text, or bytes with --raw',
      `--json without it has what was decoded: stringtap show e${id} --json`,
      2,
    );
  }
  if ((table === null ? 0 : 1) + (asked === null ? 0 : 1) + (options.headers === true ? 1 : 0) > 1) {
    throw new CliError(
      'a table, --headers and --body exclude each other',
      `one after the other: stringtap show e${id} --headers`,
      2,
    );
  }
  if (match[1] === 'c') {
    if (table !== null) throw new CliError('tables are of a run or an exchange', `as in: stringtap show r1 ${table}`, 2);
    await showConnection(io, file, id, options.json === true);
    return;
  }
  const opened = await openCapture(file ?? undefined, 'bodies');
  const store = options.reveal === true ? opened : withoutSecrets(opened);
  const flags = { json: options.json === true, reveal: options.reveal === true, headers: options.headers === true };
  try {
    if (isExchange) {
      const exchange = requireExchange(store, id);
      if (table !== null) showTable(io, store, { exchange: id }, table, filter, flags);
      else if (asked !== null) showBody(io, store, exchange, asked, options.raw === true, flags.reveal);
      else showExchange(io, store, exchange, flags);
      return;
    }
    const run = requireRun(store, id);
    if (table !== null) showTable(io, store, { run: id }, table, filter, flags);
    else {
      tellLosses(io, store);
      showRun(io, store, run, flags.json);
    }
  } finally {
    store.close();
  }
}

/** `[TABLE [FILTER]] [CAPTURE]`: the last word is a capture when there is such a file, or when it cannot be anything else. */
function sorted(words: readonly string[]): { table: TableName | null; filter: string | null; file: string | null } {
  const [first, ...rest] = words;
  if (first === undefined) return { table: null, filter: null, file: null };
  const table = TABLE_NAMES.find(name => name === first) ?? null;
  if (table === null) {
    if (rest.length === 0 && (existsSync(first) || /[/.]/.test(first))) return { table: null, filter: null, file: first };
    throw new CliError(`there is no table ${JSON.stringify(first)}`, `tables: ${TABLE_NAMES.join(', ')}`, 2);
  }
  const [word, file] = rest;
  if (word === undefined) return { table, filter: null, file: null };
  if (file !== undefined) return { table, filter: word, file };
  return existsSync(word) || word.endsWith('.db') ? { table, filter: null, file: word } : { table, filter: word, file: null };
}
