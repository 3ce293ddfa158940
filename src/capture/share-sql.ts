import { GIVEN_COLUMNS } from './exchange-rows.ts';
import { CONNECTION_COLUMNS } from './statements.ts';

const insert = (table: string, columns: readonly string[]): string =>
  `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(name => `:${name}`).join(', ')})`;

const CONNECTION = [...CONNECTION_COLUMNS, 'recording'];
const RECORDING = [
  'id',
  'first_seq',
  'started_at',
  'started_mono',
  'ended_at',
  'version',
  'pool',
  'primaries',
  'listen',
  'durability',
];

/** What belongs to some runs; a list of their ids as JSON, NULL for the whole capture. */
const OF_RUNS = '(:runs IS NULL OR id IN (SELECT exchange FROM run_exchange WHERE run IN (SELECT value FROM json_each(:runs))))';
const USED = `(:runs IS NULL OR id IN (SELECT connection FROM run_connection WHERE run IN (SELECT value FROM json_each(:runs)))
  OR id IN (SELECT agent_connection FROM exchange WHERE ${OF_RUNS}) OR id IN (SELECT primary_connection FROM exchange WHERE ${OF_RUNS}))`;

/** The statements of share.ts. */
export const SHARE_SQL = {
  recordings: `SELECT ${RECORDING.join(', ')} FROM recording ORDER BY id`,
  connections: `SELECT ${CONNECTION.join(', ')} FROM connection WHERE ${USED} ORDER BY id`,
  exchangeIds: `SELECT id FROM exchange WHERE ${OF_RUNS} ORDER BY id`,
  exchange: `SELECT ${GIVEN_COLUMNS.join(', ')} FROM exchange WHERE id = ?`,
  runs: `SELECT id FROM run WHERE :runs IS NULL OR id IN (SELECT value FROM json_each(:runs)) ORDER BY id`,
  fields: 'SELECT lines FROM fields WHERE id = ?',
  body: 'SELECT size, kept, cut FROM body WHERE id = ? AND sha256 IS NOT NULL',
  losses: 'SELECT recording, at, reason, count, detail FROM loss ORDER BY id',
  /** Whatever is a name of a host or a domain, or has one in it; of the whole capture, for runs speak of others. */
  names: `SELECT certname FROM exchange WHERE certname IS NOT NULL UNION SELECT certname FROM connection WHERE certname IS NOT NULL
    UNION SELECT peer_name FROM connection WHERE peer_name IS NOT NULL UNION SELECT server_name FROM connection WHERE server_name IS NOT NULL
    UNION SELECT target FROM connection WHERE target IS NOT NULL
    UNION SELECT value FROM recording, json_each(recording.primaries) WHERE json_valid(primaries) UNION SELECT listen FROM recording
    UNION SELECT certname FROM run UNION SELECT key FROM exchange WHERE key IS NOT NULL AND indirection IN
      ('node', 'catalog', 'report', 'facts', 'certificate', 'certificate_request', 'certificate_status', 'certificate_renewal')
    UNION SELECT common_name FROM certificate WHERE common_name IS NOT NULL UNION SELECT common_name FROM csr WHERE common_name IS NOT NULL
    UNION SELECT value FROM certificate, json_each(alternative_names) UNION SELECT value FROM csr, json_each(alternative_names)
    UNION SELECT name FROM node WHERE name IS NOT NULL UNION SELECT name FROM catalog WHERE name IS NOT NULL
    UNION SELECT host FROM report WHERE host IS NOT NULL UNION SELECT server_used FROM report WHERE server_used IS NOT NULL
    UNION SELECT value FROM fact WHERE path IN ('hostname', 'fqdn', 'domain', 'clientcert', 'servername', 'networking.hostname',
      'networking.fqdn', 'networking.domain', 'trusted.certname', 'trusted.hostname', 'trusted.domain')`,
  hostFields: `SELECT DISTINCT json_extract(value, '$[1]') FROM fields, json_each(fields.lines)
    WHERE json_valid(lines) AND lower(json_extract(value, '$[0]')) IN ('host', 'x-forwarded-for', 'x-forwarded-host')`,
  insertRecording: insert('recording', RECORDING),
  insertConnection: insert('connection', CONNECTION),
  insertChunk: 'INSERT INTO body_chunk (body, n, coding, bytes) VALUES (?, ?, ?, ?)',
  insertLoss: 'INSERT INTO loss (recording, at, reason, count, detail) VALUES (?, ?, ?, ?, ?)',
  notes: `SELECT subject, exchange, at, mark, text FROM note WHERE exchange IN (SELECT id FROM exchange WHERE ${OF_RUNS}) ORDER BY id`,
  insertNote: insert('note', ['subject', 'exchange', 'at', 'mark', 'text']),
  primaryTimes: `SELECT exchange, at, took_ms, borrow_ms, offset_ms FROM primary_time WHERE exchange IN (SELECT id FROM exchange WHERE ${OF_RUNS})`,
  insertPrimaryTime: insert('primary_time', ['exchange', 'at', 'took_ms', 'borrow_ms', 'offset_ms']),
  /** Of a rule its action stays, without the name of a file; the filter names what is somebody's. */
  faults: `SELECT exchange, CASE WHEN rule LIKE 'answer=%' THEN 'answer' ELSE substr(rule, 1, instr(rule || ' ', ' ') - 1) END AS rule
    FROM fault WHERE exchange IN (SELECT id FROM exchange WHERE ${OF_RUNS})`,
  insertFault: insert('fault', ['exchange', 'rule']),
  newRuns: 'SELECT id FROM run ORDER BY id',
} as const;
