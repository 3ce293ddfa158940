import { DECODED_VIEWS } from './decoded-views.ts';

/*
 * The SQL of the tables that hold decoded bodies; append only, like schema.ts. Rows belong to an exchange, or, where the same bytes come again
 * with each run (file metadata, CA bundles, CRLs), to a body: they are decoded once. `run` is never stored: a run is folded anew when more of it
 * is known, so views look it up.
 *
 * Sensitive values are never in a column that a view shows or the full-text index reads: `resource.parameters` says "(sensitive)" in
 * their place, and `resource.secrets` keeps the parameters with them.
 */

const TABLES = `
-- What decoding remarked: error 1 says why a body could not be read, error 0 is a remark on one that could.
CREATE TABLE decode_note (exchange INTEGER NOT NULL, side TEXT NOT NULL, error INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX decode_note_exchange ON decode_note (exchange);

-- A body without its content codings. exchange: the first that had it. settled: its rows below are complete, so it need not be decoded again.
CREATE TABLE decoded_body (
  body INTEGER PRIMARY KEY,
  exchange INTEGER NOT NULL,
  format TEXT NOT NULL,
  mime TEXT,
  codings TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  settled INTEGER NOT NULL
) STRICT;

CREATE TABLE csr (
  exchange INTEGER NOT NULL,
  side TEXT NOT NULL,
  subject TEXT NOT NULL,
  common_name TEXT,
  key_type TEXT NOT NULL,
  key_bits INTEGER,
  curve TEXT,
  key_sha256 TEXT NOT NULL,
  signature_algorithm TEXT NOT NULL,
  signature_valid INTEGER,
  fingerprint TEXT NOT NULL,
  alternative_names TEXT NOT NULL,
  extensions TEXT NOT NULL,
  attributes TEXT NOT NULL,
  challenge_password INTEGER NOT NULL,
  PRIMARY KEY (exchange, side)
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
  body INTEGER NOT NULL,
  n INTEGER NOT NULL,
  subject TEXT NOT NULL,
  common_name TEXT,
  issuer TEXT NOT NULL,
  serial TEXT NOT NULL,
  not_before REAL,
  not_after REAL,
  key_type TEXT NOT NULL,
  key_bits INTEGER,
  curve TEXT,
  key_sha256 TEXT NOT NULL,
  signature_algorithm TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  alternative_names TEXT NOT NULL,
  extensions TEXT NOT NULL,
  authority INTEGER NOT NULL,
  PRIMARY KEY (body, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE crl (
  body INTEGER NOT NULL,
  n INTEGER NOT NULL,
  issuer TEXT NOT NULL,
  number TEXT,
  this_update REAL,
  next_update REAL,
  signature_algorithm TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  revoked INTEGER NOT NULL,
  extensions TEXT NOT NULL,
  PRIMARY KEY (body, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE revoked (
  body INTEGER NOT NULL,
  crl INTEGER NOT NULL,
  n INTEGER NOT NULL,
  serial TEXT NOT NULL,
  revoked_at REAL,
  reason TEXT,
  PRIMARY KEY (body, crl, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
  exchange INTEGER PRIMARY KEY,
  name TEXT,
  environment TEXT,
  requested_environment TEXT,
  configured_environment TEXT,
  transaction_uuid TEXT,
  classes TEXT NOT NULL,
  class_parameters TEXT NOT NULL,
  parameters TEXT NOT NULL,
  trusted TEXT NOT NULL,
  server_facts TEXT NOT NULL
) STRICT;

-- resource: of a static catalog's own metadata, the title of the file that it is for. place: what the content is asked for by.
CREATE TABLE file_metadata (
  id INTEGER PRIMARY KEY,
  body INTEGER NOT NULL,
  n INTEGER NOT NULL,
  place TEXT NOT NULL,
  resource TEXT,
  path TEXT,
  relative_path TEXT,
  type TEXT,
  mode TEXT,
  owner TEXT,
  "group" TEXT,
  checksum_type TEXT,
  checksum TEXT,
  size INTEGER,
  links TEXT,
  destination TEXT,
  source TEXT,
  content_uri TEXT
) STRICT;
CREATE INDEX file_metadata_place ON file_metadata (body, place);

-- Content of a file as it passed, and what was promised for it earlier in the run.
CREATE TABLE file_content (
  exchange INTEGER NOT NULL,
  side TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  md5 TEXT NOT NULL,
  text INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  promised_by INTEGER,
  promised_type TEXT,
  promised TEXT,
  verdict TEXT NOT NULL,
  PRIMARY KEY (exchange, side)
) STRICT, WITHOUT ROWID;

CREATE TABLE filebucket (
  exchange INTEGER PRIMARY KEY,
  checksum_type TEXT,
  checksum TEXT,
  path TEXT,
  diff_with TEXT
) STRICT;

CREATE TABLE catalog_request (
  exchange INTEGER PRIMARY KEY,
  environment TEXT,
  configured_environment TEXT,
  check_environment INTEGER,
  transaction_uuid TEXT,
  job_uuid TEXT,
  static_catalog INTEGER,
  checksum_types TEXT NOT NULL,
  facts_format TEXT,
  facts_name TEXT,
  facts_timestamp TEXT,
  top_level_facts INTEGER,
  facts INTEGER
) STRICT;

-- A leaf of the facts.
CREATE TABLE fact (
  id INTEGER PRIMARY KEY,
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  path TEXT NOT NULL,
  type TEXT NOT NULL,
  value TEXT NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX fact_exchange ON fact (exchange, path);

CREATE TABLE soft_limit (
  exchange INTEGER NOT NULL,
  setting TEXT NOT NULL,
  "limit" INTEGER NOT NULL,
  actual INTEGER NOT NULL,
  path TEXT,
  exceeded INTEGER NOT NULL,
  PRIMARY KEY (exchange, setting)
) STRICT, WITHOUT ROWID;

CREATE TABLE catalog (
  exchange INTEGER PRIMARY KEY,
  name TEXT,
  version TEXT,
  code_id TEXT,
  catalog_uuid TEXT,
  catalog_format INTEGER,
  environment TEXT,
  tags TEXT NOT NULL,
  resources INTEGER NOT NULL,
  edges INTEGER NOT NULL,
  classes INTEGER NOT NULL,
  metadata INTEGER NOT NULL
) STRICT;

CREATE TABLE resource (
  id INTEGER PRIMARY KEY,
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  parameters TEXT NOT NULL,
  secrets TEXT,
  sensitive TEXT NOT NULL,
  tags TEXT NOT NULL,
  file TEXT,
  line INTEGER,
  exported INTEGER NOT NULL,
  virtual INTEGER NOT NULL,
  kind TEXT
) STRICT;
CREATE INDEX resource_exchange ON resource (exchange, type, title);

CREATE TABLE edge (
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  source TEXT NOT NULL,
  target TEXT NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE class (
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;

-- An answer of 400 or above; file, line, "column", resource and node are taken out of a compiler's message.
CREATE TABLE refusal (
  exchange INTEGER PRIMARY KEY,
  status INTEGER NOT NULL,
  message TEXT,
  issue_kind TEXT,
  error TEXT,
  file TEXT,
  line INTEGER,
  "column" INTEGER,
  resource TEXT,
  node TEXT,
  environment TEXT
) STRICT;

CREATE TABLE report (
  exchange INTEGER PRIMARY KEY,
  format INTEGER,
  host TEXT,
  at REAL,
  status TEXT,
  kind TEXT,
  noop INTEGER,
  noop_pending INTEGER,
  corrective_change INTEGER,
  cached_catalog_status TEXT,
  environment TEXT,
  configuration_version TEXT,
  puppet_version TEXT,
  transaction_uuid TEXT,
  catalog_uuid TEXT,
  code_id TEXT,
  job_id TEXT,
  server_used TEXT,
  transaction_completed INTEGER,
  processors TEXT NOT NULL
) STRICT;

CREATE TABLE resource_status (
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  resource TEXT NOT NULL,
  type TEXT,
  title TEXT,
  file TEXT,
  line INTEGER,
  evaluation_time REAL,
  at REAL,
  changed INTEGER,
  failed INTEGER,
  failed_to_restart INTEGER,
  skipped INTEGER,
  out_of_sync INTEGER,
  corrective_change INTEGER,
  change_count INTEGER,
  out_of_sync_count INTEGER,
  provider TEXT,
  containment_path TEXT NOT NULL,
  tags TEXT NOT NULL,
  events INTEGER NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;

-- Values are JSON, as the agent sent them.
CREATE TABLE event (
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  resource TEXT NOT NULL,
  property TEXT,
  name TEXT,
  status TEXT,
  previous_value TEXT NOT NULL,
  desired_value TEXT NOT NULL,
  historical_value TEXT NOT NULL,
  message TEXT,
  at REAL,
  audited INTEGER,
  corrective_change INTEGER,
  redacted INTEGER,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_line (
  id INTEGER PRIMARY KEY,
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  level TEXT,
  message TEXT,
  source TEXT,
  at REAL,
  file TEXT,
  line INTEGER,
  tags TEXT NOT NULL
) STRICT;
CREATE INDEX log_line_exchange ON log_line (exchange, n);

CREATE TABLE metric (
  exchange INTEGER NOT NULL,
  n INTEGER NOT NULL,
  category TEXT NOT NULL,
  name TEXT NOT NULL,
  label TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;

-- Text of bodies that no other table has: contents of files, bodies of phase other, messages of refusals.
CREATE TABLE body_text (body INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
`;

