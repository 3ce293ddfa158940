import { widthOf } from '../../src/commands/columns.ts';
import { childWords, runStringtap } from '../child.ts';
import { emptyLines } from '../frame.ts';
import { startInput } from '../input.ts';
import { tablePane } from '../panes/table.ts';
import { titled } from '../panes/titled.ts';
import type { Env, Screen, Step } from '../screen.ts';
import { sqlNames, sqlPrompt } from '../sql-prompt.ts';
import type { Column } from '../table.ts';
import { cut, span } from '../text.ts';
import { openExchange } from './exchange.ts';
import { runScreen } from './run.ts';

/** SQL on the capture, in a process of its own: a question that takes a minute holds up no key, and esc ends it. */

type Row = Readonly<Record<string, unknown>>;

/** Rows that are shown; `stringtap query` prints all. */
const MOST = 5000;
/** Rows that the widths of columns are taken from. */
const MEASURED = 200;

/** @param text one statement; `null`: it is asked for */
export function sqlStep(text: string | null, env: Env): Step {
  if (text === null) return { prompt: sqlPrompt(sqlNames(env.source)) };
  return {
    job: {
      label: 'asking',
      async run(_report, signal) {
        const args = ['query', text, env.source.store.file, '--json', '--limit', String(MOST + 1)];
        const result = await runStringtap(args, { signal });
        if (result.code !== 0) return { prompt: sqlPrompt(sqlNames(env.source), startInput(text), childWords(result).what) };
        const rows = result.out.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Row]));
        const more = rows.length > MOST;
        const screen = sqlScreen(text, rows.slice(0, MOST), more);
        return {
          push: screen,
          ...(more && { say: { text: `the first ${MOST} rows; stringtap query prints all`, kind: 'warning' } }),
        };
      },
    },
  };
}

/** @param more there are more rows than these */
function sqlScreen(text: string, rows: readonly Row[], more: boolean): Screen {
  const names = Object.keys(rows[0] ?? {});
  // How much wider than the widest column a value is makes no difference.
  const width = (value: unknown): number => widthOf(value === null ? 'NULL' : cellOf(value).slice(0, WIDEST * 2));
  const widths = names.map(name => Math.max(widthOf(name), ...rows.slice(0, MEASURED).map(row => width(row[name]))));
  const pane = tablePane<Row>({
    rows,
    ...(more && { most: rows.length }),
    columns: () => columnsOf(names, widths, rows),
    title: () => 'row',
    details: row => names.map(name => [name, row[name] === null ? 'NULL' : textOf(row[name])] as const),
    open: openRow,
    empty: env => emptyLines(env, ['no rows', '', text.slice(0, env.size.columns - 4)]),
  });
  return titled(pane, { title: cut(text, 40), scopes: ['sql'] });
}

/** Wider than this no column need be, as long as there are others. */
const WIDEST = 32;

/** As wide as what is in them; the further to the right, the sooner one goes where there is no room. */
function columnsOf(names: readonly string[], widths: readonly number[], rows: readonly Row[]): Column<Row>[] {
  return names.map((title, i) => ({
    title,
    width: Math.min(WIDEST, Math.max(1, widths[i] ?? 1)),
    right: rows.slice(0, MEASURED).every(row => row[title] === null || typeof row[title] === 'number'),
    ...((widths[i] ?? 1) > WIDEST && { grow: true as const }),
    from: i / 1000,
    cell: row => (row[title] === null ? span('NULL', 'dim') : span(cellOf(row[title]))),
  }));
}

/** A mean has a dozen digits that nobody reads. */
function cellOf(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value) ? String(Number(value.toPrecision(7))) : textOf(value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === null || value === undefined ? '' : String(value);
}

/** A row that names an exchange or a run leads there; any other shows all of itself. */
function openRow(row: Row, env: Env): Step | null {
  const id = (name: string): number | null => (typeof row[name] === 'number' ? row[name] : null);
  const exchange = id('exchange') ?? ('method' in row && 'target' in row ? id('id') : null);
  if (exchange !== null && env.source.store.exchange(exchange) !== null) return openExchange(exchange, env);
  const run = id('run') ?? ('certname' in row && 'transaction_uuid' in row ? id('id') : null);
  const screen = run === null ? null : runScreen(run, env);
  return screen === null ? null : { push: screen };
}
