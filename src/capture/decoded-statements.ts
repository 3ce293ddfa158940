import { type Cell, stored } from './decoded-cells.ts';
import { LIST_NAMES, LIST_TABLES, N_BITS, N_MASK } from './list-schema.ts';
import type { DerivedWrite } from './messages.ts';
import { rowsIn } from './split-schema.ts';

/** The columns that a decoded row gives, by table. */
const COLUMNS = {
  decode_note: ['exchange', 'side', 'error', 'text'],
  decoded_body: ['body', 'exchange', 'format', 'mime', 'codings', 'bytes', 'sha256', 'settled'],
  csr: [
    'exchange',
    'side',
    'subject',
    'common_name',
    'key_type',
    'key_bits',
    'curve',
    'key_sha256',
    'signature_algorithm',
    'signature_valid',
    'fingerprint',
    'alternative_names',
    'extensions',
    'attributes',
    'challenge_password',
  ],
  revoked: ['body', 'crl', 'n', 'serial', 'revoked_at', 'reason'],
  node: [
    'exchange',
    'name',
    'environment',
    'requested_environment',
    'configured_environment',
    'transaction_uuid',
    'classes',
    'class_parameters',
    'parameters',
    'trusted',
    'server_facts',
  ],
  file_content: [
    'exchange',
    'side',
    'bytes',
    'sha256',
    'md5',
    'text',
    'complete',
    'promised_by',
    'promised_type',
    'promised',
    'verdict',
  ],
  filebucket: ['exchange', 'checksum_type', 'checksum', 'path', 'diff_with'],
  catalog_request: [
    'exchange',
    'environment',
    'configured_environment',
    'check_environment',
    'transaction_uuid',
    'job_uuid',
    'static_catalog',
    'checksum_types',
    'facts_format',
    'facts_name',
    'facts_timestamp',
    'top_level_facts',
    'facts',
  ],
  catalog: [
    'exchange',
    'name',
    'version',
    'code_id',
    'catalog_uuid',
    'catalog_format',
    'environment',
    'tags',
    'resources',
    'edges',
    'classes',
    'metadata',
  ],
  refusal: ['exchange', 'status', 'message', 'issue_kind', 'error', 'file', 'line', 'column', 'resource', 'node', 'environment'],
  report: [
    'exchange',
    'format',
    'host',
    'at',
    'status',
    'kind',
    'noop',
    'noop_pending',
    'corrective_change',
    'cached_catalog_status',
    'environment',
    'configuration_version',
    'puppet_version',
    'transaction_uuid',
    'catalog_uuid',
    'code_id',
    'job_id',
    'server_used',
    'transaction_completed',
    'processors',
  ],
  body_text: ['body', 'text'],
} as const;

type Columns = typeof COLUMNS;
export type DecodedTable = keyof Columns;

/** A row to write, its cells by column. */
export function row<T extends DecodedTable>(table: T, cells: Record<Columns[T][number], Cell>): DerivedWrite {
  const given = cells as Record<string, Cell>;
  return [table, ...COLUMNS[table].map(column => stored(given[column]))];
}

const names = Object.keys(COLUMNS) as DecodedTable[];

/** Tables whose rows belong to a body; all others belong to an exchange. */
const OF_BODY: ReadonlySet<DecodedTable> = new Set(['decoded_body', 'revoked', 'body_text']);

const codesOf = (owner: 'exchange' | 'body'): string =>
  LIST_NAMES.filter(name => LIST_TABLES[name].owner === owner)
    .map(name => LIST_TABLES[name].code)
    .join(', ');

/** One statement a table, by its name, and the watermark; they are run like the others of DERIVED_SQL. A row that is there stays. */
export const DECODED_SQL: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    names.map(table => [
      table,
      `INSERT OR IGNORE INTO ${table} (${COLUMNS[table].map(column => `"${column}"`).join(', ')})
       VALUES (${COLUMNS[table].map(() => '?').join(', ')})`,
    ]),
  ),
  ...Object.fromEntries(
    names.map(table => [`clear ${table}`, `DELETE FROM ${rowsIn(table)} WHERE ${OF_BODY.has(table) ? 'body' : 'exchange'} = ?`]),
  ),
  ...Object.fromEntries(
    LIST_NAMES.map(name => {
      const { always, columns } = LIST_TABLES[name];
      const all = ['id', ...always, ...columns];
      return [
        name,
        `INSERT OR IGNORE INTO ${name}_row (${all.map(column => `"${column}"`).join(', ')}) VALUES (${all.map(() => '?').join(', ')})`,
      ];
    }),
  ),
  list: 'INSERT OR IGNORE INTO list (id, owner, kind, base, count, since, packed) VALUES (?, ?, ?, ?, ?, ?, ?)',
  'list is whole': 'UPDATE list SET base = id WHERE id = ?',
  'clear lists of exchange': `DELETE FROM list WHERE owner = ? AND kind IN (${codesOf('exchange')})`,
  'clear lists of body': `DELETE FROM list WHERE owner = ? AND kind IN (${codesOf('body')})`,
  decoded: `INSERT INTO derived (name, seq, settled) VALUES ('bodies', ?, 0) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`,
};

