/*
 * The SQL of lists: rows that a body has many of, and that are nearly the same in each run of a node (facts, resources, statuses, …); append
 * only, like schema.ts. A list is whole (its base is itself) or says what differs from a whole one: a row of its own takes the place of the row with
 * the same n in the base. What differs each time (when a resource was evaluated) is in `packed`.
 *
 * The id of a row is the list that wrote it and its n. The rows of a list that is gone stay while another one has it as its base; they go
 * with the last of those. `fact`, `resource`, … are views that put the rows together.
 */

/** Bits of a row's id that are its n: 16 million rows a list, and 500,000 million lists. */
export const N_BITS = 24;
export const N_MASK = 2 ** N_BITS - 1;

export const LIST_NAMES = [
  'fact',
  'soft_limit',
  'resource',
  'edge',
  'class',
  'resource_status',
  'log_line',
  'metric',
  'file_metadata',
  'event',
  'certificate',
  'crl',
] as const;
export type ListName = (typeof LIST_NAMES)[number];

export interface ListTable {
  code: number;
  owner: 'exchange' | 'body';
  /** Columns that are never NULL; in a row that takes another one's place NULL says that it is the other's. */
  always: readonly string[];
  columns: readonly string[];
  /** ns: an integer of billionths, or the number as a real or as text. ms: an integer, counted from `since`. One an entry, or an array of some. */
  packed: ReadonlyArray<readonly [column: string, unit: 'ns' | 'ms']>;
  /** Columns of the full-text index. */
  text: readonly string[];
  /** A column that the view has not got. */
  hidden?: string;
}

const INTEGERS: ReadonlySet<string> = new Set([
  'bytes',
  'limit',
  'actual',
  'exceeded',
  'line',
  'exported',
  'virtual',
  'changed',
  'failed',
  'failed_to_restart',
  'skipped',
  'out_of_sync',
  'corrective_change',
  'change_count',
  'out_of_sync_count',
  'events',
  'size',
  'audited',
  'redacted',
  'authority',
  'key_bits',
  'revoked',
]);

const REALS: ReadonlySet<string> = new Set(['not_before', 'not_after', 'this_update', 'next_update']);

function typeOf(column: string): string {
  if (REALS.has(column)) return 'REAL';
  return INTEGERS.has(column) ? 'INTEGER' : 'TEXT';
}

