import type { Database, Statement } from 'better-sqlite3';
import { type Data, FLOAT, Tagged } from '../decode/data.ts';
import { mayHoldSecrets, secretsIn } from '../decode/secrets.ts';
import { createContentPlaces } from './content-places.ts';
import type { DecodedKind, DecodedRows, DecodedStore, OfExchange, RowsByKind } from './decoded-shapes.ts';
import { joined, LIST_TABLES, N_MASK } from './list-schema.ts';
import { createSearch } from './search.ts';

/** Columns that hold JSON, and those that hold a flag; names mean the same in every view. */
const JSON_COLUMNS: ReadonlySet<string> = new Set([
  'codings',
  'classes',
  'alternativeNames',
  'extensions',
  'attributes',
  'classParameters',
  'parameters',
  'trusted',
  'serverFacts',
  'checksumTypes',
  'tags',
  'sensitive',
  'processors',
  'containmentPath',
  'previousValue',
  'desiredValue',
  'historicalValue',
]);
const FLAGS: ReadonlySet<string> = new Set([
  'error',
  'signatureValid',
  'challengePassword',
  'authority',
  'text',
  'complete',
  'checkEnvironment',
  'staticCatalog',
  'exceeded',
  'exported',
  'virtual',
  'noop',
  'noopPending',
  'correctiveChange',
  'transactionCompleted',
  'changed',
  'failed',
  'failedToRestart',
  'skipped',
  'outOfSync',
  'audited',
  'redacted',
]);

/** What differs from the order of `n` within an exchange. */
const ORDER: Partial<Record<DecodedKind, string>> = {
  decode_note: 'exchange, side, text',
  body: 'exchange, side DESC',
  csr: 'exchange, side DESC',
  certificate: 'exchange, side DESC, n',
  crl: 'exchange, side DESC, n',
  revoked: 'exchange, side DESC, crl, n',
  file_metadata: 'exchange, side DESC, n',
  file_content: 'exchange, side',
  soft_limit: 'exchange, setting',
};
/** At most one row an exchange. */
const SINGLE: ReadonlySet<DecodedKind> = new Set(['node', 'filebucket', 'catalog_request', 'catalog', 'refusal', 'report']);

