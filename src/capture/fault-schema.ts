/*
 * The SQL of exchanges that were interfered with on purpose; append only, like schema.ts.
 */

/** ISO 8601 in UTC with milliseconds, of a column of milliseconds. */
const iso = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

export const FAULTS = `
-- The rule of --fault that took an exchange, its action first.
CREATE TABLE fault (exchange INTEGER PRIMARY KEY, rule TEXT NOT NULL) STRICT;

DROP VIEW v_exchange;
CREATE VIEW v_exchange AS
SELECT e.id, m.run, m.n, e.phase, e.method, e.target, e.status, e.outcome, e.certname,
  e.agent_connection, e.agent_ordinal, e.primary_connection, e.primary_ordinal,
  e.request_bytes, e.response_bytes, ${iso('e.started_at')} AS started_at, round(e.end_mono - e.start_mono, 3) AS duration_ms,
  e.answered_by, e.failure, e.indirection, e.key, e.environment, e.reason, e.primary_status, e.resent, e.early,
  q.lines AS request_fields, s.lines AS response_fields,
  lower(hex(qb.sha256)) AS request_sha256, lower(hex(sb.sha256)) AS response_sha256,
  e.recording, e.start_mono, e.primary_ready_mono, e.end_mono,
  (SELECT group_concat(d.side || ': ' || d.text, '; ') FROM decode_note d WHERE d.exchange = e.id AND d.error = 1) AS decode_error,
  (SELECT f.rule FROM fault f WHERE f.exchange = e.id) AS fault
FROM exchange e
LEFT JOIN run_exchange m ON m.exchange = e.id
LEFT JOIN fields q ON q.id = e.request_fields
LEFT JOIN fields s ON s.id = e.response_fields
LEFT JOIN body qb ON qb.id = e.request_body
LEFT JOIN body sb ON sb.id = e.response_body;
`;
