import { WENT_WRONG } from './filter-schema.ts';

/*
 * The SQL of how exchanges and field lines are stored; append only, like schema.ts. Steady runs ask for the same again and again: what is the same is
 * in `route` and in `template`, once as long as the writer remembers it, and `exchange` and `fields` are views that put it together.
 */

/** Columns of `route`. */
export const ROUTE_COLUMNS = [
  'recording',
  'certname',
  'phase',
  'indirection',
  'key',
  'environment',
  'answered_by',
  'method',
  'target',
  'request_http_version',
  'reason',
  'primary_status',
] as const;

/** Moments of an exchange after its start. */
export const MOMENT_COLUMNS = [
  'request_end_mono',
  'primary_ready_mono',
  'response_head_mono',
  'first_byte_mono',
  'end_mono',
] as const;

/** Columns of `exchange_row` that are as they are given. */
export const PLAIN_COLUMNS = [
  'id',
  'seq',
  'transaction_uuid',
  'agent_connection',
  'agent_ordinal',
  'primary_connection',
  'primary_ordinal',
  'resent',
  'status',
  'started_at',
  'request_bytes',
  'response_bytes',
  'outcome',
  'failure',
  'early',
  'request_fields',
  'response_fields',
  'trailers',
  'request_body',
  'response_body',
  'primary_request_body',
  'primary_response_body',
] as const;

/** Milliseconds as whole nanoseconds: Node's monotonic clock has no more, and so they are read as they were given. */
const ns = (value: string): string => `CAST(round(${value} * 1e6) AS INTEGER)`;

const plain = PLAIN_COLUMNS.join(', ');

export const EXCHANGES = `
CREATE TABLE route (
  id INTEGER PRIMARY KEY,
  recording INTEGER NOT NULL,
  certname TEXT,
  phase TEXT NOT NULL,
  indirection TEXT,
  key TEXT,
  environment TEXT,
  answered_by TEXT NOT NULL,
  method TEXT NOT NULL,
  target TEXT NOT NULL,
  request_http_version TEXT NOT NULL,
  reason TEXT,
  primary_status INTEGER
) STRICT;

-- start_mono: nanoseconds; the other moments are counted from it.
CREATE TABLE exchange_row (
  id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  route INTEGER NOT NULL,
  transaction_uuid TEXT,
  agent_connection INTEGER NOT NULL,
  agent_ordinal INTEGER NOT NULL,
  primary_connection INTEGER,
  primary_ordinal INTEGER,
  resent INTEGER NOT NULL,
  status INTEGER,
  started_at REAL NOT NULL,
  start_mono INTEGER NOT NULL,
  request_end_mono INTEGER,
  primary_ready_mono INTEGER,
  response_head_mono INTEGER,
  first_byte_mono INTEGER,
  end_mono INTEGER NOT NULL,
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

-- Of the captures of older versions each exchange has a route of its own.
INSERT INTO route (id, ${ROUTE_COLUMNS.join(', ')}) SELECT id, ${ROUTE_COLUMNS.join(', ')} FROM exchange;
INSERT INTO exchange_row (${plain}, route, start_mono, ${MOMENT_COLUMNS.join(', ')})
SELECT ${plain}, id, ${ns('start_mono')}, ${MOMENT_COLUMNS.map(column => `${ns(column)} - ${ns('start_mono')}`).join(', ')} FROM exchange;
DROP TABLE exchange;
CREATE INDEX exchange_seq ON exchange_row (seq);
CREATE INDEX exchange_wrong ON exchange_row (id) WHERE ${WENT_WRONG};
-- the plus: an exchange is never looked up by its route
CREATE VIEW exchange AS SELECT ${PLAIN_COLUMNS.map(column => `x.${column}`).join(', ')},
  ${ROUTE_COLUMNS.map(column => `t.${column}`).join(', ')}, x.start_mono / 1e6 AS start_mono,
  ${MOMENT_COLUMNS.map(column => `(x.start_mono + x.${column}) / 1e6 AS ${column}`).join(', ')}
FROM exchange_row x JOIN route t ON t.id = +x.route;

-- Field lines as JSON; in the place of the values of Date and Content-Length there are U+0001 and U+0002, which JSON cannot have.
CREATE TABLE template (id INTEGER PRIMARY KEY, lines TEXT NOT NULL) STRICT;
CREATE TABLE field_lines (id INTEGER PRIMARY KEY, template INTEGER NOT NULL, a TEXT, b TEXT) STRICT;
INSERT INTO template (id, lines) SELECT id, lines FROM fields;
INSERT INTO field_lines (id, template) SELECT id, id FROM fields;
DROP TABLE fields;
-- one table, for a view of two is not looked up row by row where it is joined from the left
CREATE VIEW fields AS SELECT f.id, replace(replace((SELECT t.lines FROM template t WHERE t.id = f.template), char(1), ifnull(f.a, '')),
  char(2), ifnull(f.b, '')) AS lines FROM field_lines f;
`;
