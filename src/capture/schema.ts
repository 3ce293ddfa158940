import { DECODED } from './decoded-schema.ts';
import { EXCHANGES } from './exchange-schema.ts';
import { FAULTS } from './fault-schema.ts';
import { FILTER_INDEX } from './filter-schema.ts';
import { FINDINGS } from './findings-schema.ts';
import { FULL_TEXT } from './full-text-schema.ts';
import { LISTS } from './list-schema.ts';
import { NOTES } from './note-schema.ts';
import { BLOCKS, PACKING } from './packing-schema.ts';
import { SPLITS } from './split-schema.ts';

/**
 * The SQL of a capture's tables and views. Append only: what a released version has written is never edited here, a later
 * migration changes it. All `*_at` columns are milliseconds since the epoch, all `*_mono` milliseconds of the recording's
 * monotonic clock.
 */
export interface Migration {
  name: string;
  sql: string;
}

const RAW = `
-- One start of the proxy. Events (ends of exchanges, closings of connections) are numbered by seq through the whole file.
CREATE TABLE recording (
  id INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  started_at REAL NOT NULL,
  started_mono REAL NOT NULL,
  ended_at REAL,
  version TEXT NOT NULL,
  pool TEXT NOT NULL,
  primaries TEXT NOT NULL,
  listen TEXT NOT NULL,
  durability TEXT NOT NULL
) STRICT;

CREATE TABLE connection (
  id INTEGER PRIMARY KEY,
  recording INTEGER NOT NULL,
  leg TEXT NOT NULL,
  via TEXT NOT NULL,
  peer TEXT NOT NULL,
  target TEXT,
  opened_at REAL NOT NULL,
  opened_mono REAL NOT NULL,
  connected_mono REAL,
  secure_mono REAL,
  tls_version TEXT,
  cipher TEXT,
  resumed INTEGER,
  server_name TEXT,
  peer_name TEXT,
  certname TEXT,
  refusal TEXT,
  error TEXT,
  bytes_read INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  exchanges INTEGER NOT NULL,
  closed_at REAL,
  closed_mono REAL,
  closed_by TEXT,
  cause TEXT,
  closed_seq INTEGER
) STRICT;
CREATE INDEX connection_closed ON connection (closed_seq) WHERE closed_seq IS NOT NULL;

-- Header field lines as received: a JSON array of [name, value]. Equal ones share a row as long as the writer remembers them, which
-- keeps the exchange table narrow enough to scan.
CREATE TABLE fields (id INTEGER PRIMARY KEY, lines TEXT NOT NULL) STRICT;

-- A body, stored once. sha256 is of the kept bytes; NULL while a large body is still arriving.
-- coding: identity or zstd (in bytes), chunks (in body_chunk). cut: NULL, limit (--max-body), lost (the writer was too slow).
CREATE TABLE body (
  id INTEGER PRIMARY KEY,
  sha256 BLOB,
  size INTEGER NOT NULL,
  kept INTEGER NOT NULL,
  stored INTEGER NOT NULL,
  coding TEXT NOT NULL,
  cut TEXT,
  bytes BLOB
) STRICT;
CREATE UNIQUE INDEX body_content ON body (sha256, size) WHERE sha256 IS NOT NULL;
CREATE INDEX body_unfinished ON body (id) WHERE sha256 IS NULL;

CREATE TABLE body_chunk (
  body INTEGER NOT NULL,
  n INTEGER NOT NULL,
  coding TEXT NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX body_chunk_place ON body_chunk (body, n);

CREATE TABLE exchange (
  id INTEGER PRIMARY KEY,
  recording INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  certname TEXT,
  phase TEXT NOT NULL,
  indirection TEXT,
  key TEXT,
  environment TEXT,
  transaction_uuid TEXT,
  agent_connection INTEGER NOT NULL,
  agent_ordinal INTEGER NOT NULL,
  primary_connection INTEGER,
  primary_ordinal INTEGER,
  resent INTEGER NOT NULL,
  answered_by TEXT NOT NULL,
  method TEXT NOT NULL,
  target TEXT NOT NULL,
  request_http_version TEXT NOT NULL,
  status INTEGER,
  reason TEXT,
  primary_status INTEGER,
  started_at REAL NOT NULL,
  start_mono REAL NOT NULL,
  request_end_mono REAL,
  primary_ready_mono REAL,
  response_head_mono REAL,
  first_byte_mono REAL,
  end_mono REAL NOT NULL,
  request_bytes INTEGER NOT NULL,
  response_bytes INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  failure TEXT,
  early INTEGER NOT NULL DEFAULT 0,
  request_fields INTEGER,
  response_fields INTEGER,
  trailers INTEGER,
  request_body INTEGER,
  response_body INTEGER,
  primary_request_body INTEGER,
  primary_response_body INTEGER
) STRICT;
CREATE INDEX exchange_seq ON exchange (seq);

-- What is missing from the capture, for ever.
CREATE TABLE loss (
  id INTEGER PRIMARY KEY,
  recording INTEGER NOT NULL,
  at REAL NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  detail TEXT NOT NULL
) STRICT;
`;

