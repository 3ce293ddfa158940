/** What a column may be given. */
export type Value = string | number | null | Uint8Array;

/** Columns of `exchange` that cross from the main thread, in order; the first of them are bound as they are. */
export const EXCHANGE_COLUMNS = [
  'id',
  'seq',
  'certname',
  'phase',
  'indirection',
  'key',
  'environment',
  'transaction_uuid',
  'agent_connection',
  'agent_ordinal',
  'primary_connection',
  'primary_ordinal',
  'resent',
  'answered_by',
  'method',
  'target',
  'request_http_version',
  'status',
  'reason',
  'primary_status',
  'started_at',
  'start_mono',
  'request_end_mono',
  'primary_ready_mono',
  'response_head_mono',
  'first_byte_mono',
  'end_mono',
  'request_bytes',
  'response_bytes',
  'outcome',
  'failure',
  'request_fields',
  'response_fields',
  'trailers',
] as const;

/** Of these the writer gets JSON text and stores the id of a row in `fields`: the last ones of EXCHANGE_COLUMNS. */
export const FIELDS_COLUMNS = 3;

/** In the order of SIDES. */
export const BODY_COLUMNS = ['request_body', 'response_body', 'primary_request_body', 'primary_response_body'] as const;

export const CONNECTION_COLUMNS = [
  'id',
  'leg',
  'via',
  'peer',
  'target',
  'opened_at',
  'opened_mono',
  'connected_mono',
  'secure_mono',
  'tls_version',
  'cipher',
  'resumed',
  'server_name',
  'peer_name',
  'certname',
  'refusal',
  'error',
  'bytes_read',
  'bytes_written',
  'exchanges',
  'closed_at',
  'closed_mono',
  'closed_by',
  'cause',
  'closed_seq',
] as const;

function insert(table: string, columns: readonly string[]): string {
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;
}