export const LIST_TABLES: Readonly<Record<ListName, ListTable>> = {
  fact: {
    code: 1,
    owner: 'exchange',
    always: ['path', 'type', 'value', 'bytes'],
    columns: [],
    packed: [],
    text: ['path', 'value'],
  },
  soft_limit: {
    code: 2,
    owner: 'exchange',
    always: ['setting', 'limit', 'actual', 'exceeded'],
    columns: ['path'],
    packed: [],
    text: [],
  },
  resource: {
    code: 3,
    owner: 'exchange',
    always: ['type', 'title', 'parameters', 'sensitive', 'tags', 'exported', 'virtual'],
    columns: ['secrets', 'file', 'line', 'kind'],
    packed: [],
    text: ['type', 'title', 'parameters', 'file'],
    hidden: 'secrets',
  },
  edge: { code: 4, owner: 'exchange', always: ['source', 'target'], columns: [], packed: [], text: [] },
  class: { code: 5, owner: 'exchange', always: ['name'], columns: [], packed: [], text: [] },
  resource_status: {
    code: 6,
    owner: 'exchange',
    always: ['resource', 'containment_path', 'tags', 'events'],
    columns: [
      'type',
      'title',
      'file',
      'line',
      'changed',
      'failed',
      'failed_to_restart',
      'skipped',
      'out_of_sync',
      'corrective_change',
      'change_count',
      'out_of_sync_count',
      'provider',
    ],
    packed: [
      ['evaluation_time', 'ns'],
      ['at', 'ms'],
    ],
    text: [],
  },
  log_line: {
    code: 7,
    owner: 'exchange',
    always: ['tags'],
    columns: ['level', 'message', 'source', 'file', 'line'],
    packed: [['at', 'ms']],
    text: ['source', 'message'],
  },
  metric: {
    code: 8,
    owner: 'exchange',
    always: ['category', 'name', 'label'],
    columns: [],
    packed: [['value', 'ns']],
    text: [],
  },
  file_metadata: {
    code: 9,
    owner: 'body',
    always: ['place'],
    columns: [
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
    packed: [],
    text: ['path', 'place', 'checksum'],
  },
  event: {
    code: 10,
    owner: 'exchange',
    always: ['resource', 'previous_value', 'desired_value', 'historical_value'],
    columns: ['property', 'name', 'status', 'message', 'audited', 'corrective_change', 'redacted'],
    packed: [['at', 'ms']],
    text: [],
  },
  certificate: {
    code: 11,
    owner: 'body',
    always: [
      'subject',
      'issuer',
      'serial',
      'key_type',
      'key_sha256',
      'signature_algorithm',
      'fingerprint',
      'alternative_names',
      'extensions',
      'authority',
    ],
    columns: ['common_name', 'not_before', 'not_after', 'key_bits', 'curve'],
    packed: [],
    text: [],
  },
  crl: {
    code: 12,
    owner: 'body',
    always: ['issuer', 'signature_algorithm', 'fingerprint', 'revoked', 'extensions'],
    columns: ['number', 'this_update', 'next_update'],
    packed: [],
    text: [],
  },
};

/** What of a column goes into the full-text index: a file's content in a catalog may be megabytes, and the writer is waited for. */
const INDEXED_CHARS = 16_384;

/** The rows of a list `l`, `b` as they are in its base, and `r` as they are in the list. */
export const joined = (name: ListName): string =>
  `JOIN ${name}_row b ON b.id > l.base << ${N_BITS} AND b.id <= (l.base << ${N_BITS}) + l.count ${placed(name)}`;

/** Ids of the rows that a list wrote. */
export const idsOf = (list: string): string => `> ${list} << ${N_BITS} AND id < (${list} + 1) << ${N_BITS}`;

const quoted = (columns: readonly string[]): string => columns.map(column => `"${column}"`).join(', ');

/** The row that takes the place of `b` in list `l`, or `b` itself. */
const placed = (name: string): string =>
  `JOIN ${name}_row r ON r.id = ifnull((SELECT o.id FROM ${name}_row o WHERE o.id = (l.id << ${N_BITS}) + (b.id & ${N_MASK})), b.id)`;

function unpacked([column, unit]: ListTable['packed'][number], at: string): string {
  const whole = unit === 'ns' ? `${at} / 1e9` : `l.since + ${at} * 1.0`;
  return `CASE typeof(${at}) WHEN 'integer' THEN ${whole} WHEN 'text' THEN CAST(${at} AS REAL) ELSE ${at} END AS "${column}"`;
}

// the plus: no index of lists by their kind is made for a query, which would look for the lists of each row
function listTable(name: ListName): string {
  const { code, owner, always, columns, packed, text, hidden } = LIST_TABLES[name];
  const all = [...always, ...columns];
  const shown = [
    ...always.map(column => `coalesce(r."${column}", b."${column}") AS "${column}"`),
    ...columns.filter(column => column !== hidden).map(column => `r."${column}"`),
    ...packed.map((one, i) => unpacked(one, packed.length === 1 ? 'j.value' : `json_extract(j.value, '$[${i}]')`)),
  ];
  const rows =
    packed.length === 0
      ? joined(name)
      : `JOIN json_each(l.packed) j JOIN ${name}_row b ON b.id = (l.base << ${N_BITS}) + j.key + 1 ${placed(name)}`;
  const free = (list: string, more: string): string =>
    `DELETE FROM ${name}_row WHERE id ${idsOf(list)} AND ${more}NOT EXISTS (SELECT 1 FROM list WHERE base = ${list} AND id <> old.id);`;
  return `
CREATE TABLE ${name}_row (id INTEGER PRIMARY KEY, ${all.map(column => `"${column}" ${typeOf(column)}`).join(', ')}) STRICT;
CREATE VIEW ${name} AS SELECT l.owner AS ${owner}, b.id & ${N_MASK} AS n, ${shown.join(', ')}
FROM list l ${rows} WHERE +l.kind = ${code};
CREATE TRIGGER list_gone_${name} BEFORE DELETE ON list WHEN old.kind = ${code} BEGIN
  ${free('old.id', '')}
  ${free('old.base', 'old.base <> old.id AND NOT EXISTS (SELECT 1 FROM list WHERE id = old.base) AND ')}
END;
${text.length === 0 ? '' : fullText(name, LIST_TABLES[name])}`;
}

/** A full-text index of the rows, each once, kept by triggers. Deleting needs the very text that was indexed. */
function fullText(name: ListName, { always, text }: ListTable): string {
  const isAlways = new Set(always);
  const whole = (column: string): string =>
    isAlways.has(column) ? `coalesce(r."${column}", b."${column}") AS "${column}"` : `r."${column}"`;
  const cut = text.map(column => `substr("${column}", 1, ${INDEXED_CHARS})`).join(', ');
  return `
CREATE VIEW ${name}_text AS SELECT r.id, ${text.map(whole).join(', ')} FROM ${name}_row r LEFT JOIN list l ON l.id = r.id >> ${N_BITS}
LEFT JOIN ${name}_row b ON b.id = (l.base << ${N_BITS}) + (r.id & ${N_MASK});
CREATE VIRTUAL TABLE ${name}_fts USING fts5(${text.join(', ')}, content = '${name}_text', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2');
CREATE TRIGGER ${name}_fts_in AFTER INSERT ON ${name}_row BEGIN
  INSERT INTO ${name}_fts (rowid, ${quoted(text)}) SELECT id, ${cut} FROM ${name}_text WHERE id = new.id;
END;
CREATE TRIGGER ${name}_fts_out BEFORE DELETE ON ${name}_row BEGIN
  INSERT INTO ${name}_fts (${name}_fts, rowid, ${quoted(text)}) SELECT 'delete', id, ${cut} FROM ${name}_text WHERE id = old.id;
END;
`;
}

const TABLES_BEFORE = [
  ...LIST_NAMES.map(name => (LIST_TABLES[name].text.length === 0 ? '' : `DROP TABLE ${name}_fts;`)),
  ...LIST_NAMES.map(name => `DROP TABLE ${name};`),
].join('\n');

const EMPTIED = [
  'decode_note',
  'csr',
  'revoked',
  'node',
  'file_content',
  'filebucket',
  'catalog_request',
  'catalog',
  'refusal',
  'report',
  'body_text',
]
  .map(table => `DELETE FROM ${table};`)
  .join('\n');

export const LISTS = `
${TABLES_BEFORE}
${EMPTIED}
DELETE FROM derived WHERE name = 'bodies';
DROP TABLE decoded_body;
-- sha256: NULL when there was no content coding to undo, and so it is that of the body.
CREATE TABLE decoded_body (body INTEGER PRIMARY KEY, exchange INTEGER NOT NULL, format TEXT NOT NULL, mime TEXT, codings TEXT, bytes INTEGER NOT NULL,
  sha256 BLOB, settled INTEGER NOT NULL) STRICT;
DROP VIEW v_body;
CREATE VIEW v_body AS ${['request', 'response', 'primary-request', 'primary-response']
  .map(
    side => `SELECT e.id AS exchange, m.run, '${side}' AS side, d.format, d.mime, ifnull(d.codings, '[]') AS codings, d.bytes,
  lower(hex(coalesce(d.sha256, b.sha256))) AS sha256
FROM exchange e JOIN decoded_body d ON d.body = e.${side.replace('-', '_')}_body JOIN body b ON b.id = d.body LEFT JOIN run_exchange m ON m.exchange = e.id`,
  )
  .join(' UNION ALL ')};
CREATE TABLE list (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, kind INTEGER NOT NULL, base INTEGER NOT NULL, count INTEGER NOT NULL,
  since INTEGER, packed TEXT) STRICT;
CREATE UNIQUE INDEX list_owner ON list (owner, kind);
CREATE INDEX list_base ON list (base);
${LIST_NAMES.map(listTable).join('')}
CREATE INDEX file_metadata_row_place ON file_metadata_row (id >> ${N_BITS}, place);
`;