/** What of a column goes into the full-text index: a file's content in a catalog may be megabytes, and the writer is waited for. */
const INDEXED_CHARS = 16_384;

/**
 * A full-text index over columns of a table, kept by triggers. The text itself stays in the table. Deleting needs the very text that was
 * indexed, which the trigger still has.
 */
function fullText(table: string, key: string, columns: readonly string[]): string {
  const values = (row: string): string => columns.map(column => `substr(${row}.${column}, 1, ${INDEXED_CHARS})`).join(', ');
  const names = columns.join(', ');
  return `
CREATE VIRTUAL TABLE ${table}_fts USING fts5(${names}, content = '${table}', content_rowid = '${key}', tokenize = 'unicode61 remove_diacritics 2');
CREATE TRIGGER ${table}_fts_in AFTER INSERT ON ${table} BEGIN
  INSERT INTO ${table}_fts (rowid, ${names}) VALUES (new.${key}, ${values('new')});
END;
CREATE TRIGGER ${table}_fts_out AFTER DELETE ON ${table} BEGIN
  INSERT INTO ${table}_fts (${table}_fts, rowid, ${names}) VALUES ('delete', old.${key}, ${values('old')});
END;
`;
}

const FULL_TEXT = [
  fullText('resource', 'id', ['type', 'title', 'parameters', 'file']),
  fullText('fact', 'id', ['path', 'value']),
  fullText('log_line', 'id', ['source', 'message']),
  fullText('file_metadata', 'id', ['path', 'place', 'checksum']),
  fullText('body_text', 'body', ['text']),
].join('');

export const DECODED = TABLES + FULL_TEXT + DECODED_VIEWS;