/** Removes the rows of an exchange, and those of its bodies: of a decoding that was cut off, or before another one. */
export function clearing(exchange: number, bodies: readonly number[]): DerivedWrite[] {
  const rows = names.flatMap((table): DerivedWrite[] =>
    OF_BODY.has(table) ? bodies.map(body => [`clear ${table}`, body]) : [[`clear ${table}`, exchange]],
  );
  return [...rows, ['clear lists of exchange', exchange], ...bodies.map((body): DerivedWrite => ['clear lists of body', body])];
}

/** Empties every decoded table. `delete-all` is for the full-text indexes; their triggers would take the rows out one by one. */
export const CLEAR_DECODED_SQL = {
  triggers:
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND (name GLOB '*_fts_out' OR name GLOB 'list_gone_*' OR name GLOB '*_same_out')",
  dropTrigger: (name: string): string => `DROP TRIGGER ${name}`,
  rows: [
    ...[...LIST_NAMES.filter(name => LIST_TABLES[name].text.length > 0), 'body_text'].map(
      table => `INSERT INTO ${table}_fts (${table}_fts) VALUES ('delete-all');`,
    ),
    ...LIST_NAMES.map(name => `DELETE FROM ${name}_row;`),
    'DELETE FROM list;',
    ...names.map(table => `DELETE FROM ${rowsIn(table)};`),
    'DELETE FROM same;',
    "DELETE FROM derived WHERE name = 'bodies';",
  ].join('\n'),
} as const;

const METADATA_OF = `l.owner = +:body AND l.kind = ${LIST_TABLES.file_metadata.code}`;

/** A variable with a plus: see statements.ts. */
export const DECODING_SQL = {
  mark: "SELECT seq FROM derived WHERE name = 'bodies'",
  last: 'SELECT coalesce(max(seq), 0) FROM exchange_row',
  next: `SELECT e.seq, e.id, e.certname, e.phase, e.method, e.target, e.status, e.indirection, e.key, e.environment, e.transaction_uuid AS transactionUuid,
      e.request_fields AS requestFields, e.response_fields AS responseFields, e.request_body AS requestBody,
      e.response_body AS responseBody, e.primary_request_body AS primaryRequestBody, e.primary_response_body AS primaryResponseBody,
      e.outcome, e.request_end_mono AS requestEndMono, m.run, m.n
    FROM exchange e LEFT JOIN run_exchange m ON m.exchange = e.id`,
  after: 'WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT 1',
  one: 'WHERE e.id = ?',
  /** Exchanges of a run, with those whose decoding left the rows of bodies that it shares. */
  ofRun: `SELECT exchange FROM run_exchange WHERE run = ? ORDER BY n`,
  fields: 'SELECT lines FROM fields WHERE id = ?',
  body: 'SELECT size, kept, cut FROM body WHERE id = ?',
  decodedBody: 'SELECT settled FROM decoded_body WHERE body = +?',
  /** Where the metadata of a file's content may be, the latest first. */
  promises: `SELECT m.n, e.id, e.indirection, e.key, e.response_body AS body FROM run_exchange m JOIN exchange e ON e.id = m.exchange
    WHERE m.run = +? AND m.n >= +? AND m.n < +? AND e.response_body IS NOT NULL
      AND (e.phase = 'catalog' OR e.indirection IN ('file_metadata', 'file_metadatas'))
    ORDER BY m.n DESC LIMIT +?`,
  /** Rows of the list that the body's own is based on, as they are there, and rows of its own. An index of an expression serves an expression alone: `+l.base`. */
  promise: `SELECT type, value FROM (
      SELECT r.checksum_type AS type, r.checksum AS value
      FROM list l CROSS JOIN file_metadata_row b ON b.id >> ${N_BITS} = +l.base AND b.place = +:place AND b.id & ${N_MASK} <= l.count
      CROSS JOIN file_metadata_row r ON r.id = ifnull((SELECT o.id FROM file_metadata_row o WHERE o.id = (l.id << ${N_BITS}) + (b.id & ${N_MASK})), b.id)
      WHERE ${METADATA_OF} AND coalesce(r.place, b.place) = +:place
      UNION ALL SELECT r.checksum_type, r.checksum FROM list l CROSS JOIN file_metadata_row r ON r.id >> ${N_BITS} = +l.id AND r.place = +:place WHERE ${METADATA_OF}
    ) WHERE value IS NOT NULL LIMIT 1`,
} as const;