const DERIVED = `
-- Everything below can be rebuilt from the tables above (stringtap redecode).
-- How far the derived rows go: seq of the last event, and whether nothing of its recording can follow.
CREATE TABLE derived (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, settled INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  recording INTEGER NOT NULL,
  certname TEXT NOT NULL,
  transaction_uuid TEXT,
  environment TEXT,
  puppet_version TEXT,
  started_at REAL NOT NULL,
  ended_at REAL,
  "end" TEXT,
  exchanges INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  agent_connections INTEGER NOT NULL,
  primary_connections INTEGER NOT NULL,
  request_bytes INTEGER NOT NULL,
  response_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE run_exchange (exchange INTEGER PRIMARY KEY, run INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;
CREATE INDEX run_exchange_run ON run_exchange (run, n);

CREATE TABLE run_connection (
  run INTEGER NOT NULL,
  connection INTEGER NOT NULL,
  PRIMARY KEY (run, connection)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_connection_connection ON run_connection (connection);
`;

/** ISO 8601 in UTC with milliseconds, of a column of milliseconds. */
const iso = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

const VIEWS = `
CREATE VIEW v_run AS
SELECT id, certname, transaction_uuid, environment, puppet_version,
  ${iso('started_at')} AS started_at, ${iso('ended_at')} AS ended_at, "end",
  exchanges, failed, agent_connections, primary_connections, request_bytes, response_bytes, recording
FROM run;

CREATE VIEW v_exchange AS
SELECT e.id, m.run, m.n, e.phase, e.method, e.target, e.status, e.outcome, e.certname,
  e.agent_connection, e.agent_ordinal, e.primary_connection, e.primary_ordinal,
  e.request_bytes, e.response_bytes, ${iso('e.started_at')} AS started_at, round(e.end_mono - e.start_mono, 3) AS duration_ms,
  e.answered_by, e.failure, e.indirection, e.key, e.environment, e.reason, e.primary_status, e.resent, e.early,
  q.lines AS request_fields, s.lines AS response_fields,
  lower(hex(qb.sha256)) AS request_sha256, lower(hex(sb.sha256)) AS response_sha256,
  e.recording, e.start_mono, e.primary_ready_mono, e.end_mono
FROM exchange e
LEFT JOIN run_exchange m ON m.exchange = e.id
LEFT JOIN fields q ON q.id = e.request_fields
LEFT JOIN fields s ON s.id = e.response_fields
LEFT JOIN body qb ON qb.id = e.request_body
LEFT JOIN body sb ON sb.id = e.response_body;

CREATE VIEW v_connection AS
SELECT id, leg, peer, certname, tls_version, cipher, resumed,
  ${iso('opened_at')} AS opened_at, round(connected_mono - opened_mono, 3) AS connect_ms,
  round(secure_mono - connected_mono, 3) AS handshake_ms,
  ${iso('closed_at')} AS closed_at, closed_by, cause, exchanges,
  via, target, server_name, peer_name, refusal, error, bytes_read, bytes_written,
  recording, opened_mono, closed_mono
FROM connection;
`;

/** Migration n brings a file from `user_version` n - 1 to n. */
export const MIGRATIONS: readonly Migration[] = [
  { name: 'the capture log', sql: RAW + DERIVED + VIEWS },
  { name: 'decoded bodies', sql: DECODED },
  { name: 'findings', sql: FINDINGS },
  { name: 'exchanges that went wrong', sql: FILTER_INDEX },
  { name: 'notes, and times of the primary', sql: NOTES },
  { name: 'what is nearly the same each time is kept once', sql: EXCHANGES + LISTS + PACKING },
  { name: 'bodies that are much alike are kept together, and what single rows share once', sql: BLOCKS + SPLITS + FULL_TEXT },
  { name: 'faults on purpose', sql: FAULTS },
];