/** The writer's statements, each prepared once. */
export const WRITER_SQL = {
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  early: 'UPDATE exchange_row SET early = 1 WHERE id = ?',
  connection: `${insert('connection', [...CONNECTION_COLUMNS, 'recording'])}
    ON CONFLICT (id) DO UPDATE SET ${CONNECTION_COLUMNS.slice(1)
      .map(column => `${column} = excluded.${column}`)
      .join(', ')}`,
  fault: 'INSERT INTO fault (exchange, rule) VALUES (?, ?)',
  loss: 'INSERT INTO loss (recording, at, reason, count, detail) VALUES (?, ?, ?, ?, ?)',
  recording: `INSERT INTO recording (first_seq, started_at, started_mono, version, pool, primaries, listen, durability)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  recordingEnded: 'UPDATE recording SET ended_at = ? WHERE id = ?',
} as const;

/** Statements about bodies. */
export const BODY_SQL = {
  find: 'SELECT id FROM body WHERE substr(sha256, 1, 8) = substr(:sha256, 1, 8) AND sha256 = :sha256 AND size = :size',
  insert: 'INSERT INTO body (id, sha256, size, kept, stored, coding, cut) VALUES (?, ?, ?, ?, ?, ?, ?)',
  bytes: 'INSERT INTO body_fresh (body, bytes) VALUES (?, ?)',
  start: "INSERT INTO body (id, sha256, size, kept, stored, coding, cut, bytes) VALUES (?, NULL, 0, 0, 0, 'chunks', NULL, NULL)",
  chunk: 'INSERT INTO body_chunk (body, n, coding, bytes) VALUES (?, ?, ?, ?)',
  end: 'UPDATE body SET sha256 = ?, size = ?, kept = ?, stored = ?, cut = ? WHERE id = ?',
  dropChunks: 'DELETE FROM body_chunk WHERE body = ?',
  drop: 'DELETE FROM body WHERE id = ?',
  dropUnfinishedChunks: 'DELETE FROM body_chunk WHERE body IN (SELECT id FROM body WHERE sha256 IS NULL)',
  dropUnfinished: 'DELETE FROM body WHERE sha256 IS NULL',
} as const;

/** What numbering goes on from. */
export const LAST_SQL = {
  exchange: 'SELECT coalesce(max(id), 0) FROM exchange_row',
  connection: 'SELECT coalesce(max(id), 0) FROM connection',
  body: 'SELECT coalesce(max(id), 0) FROM body',
  seq: 'SELECT max(coalesce((SELECT max(seq) FROM exchange_row), 0), coalesce((SELECT max(closed_seq) FROM connection), 0))',
  /** What runs are folded from: closings of the primary leg are not. */
  folded: `SELECT max(coalesce((SELECT max(seq) FROM exchange_row), 0), coalesce((SELECT closed_seq FROM connection
    WHERE closed_seq IS NOT NULL AND leg = 'agent' ORDER BY closed_seq DESC LIMIT 1), 0))`,
} as const;

const RUN_COLUMNS = [
  'id',
  'recording',
  'certname',
  'transaction_uuid',
  'environment',
  'puppet_version',
  'started_at',
  'ended_at',
  '"end"',
  'exchanges',
  'failed',
  'agent_connections',
  'primary_connections',
  'request_bytes',
  'response_bytes',
] as const;

/**
 * Statements that write derived rows, by name: the deriver sends names and values, the writer (or a reader that owns the file)
 * runs them. Each can be repeated with the same values.
 */
export const DERIVED_SQL: Readonly<Record<string, string>> = {
  // what judged a run (findings) has to see it again when there is more of it
  run: `${insert('run', RUN_COLUMNS)} ON CONFLICT (id) DO UPDATE SET ${[
    'judged = judged AND exchanges = excluded.exchanges',
    ...RUN_COLUMNS.slice(1).map(column => `${column} = excluded.${column}`),
  ].join(', ')}`,
  runExchange: 'INSERT OR REPLACE INTO run_exchange (exchange, run, n) VALUES (?, ?, ?)',
  runConnection: 'INSERT OR IGNORE INTO run_connection (run, connection) VALUES (?, ?)',
};

/** How far the derivation went. */
export const MARK_SQL = {
  read: "SELECT seq, settled FROM derived WHERE name = 'runs'",
  write:
    "INSERT INTO derived (name, seq, settled) VALUES ('runs', ?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, settled = excluded.settled",
} as const;

/** Empties every derived table, before they are built again. */
export const CLEAR_DERIVED_SQL = 'DELETE FROM run_exchange; DELETE FROM run_connection; DELETE FROM run; DELETE FROM derived;';

/**
 * What the deriver reads, in the order in which it happened.
 *
 * A plus before a variable hides it from SQLite's planner. The planner looks at the value of a LIMIT, and of what is compared with a column when there
 * are indexes with a condition, and then plans the statement anew each time that it is given values: 20 µs, where the rest takes one or two.
 */
export const EVENT_SQL = {
  exchanges: `SELECT e.seq, e.recording, e.id, e.certname, e.phase, e.indirection, e.key, e.environment, e.transaction_uuid AS transactionUuid,
      e.target, e.status, e.outcome, e.started_at AS startedAt, e.start_mono AS startMono, e.end_mono AS endMono,
      e.request_bytes AS requestBytes, e.response_bytes AS responseBytes, e.agent_connection AS connection,
      e.primary_connection AS primaryConnection, e.request_fields AS requestFields, e.request_body AS requestBody,
      c.peer, c.opened_at AS openedAt
    FROM exchange e LEFT JOIN connection c ON c.id = e.agent_connection
    WHERE e.seq > +? ORDER BY e.seq LIMIT +?`,
  closings: `SELECT closed_seq AS seq, recording, id, certname, via, peer, opened_at AS openedAt, closed_at AS closedAt, closed_by AS closedBy, cause, exchanges
    FROM connection WHERE closed_seq > +? AND leg = 'agent' ORDER BY closed_seq LIMIT +?`,
  fields: 'SELECT lines FROM fields WHERE id = ?',
  recordingOf: 'SELECT id, first_seq AS firstSeq FROM recording WHERE first_seq <= ? ORDER BY first_seq DESC, id DESC LIMIT 1',
  lastRunBefore: 'SELECT coalesce(max(id), 0) FROM run WHERE recording < ?',
} as const;