/** @param reading maps what SQLite throws to what a person should read */
export function createDecodedStore(db: Database, reading: <T>(read: () => T) => T): DecodedStore {
  const statements = new Map<string, Statement<unknown[], unknown>>();
  const prepared = (sql: string): Statement<unknown[], unknown> => {
    const statement = statements.get(sql) ?? db.prepare<unknown[], unknown>(sql);
    statements.set(sql, statement);
    return statement;
  };
  const listings = new Map<string, DecodedListing>();
  const listing = (sql: string): DecodedListing => {
    const known = listings.get(sql);
    if (known !== undefined) return known;
    const statement = db.prepare<unknown[], unknown>(sql).raw();
    const made = { statement, cells: statement.columns().map(cellOf) };
    listings.set(sql, made);
    return made;
  };
  const secrets = db.prepare<[number], { n: number; secrets: string }>(
    `SELECT b.id & ${N_MASK} AS n, r.secrets FROM list l ${joined('resource')}
    WHERE l.owner = +? AND l.kind = ${LIST_TABLES.resource.code} AND r.secrets IS NOT NULL`,
  );

  const held = db
    .prepare<[number], string>(
      `SELECT coalesce(r.secrets, r.parameters, b.parameters) FROM list l ${joined('resource')}
    WHERE l.owner IN (SELECT exchange FROM run_exchange WHERE run = +?) AND l.kind = ${LIST_TABLES.resource.code}`,
    )
    .pluck();

  function revealed(rows: DecodedRows['resource'][]): void {
    const byExchange = new Map<number, Map<number, string>>();
    for (const row of rows) {
      let found = byExchange.get(row.exchange);
      if (found === undefined) {
        found = new Map(secrets.all(row.exchange).map(({ n, secrets: text }) => [n, text]));
        byExchange.set(row.exchange, found);
      }
      const text = found.get(row.n);
      if (text !== undefined) row.parameters = parsed(text) as Record<string, unknown>;
    }
  }

  const search = createSearch(db);
  const content = createContentPlaces(db);

  function ordered(kind: DecodedKind, sql: string, values: readonly unknown[], reveal: boolean): OfExchange[] {
    const order = SINGLE.has(kind) ? 'exchange' : (ORDER[kind] ?? 'exchange, n');
    const { statement, cells } = listing(`${sql} ORDER BY ${order}`);
    const rows = (statement.all(...values) as unknown[][]).map(stored => {
      const row: Record<string, unknown> = {};
      for (const [i, { name, read }] of cells.entries()) row[name] = read === null ? stored[i] : read(stored[i]);
      return row as unknown as OfExchange;
    });
    if (kind === 'resource' && reveal) revealed(rows as DecodedRows['resource'][]);
    return rows;
  }

  function rowsOf(kinds: readonly DecodedKind[], exchanges: readonly number[], reveal: boolean): Map<number, RowsByKind> {
    const found = new Map<number, Map<DecodedKind, OfExchange[]>>();
    const ids = JSON.stringify(exchanges);
    for (const kind of kinds) {
      const sql = `SELECT * FROM v_${kind} WHERE exchange IN (SELECT value FROM json_each(?))`;
      for (const [exchange, rows] of Map.groupBy(ordered(kind, sql, [ids], reveal), row => row.exchange)) {
        const byKind = found.get(exchange) ?? new Map<DecodedKind, OfExchange[]>();
        found.set(exchange, byKind.set(kind, rows));
      }
    }
    return found;
  }

  return {
    rows: (kind, filter) =>
      reading(() => {
        const { sql, values } = chosen(kind, '*', filter);
        return ordered(kind, sql, values, filter.reveal === true) as DecodedRows[typeof kind][];
      }),
    secrets: run => reading(() => held.all(run).flatMap(json => (mayHoldSecrets(json) ? secretsIn(parsed(json) as Data) : []))),
    rowsOf: (kinds, exchanges, reveal) => reading(() => rowsOf(kinds, exchanges, reveal)),
    count: (kind, filter) =>
      reading(() => {
        const { sql, values } = chosen(kind, 'count(*) AS count', filter);
        return (prepared(sql).get(...values) as { count: number }).count;
      }),
    search: (terms, filter, hiding) => reading(() => search(terms, filter, hiding)),
    content: (type, value) => reading(() => content(type, value)),
    behind: of =>
      reading(() => {
        const [condition, ...ids] =
          of === undefined
            ? ['']
            : 'run' in of
              ? [' AND id IN (SELECT exchange FROM run_exchange WHERE run = ?)', of.run]
              : [' AND id = ?', of.exchange];
        const sql = `SELECT count(*) AS count FROM exchange_row
          WHERE seq > coalesce((SELECT seq FROM derived WHERE name = 'bodies'), 0)${condition}`;
        return (prepared(sql).get(...ids) as { count: number }).count;
      }),
  };
}

function chosen(
  kind: DecodedKind,
  columns: string,
  { run, exchange }: { run?: number; exchange?: number },
): { sql: string; values: number[] } {
  const conditions = [
    ...(run === undefined ? [] : ['exchange IN (SELECT exchange FROM run_exchange WHERE run = +?)']),
    ...(exchange === undefined ? [] : ['exchange = +?']),
  ];
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return { sql: `SELECT ${columns} FROM v_${kind}${where}`, values: [run, exchange].filter(value => value !== undefined) };
}

/** How a column of a view is in a row. */
interface Cell {
  name: string;
  /** `null` where it is as it is stored. */
  read: ((value: unknown) => unknown) | null;
}

interface DecodedListing {
  statement: Statement<unknown[], unknown>;
  cells: readonly Cell[];
}

function cellOf({ name: column }: { name: string }): Cell {
  const name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  if (JSON_COLUMNS.has(name)) return { name, read: value => (typeof value === 'string' ? parsed(value) : value) };
  if (FLAGS.has(name)) return { name, read: value => (value === 0 || value === 1 ? value === 1 : value) };
  return { name, read: null };
}

/** JSON of a cell; a whole Float stays one, an integer that no double holds is given as text, with all its digits. */
function parsed(text: string): unknown {
  try {
    return /\d{16}|\d(?:\.0|e)/i.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
  } catch {
    return text;
  }
}

function exact(_key: string, value: unknown, ...rest: unknown[]): unknown {
  if (typeof value !== 'number') return value;
  const source = String((rest[0] as { source?: string } | undefined)?.source ?? '');
  if (Number.isInteger(value) && /[.e]/i.test(source)) return new Tagged(FLOAT, value);
  return !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? source : value;
}
