import type { DerivedWrite } from './messages.ts';
import type { Value } from './statements.ts';

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
  certificate: [
    'body',
    'n',
    'subject',
    'common_name',
    'issuer',
    'serial',
    'not_before',
    'not_after',
    'key_type',
    'key_bits',
    'curve',
    'key_sha256',
    'signature_algorithm',
    'fingerprint',
    'alternative_names',
    'extensions',
    'authority',
  ],
  crl: [
    'body',
    'n',
    'issuer',
    'number',
    'this_update',
    'next_update',
    'signature_algorithm',
    'fingerprint',
    'revoked',
    'extensions',
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
  file_metadata: [
    'body',
    'n',
    'place',
    'resource',
    'path',
    'relative_path',
    'type',
    'mode',
    'owner',
    'group',
    'checksum_type',
    'checksum',
    'size',
    'links',
    'destination',
    'source',
    'content_uri',
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
  fact: ['exchange', 'n', 'path', 'type', 'value', 'bytes'],
  soft_limit: ['exchange', 'setting', 'limit', 'actual', 'path', 'exceeded'],
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
  resource: [
    'exchange',
    'n',
    'type',
    'title',
    'parameters',
    'secrets',
    'sensitive',
    'tags',
    'file',
    'line',
    'exported',
    'virtual',
    'kind',
  ],
  edge: ['exchange', 'n', 'source', 'target'],
  class: ['exchange', 'n', 'name'],
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
  resource_status: [
    'exchange',
    'n',
    'resource',
    'type',
    'title',
    'file',
    'line',
    'evaluation_time',
    'at',
    'changed',
    'failed',
    'failed_to_restart',
    'skipped',
    'out_of_sync',
    'corrective_change',
    'change_count',
    'out_of_sync_count',
    'provider',
    'containment_path',
    'tags',
    'events',
  ],
  event: [
    'exchange',
    'n',
    'resource',
    'property',
    'name',
    'status',
    'previous_value',
    'desired_value',
    'historical_value',
    'message',
    'at',
    'audited',
    'corrective_change',
    'redacted',
  ],
  log_line: ['exchange', 'n', 'level', 'message', 'source', 'at', 'file', 'line', 'tags'],
  metric: ['exchange', 'n', 'category', 'name', 'label', 'value'],
  body_text: ['body', 'text'],
} as const;

type Columns = typeof COLUMNS;
export type DecodedTable = keyof Columns;

/** What a cell may be given: a flag is stored as 0 or 1, what is not there as NULL. */
export type Cell = Value | boolean | undefined;

/** A row to write, its cells by column. */
export function row<T extends DecodedTable>(table: T, cells: Record<Columns[T][number], Cell>): DerivedWrite {
  const given = cells as Record<string, Cell>;
  return [table, ...COLUMNS[table].map(column => stored(given[column]))];
}

function stored(cell: Cell): Value {
  if (typeof cell === 'boolean') return Number(cell);
  return cell ?? null;
}

const names = Object.keys(COLUMNS) as DecodedTable[];

/** Tables whose rows belong to a body; all others belong to an exchange. */
const OF_BODY: ReadonlySet<DecodedTable> = new Set([
  'decoded_body',
  'certificate',
  'crl',
  'revoked',
  'file_metadata',
  'body_text',
]);

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
    names.map(table => [`clear ${table}`, `DELETE FROM ${table} WHERE ${OF_BODY.has(table) ? 'body' : 'exchange'} = ?`]),
  ),
  decoded: `INSERT INTO derived (name, seq, settled) VALUES ('bodies', ?, 0) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`,
};

/** Removes the rows of an exchange, and those of its bodies: of a decoding that was cut off, or before another one. */
export function clearing(exchange: number, bodies: readonly number[]): DerivedWrite[] {
  return names.flatMap(table =>
    OF_BODY.has(table)
      ? bodies.map((body): DerivedWrite => [`clear ${table}`, body])
      : [[`clear ${table}`, exchange] satisfies DerivedWrite],
  );
}

/** Empties every decoded table. `delete-all` is for the full-text indexes; their triggers would take the rows out one by one. */
export const CLEAR_DECODED_SQL = {
  triggers: "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '*_fts_out'",
  dropTrigger: (name: string): string => `DROP TRIGGER ${name}`,
  rows: [
    ...['resource', 'fact', 'log_line', 'file_metadata', 'body_text'].map(
      table => `INSERT INTO ${table}_fts (${table}_fts) VALUES ('delete-all');`,
    ),
    ...names.map(table => `DELETE FROM ${table};`),
    "DELETE FROM derived WHERE name = 'bodies';",
  ].join('\n'),
} as const;

export const DECODING_SQL = {
  mark: "SELECT seq FROM derived WHERE name = 'bodies'",
  last: 'SELECT coalesce(max(seq), 0) FROM exchange',
  next: `SELECT e.seq, e.id, e.phase, e.method, e.target, e.status, e.indirection, e.key, e.environment, e.transaction_uuid AS transactionUuid,
      e.request_fields AS requestFields, e.response_fields AS responseFields, e.request_body AS requestBody,
      e.response_body AS responseBody, e.primary_request_body AS primaryRequestBody, e.primary_response_body AS primaryResponseBody,
      m.run, m.n
    FROM exchange e LEFT JOIN run_exchange m ON m.exchange = e.id`,
  after: 'WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT 1',
  one: 'WHERE e.id = ?',
  /** Exchanges of a run, with those whose decoding left the rows of bodies that it shares. */
  ofRun: `SELECT exchange FROM run_exchange WHERE run = ? ORDER BY n`,
  fields: 'SELECT lines FROM fields WHERE id = ?',
  body: 'SELECT size, kept, cut FROM body WHERE id = ?',
  decodedBody: 'SELECT settled FROM decoded_body WHERE body = ?',
  /** Where the metadata of a file's content may be, the latest first. */
  promises: `SELECT m.n, e.id, e.indirection, e.key, e.response_body AS body FROM run_exchange m JOIN exchange e ON e.id = m.exchange
    WHERE m.run = ? AND m.n >= ? AND m.n < ? AND e.response_body IS NOT NULL
      AND (e.phase = 'catalog' OR e.indirection IN ('file_metadata', 'file_metadatas'))
    ORDER BY m.n DESC LIMIT ?`,
  promise:
    'SELECT checksum_type AS type, checksum AS value FROM file_metadata WHERE body = ? AND place = ? AND checksum IS NOT NULL LIMIT 1',
} as const;
