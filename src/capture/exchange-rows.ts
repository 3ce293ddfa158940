import type { Database } from 'better-sqlite3';
import { MOMENT_COLUMNS, PLAIN_COLUMNS, ROUTE_COLUMNS } from './exchange-schema.ts';
import { BODY_COLUMNS, EXCHANGE_COLUMNS, type Value } from './statements.ts';

/** Field lines, templates and routes whose row is remembered: an agent sends the same ones with most requests of a phase. */
const REMEMBERED = 2048;

/** What is given of an exchange: the columns in the order in which they cross to the writer, its bodies, its recording, and whether it was early. */
export const GIVEN_COLUMNS = [...EXCHANGE_COLUMNS, ...BODY_COLUMNS, 'recording', 'early'] as const;

/** Values of field lines that differ from answer to answer, in JSON; those with an escape in them are left. */
const HOLES = /(\["(?:date|content-length)",")([^"\\]{1,64})"\]/gi;

/** Writes exchanges and field lines, what is the same once. */
export interface ExchangeRows {
  /** @returns the id of the field lines, which are JSON */
  fields(lines: string): number;
  /** @param given in the order of {@link GIVEN_COLUMNS}, fields as ids */
  exchange(given: readonly Value[]): void;
  /** Rows were deleted, or a transaction did not happen: ids are not to be given out again. */
  forget(): void;
}

const insert = (table: string, columns: readonly string[]): string =>
  `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;

const placesOf = (columns: readonly string[]): number[] => columns.map(column => GIVEN_COLUMNS.indexOf(column as 'id'));

const ROUTE = placesOf(ROUTE_COLUMNS);
const PLAIN = placesOf(PLAIN_COLUMNS);
const MOMENTS = placesOf(MOMENT_COLUMNS);
const START = placesOf(['start_mono'])[0]!;

export function createExchangeRows(db: Database): ExchangeRows {
  const insertRoute = db.prepare<[Value[]]>(insert('route', ROUTE_COLUMNS));
  const insertExchange = db.prepare<[Value[]]>(
    insert('exchange_row', [...PLAIN_COLUMNS, 'route', 'start_mono', ...MOMENT_COLUMNS]),
  );
  const insertTemplate = db.prepare<[string]>(insert('template', ['lines']));
  const insertLines = db.prepare<[number, number, string | null, string | null]>(
    insert('field_lines', ['id', 'template', 'a', 'b']),
  );
  /** SQLite would give the highest id again once its row is deleted, and readers remember lines by their ids. */
  let lastLines = db.prepare<[], number>('SELECT coalesce(max(id), 0) FROM field_lines').pluck().get() ?? 0;
  const routes = new Map<string, number>();
  const templates = new Map<string, number>();
  const lists = new Map<string, number>();

  function templateId(text: string): number {
    return templates.get(text) ?? remember(templates, text, Number(insertTemplate.run(text).lastInsertRowid));
  }

  return {
    fields(lines) {
      const found = lists.get(lines);
      if (found !== undefined) return found;
      const values: string[] = [];
      const text = lines.replace(HOLES, (whole: string, before: string, value: string) => {
        if (values.length === 2) return whole;
        values.push(value);
        return `${before}${String.fromCharCode(values.length)}"]`;
      });
      insertLines.run(++lastLines, templateId(text), values[0] ?? null, values[1] ?? null);
      return remember(lists, lines, lastLines);
    },
    exchange(given) {
      let key = '';
      for (const place of ROUTE) key += given[place] === null ? '-' : `${String(given[place]).length}:${given[place]}`;
      const route = routes.get(key) ?? remember(routes, key, Number(insertRoute.run(chosen(ROUTE, given)).lastInsertRowid));
      const start = nanoseconds(given[START]);
      const moments = MOMENTS.map(place => (given[place] === null ? null : nanoseconds(given[place]) - start));
      const row = chosen(PLAIN, given);
      row.push(route, start, ...moments);
      insertExchange.run(row);
    },
    forget() {
      routes.clear();
      templates.clear();
      lists.clear();
    },
  };
}

function remember(known: Map<string, number>, key: string, id: number): number {
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value ?? '');
  known.set(key, id);
  return id;
}

function chosen(places: readonly number[], given: readonly Value[]): Value[] {
  return places.map(place => given[place] ?? null);
}

function nanoseconds(ms: Value | undefined): number {
  return Math.round(Number(ms) * 1e6);
}
