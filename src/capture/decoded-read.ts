import type { Database, Statement } from 'better-sqlite3';
import type { DecodedKind, DecodedRows, DecodedStore, Hit, Searched } from './decoded-shapes.ts';
import { SEARCHED } from './decoded-shapes.ts';
import { joined, LIST_TABLES, type ListName, N_BITS, N_MASK } from './list-schema.ts';

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

/** Control characters that no snippet of a text has unescaped when it is printed. */
const MARKS = "char(1), char(2), '…', 16";

/**
 * What is searched: where a hit is from, the name of what was found, the exchange that it is in, and what tells whether it is one of a run's. A
 * row of a list is a hit in each exchange whose list it is in.
 */
const SEARCHES: Record<Searched, { fts: string; from: string; place: string; exchange: string; ofBody: string | null }> = {
  resources: inLists('resource', "coalesce(t.type, b.type) || '[' || coalesce(t.title, b.title) || ']'"),
  facts: inLists('fact', 'coalesce(t.path, b.path)'),
  logs: inLists('log_line', "coalesce(t.source, '')"),
  metadata: {
    ...inLists('file_metadata', "coalesce(t.resource, nullif(t.relative_path, '.'), t.path, '')"),
    exchange: '(SELECT d.exchange FROM decoded_body d WHERE d.body = l.owner)',
    ofBody: 'l.owner',
  },
  bodies: {
    fts: 'body_text_fts',
    from: 'JOIN body_text t ON t.body = body_text_fts.rowid',
    place: '(SELECT e.target FROM decoded_body d JOIN exchange e ON e.id = d.exchange WHERE d.body = t.body)',
    exchange: '(SELECT d.exchange FROM decoded_body d WHERE d.body = t.body)',
    ofBody: 't.body',
  },
};

function inLists(name: ListName, place: string): (typeof SEARCHES)[Searched] {
  const id = `${name}_fts.rowid`;
  const from = `JOIN list l ON l.id = ${id} >> ${N_BITS} OR l.base = ${id} >> ${N_BITS} AND ${id} & ${N_MASK} <= l.count
    AND NOT EXISTS (SELECT 1 FROM ${name}_row o WHERE o.id = (l.id << ${N_BITS}) + (${id} & ${N_MASK}))
    JOIN ${name}_row t ON t.id = ${id} LEFT JOIN ${name}_row b ON b.id = (l.base << ${N_BITS}) + (${id} & ${N_MASK})`;
  return { fts: `${name}_fts`, from, place, exchange: 'l.owner', ofBody: null };
}

const DEFAULT_HITS = 50;

