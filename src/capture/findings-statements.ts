import type { DerivedWrite } from './messages.ts';

/** `--retain` may have deleted a run after the rules had looked at it. */
const IS_THERE = 'EXISTS (SELECT 1 FROM run WHERE id = column1)';

/** Statements that write findings, by name, like those of DERIVED_SQL. */
export const FINDING_SQL: Readonly<Record<string, string>> = {
  finding: `INSERT INTO finding (run, recording, rule, severity, subject, at, summary, fix, evidence)
    SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)) WHERE column1 IS NULL OR ${IS_THERE}
    ON CONFLICT (rule, recording, subject) WHERE run IS NULL DO UPDATE SET severity = excluded.severity, at = excluded.at,
      summary = excluded.summary, fix = excluded.fix, evidence = excluded.evidence`,
  'clear finding': 'DELETE FROM finding WHERE run = ?',
  'finding note': `INSERT OR REPLACE INTO finding_note (run, rule, text) SELECT * FROM (VALUES (?, ?, ?)) WHERE ${IS_THERE}`,
  'clear finding note': 'DELETE FROM finding_note WHERE run = ?',
  judged: 'UPDATE run SET judged = 1 WHERE id = ?',
  'judged connections':
    "INSERT INTO derived (name, seq, settled) VALUES ('findings', ?, 0) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
};

/** Removes what was found of a run, before the rules look at it again. */
export function clearingFindings(run: number): DerivedWrite[] {
  return [
    ['clear finding', run],
    ['clear finding note', run],
  ];
}

/** A variable with a plus: see statements.ts. */
export const JUDGING_SQL = {
  /** A run that its connections ended may go on after a pause: it is judged when it has been over for a while, or the clock was set back. */
  next: `SELECT id, recording FROM run WHERE judged = 0 AND "end" IS NOT NULL
    AND ("end" <> 'connections-closed' OR ended_at <= +? OR ended_at > +?)
    ORDER BY id LIMIT 1`,
  again: 'UPDATE run SET judged = 0 WHERE id = +?',
  clear: 'DELETE FROM finding; DELETE FROM finding_note;',
  pending: `SELECT EXISTS (SELECT 1 FROM run WHERE judged = 0 AND "end" IS NOT NULL) OR EXISTS (
    SELECT 1 FROM connection WHERE closed_seq > coalesce((SELECT seq FROM derived WHERE name = 'findings'), 0)
      AND leg = 'agent' AND (error IS NOT NULL OR refusal IS NOT NULL))`,
  mark: "SELECT seq FROM derived WHERE name = 'findings'",
  failed: `SELECT closed_seq AS seq, recording, id, closed_at AS closedAt FROM connection
    WHERE closed_seq > +? AND leg = 'agent' AND (error IS NOT NULL OR refusal IS NOT NULL) ORDER BY closed_seq LIMIT 1`,
  lastClosed: 'SELECT closed_seq FROM connection WHERE closed_seq IS NOT NULL ORDER BY closed_seq DESC LIMIT 1',
  ofConnection: 'SELECT evidence FROM finding WHERE rule = +? AND recording = +? AND subject = +? AND run IS NULL',
  subjects: 'SELECT count(*) FROM finding WHERE run IS NULL AND recording = +?',
} as const;

/** Runs of the same node before this one, the latest first. */
const BEFORE = 'SELECT id FROM run WHERE certname = +? AND id < +? ORDER BY id DESC LIMIT +?';

const TOP = `CASE WHEN path GLOB '"*' THEN substr(path, 1, instr(substr(path, 2), '"') + 1)
  WHEN instr(path, '.') > 0 THEN substr(path, 1, instr(path, '.') - 1) ELSE path END`;

