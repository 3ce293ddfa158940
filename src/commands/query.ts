import type { Command } from 'commander';
import { type Io, printable } from './io.ts';
import { openCapture, wholeNumber } from './options.ts';
import { table } from './present.ts';
import { lineWidth } from './terminal.ts';

/** `stringtap query SQL`: read-only SQL on a capture. */
export function registerQuery(program: Command, io: Io): void {
  program
    .command('query')
    .description('ask a capture in SQL (read only; docs/capture.md has the views: v_run, v_exchange, v_resource, …)')
    .argument('<sql>', 'one statement, as in: SELECT phase, count(*) FROM v_exchange GROUP BY phase')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--limit <N>', 'at most N rows', wholeNumber)
    .option('--json', 'one JSON object a line')
    .action(async (sql: string, file: string | undefined, options: { limit?: number; json?: boolean }) => {
      const store = await openCapture(file, 'bodies');
      try {
        const { columns, rows } = store.query(sql, options.limit);
        if (options.json) {
          const names = distinct(columns);
          for (const row of rows) io.out(JSON.stringify(Object.fromEntries(names.map((name, i) => [name, jsonValue(row[i])]))));
          return;
        }
        const cells = columns.map((title, i) => ({ title, value: (row: readonly unknown[]) => textValue(row[i]) }));
        for (const line of table(cells, rows, lineWidth(io))) io.out(line);
      } finally {
        store.close();
      }
    });
}

/** Columns of the same name are `certname`, `certname:1`, … as SQLite itself names them in a subquery. */
function distinct(columns: readonly string[]): string[] {
  const names = new Set<string>();
  for (const column of columns) {
    let name = column;
    for (let n = 1; names.has(name); n += 1) name = `${column}:${n}`;
    names.add(name);
  }
  return [...names];
}

function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}

function textValue(value: unknown): string {
  if (value === null || value === undefined) return '';
  return value instanceof Uint8Array ? `(${value.length} bytes)` : printable(String(value));
}