/** @param reading maps what SQLite throws to what a person should read */
export function createDecodedStore(db: Database, reading: <T>(read: () => T) => T): DecodedStore {
  const statements = new Map<string, Statement<unknown[], unknown>>();
  const prepared = (sql: string): Statement<unknown[], unknown> => {
    const statement = statements.get(sql) ?? db.prepare<unknown[], unknown>(sql);
    statements.set(sql, statement);
    return statement;
  };
  const secrets = db.prepare<[number], { n: number; secrets: string }>(
    `SELECT b.id & ${N_MASK} AS n, r.secrets FROM list l ${joined('resource')}
    WHERE l.owner = ? AND l.kind = ${LIST_TABLES.resource.code} AND r.secrets IS NOT NULL`,
  );

  function revealed(rows: DecodedRows['resource'][]): void {
    const byExchange = new Map<number, Map<number, string>>();
    for (const row of rows) {
      let found = byExchange.get(row.exchange);
      if (found === undefined) {
        found = new Map(secrets.all(row.exchange).map(({ n, secrets: text }) => [n, text]));
        byExchange.set(row.exchange, found);
      }
      const text = found.get(row.n);
      if (text !== undefined) row.parameters = JSON.parse(text) as Record<string, unknown>;
    }
  }

  function find(where: Searched, match: string, run: number | undefined, limit: number): (Hit & { rank: number })[] {
    const { fts, from, place, exchange, ofBody } = SEARCHES[where];
    // A body that came in several runs is found in the first one, or in the one that was asked for.
    const inRun = `SELECT min(e.id) FROM exchange e JOIN run_exchange r ON r.exchange = e.id WHERE r.run = ? AND
      ${ofBody === null ? `e.id = ${exchange}` : `${ofBody} IN (e.request_body, e.response_body)`}`;
    const sql = `SELECT f.exchange, m.run, f.place, f.snippet, f.rank FROM (
        SELECT ${run === undefined ? exchange : `(${inRun})`} AS exchange, ${place} AS place, snippet(${fts}, -1, ${MARKS}) AS snippet,
          bm25(${fts}) AS rank
        FROM ${fts} ${from} WHERE ${fts} MATCH ?
      ) f LEFT JOIN run_exchange m ON m.exchange = f.exchange WHERE f.exchange IS NOT NULL ORDER BY f.rank, f.exchange LIMIT ?`;
    const values = run === undefined ? [match, limit] : [run, match, limit];
    const rows = prepared(sql).all(...values) as Omit<Hit & { rank: number }, 'in'>[];
    return rows.map(row => ({ ...row, in: where }));
  }

  return {
    rows: (kind, filter) =>
      reading(() => {
        const { sql, values } = chosen(kind, '*', filter);
        const order = SINGLE.has(kind) ? 'exchange' : (ORDER[kind] ?? 'exchange, n');
        const rows = prepared(`${sql} ORDER BY ${order}`).all(...values) as Record<string, unknown>[];
        const shaped = rows.map(shape) as unknown as DecodedRows[typeof kind][];
        if (kind === 'resource' && filter.reveal === true) revealed(shaped as DecodedRows['resource'][]);
        return shaped;
      }),
    count: (kind, filter) =>
      reading(() => {
        const { sql, values } = chosen(kind, 'count(*) AS count', filter);
        return (prepared(sql).get(...values) as { count: number }).count;
      }),
    search: (terms, filter = {}) =>
      reading(() => {
        const match = matching(terms);
        const limit = filter.limit ?? DEFAULT_HITS;
        if (match === null) return [];
        const places = filter.in === undefined ? SEARCHED : [filter.in];
        return places
          .flatMap(where => find(where, match, filter.run, limit))
          .sort((a, b) => a.rank - b.rank)
          .slice(0, limit)
          .map(({ rank: _, ...hit }) => hit);
      }),
    content: (type, value) =>
      reading(() => {
        const sql = `SELECT exchange, side FROM file_content WHERE complete = 1 AND ${type} = ? ORDER BY exchange LIMIT 1`;
        return (prepared(sql).get(value.toLowerCase()) ?? null) as ReturnType<DecodedStore['content']>;
      }),
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
    ...(run === undefined ? [] : ['exchange IN (SELECT exchange FROM run_exchange WHERE run = ?)']),
    ...(exchange === undefined ? [] : ['exchange = ?']),
  ];
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return { sql: `SELECT ${columns} FROM v_${kind}${where}`, values: [run, exchange].filter(value => value !== undefined) };
}

/** The columns of a view as the row has them. */
function shape(stored: Record<string, unknown>): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(stored)) {
    const name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (JSON_COLUMNS.has(name) && typeof value === 'string') row[name] = parsed(value);
    else row[name] = FLAGS.has(name) && (value === 0 || value === 1) ? value === 1 : value;
  }
  return row;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Words as FTS5 takes them: each a phrase, so that no sign of `profile::base` or `/etc/motd` is syntax. `null` when nothing is left. */
function matching(terms: string): string | null {
  const phrases = terms
    .split(/\s+/)
    .filter(term => /[\p{L}\p{N}]/u.test(term))
    .map(term => (term.endsWith('*') ? `"${term.slice(0, -1).replaceAll('"', '""')}"*` : `"${term.replaceAll('"', '""')}"`));
  return phrases.length === 0 ? null : phrases.join(' ');
}