/** What rules ask about; lists are bounded here. */
export const FACT_SQL = {
  durability: 'SELECT c.durability FROM run r JOIN recording c ON c.id = r.recording WHERE r.id = +?',
  firstAnswers: `SELECT id FROM exchange WHERE recording = (SELECT recording FROM run WHERE id = +?) AND answered_by = 'primary'
    AND status IS NOT NULL ORDER BY id LIMIT +?`,
  factCosts: `SELECT ${TOP} AS name, count(*) AS leaves, sum(bytes) AS bytes FROM fact WHERE exchange = +? GROUP BY 1 ORDER BY 2 DESC, 3 DESC LIMIT 5`,
  listed: `SELECT e.id AS exchange, coalesce(e.key, e.target) AS what, count(*) AS entries
    FROM run_exchange m JOIN exchange e ON e.id = m.exchange JOIN file_metadata t ON t.body = e.response_body
    WHERE m.run = +? AND e.phase = 'file' GROUP BY e.id HAVING count(*) > +? ORDER BY entries DESC LIMIT 20`,
  inlined: `SELECT e.id AS exchange, 'File[' || t.resource || ']' AS what, count(*) AS entries
    FROM run_exchange m JOIN exchange e ON e.id = m.exchange JOIN file_metadata t ON t.body = e.response_body
    WHERE m.run = +? AND e.phase = 'catalog' AND t.resource IS NOT NULL
    GROUP BY e.id, t.resource HAVING count(*) > +? ORDER BY entries DESC LIMIT 20`,
  generated: `SELECT count(*) FROM resource_status WHERE exchange = +? AND type = 'File' AND (title IS NULL OR title NOT IN (
    SELECT title FROM resource WHERE exchange = +? AND type = 'File'))`,
  named: (words: number): string => `SELECT n, type, title, parameters, sensitive, file, line FROM resource WHERE exchange = +?
    AND (${Array.from({ length: words }, () => "parameters LIKE +? ESCAPE '\\'").join(' OR ')}) ORDER BY n LIMIT 500`,
  events: `SELECT exchange, n, resource, property, status, corrective_change AS correctiveChange FROM event
    WHERE exchange = +? AND status IN (SELECT value FROM json_each(+?)) ORDER BY n LIMIT 5000`,
  logs: 'SELECT exchange, n, message FROM log_line WHERE exchange = +? AND instr(message, +?) > 0 ORDER BY n LIMIT 20',
  lastLog: "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(at) / 1000.0, 'unixepoch') FROM log_line WHERE exchange = +?",
  catalogs: `SELECT m.run, e.id AS exchange, q.environment, e.end_mono - e.start_mono AS durationMs
    FROM (${BEFORE}) r JOIN run_exchange m ON m.run = r.id JOIN exchange e ON e.id = m.exchange
    LEFT JOIN catalog_request q ON q.exchange = e.id
    WHERE e.phase = 'catalog' AND e.status = 200 AND e.outcome = 'answered' AND NOT EXISTS (SELECT 1 FROM fault f WHERE f.exchange = e.id)
    ORDER BY m.run DESC, m.n DESC LIMIT +?`,
  /** The last report of each run before, that was no noop run. */
  reports: `SELECT max(p.exchange) FROM (${BEFORE}) r JOIN run_exchange m ON m.run = r.id JOIN report p ON p.exchange = m.exchange
    WHERE p.noop IS NOT 1 GROUP BY r.id ORDER BY r.id DESC LIMIT +?`,
  fetchedAgain: `WITH before AS MATERIALIZED (
      SELECT r.id AS run, e.key, f.sha256 FROM (${BEFORE}) r JOIN run_exchange m ON m.run = r.id
      JOIN exchange e ON e.id = m.exchange JOIN file_content f ON f.exchange = e.id
      WHERE f.side = 'response' AND e.status = 200 AND e.indirection IN ('file_content', 'static_file_content'))
    SELECT f.exchange, e.key, f.bytes, count(DISTINCT b.run) AS runs FROM run_exchange m
    JOIN exchange e ON e.id = m.exchange JOIN file_content f ON f.exchange = e.id JOIN before b ON b.key = e.key AND b.sha256 = f.sha256
    WHERE m.run = +? AND f.side = 'response' AND e.status = 200 AND e.indirection IN ('file_content', 'static_file_content')
    GROUP BY f.exchange ORDER BY f.exchange LIMIT 1000`,
  csrs: `SELECT c.key_sha256 AS keySha256, strftime('%Y-%m-%dT%H:%M:%fZ', e.started_at / 1000.0, 'unixepoch') AS at
    FROM run r JOIN run_exchange m ON m.run = r.id JOIN csr c ON c.exchange = m.exchange JOIN exchange e ON e.id = c.exchange
    WHERE r.certname = +? AND r.id < +? AND c.side = 'request' ORDER BY e.id LIMIT 100`,
} as const;
