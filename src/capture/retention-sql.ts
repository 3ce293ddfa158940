import { BODY_COLUMNS } from './statements.ts';

/** Columns of `exchange` that refer to `fields`. */
const FIELDS_OF = ['request_fields', 'response_fields', 'trailers'] as const;

const indexed = [...BODY_COLUMNS, ...FIELDS_OF];

const unused = (columns: readonly string[]): string =>
  columns.map(column => `SELECT 1 FROM exchange_row WHERE ${column} = :id`).join(' UNION ALL ');

const NOTED = 'SELECT m.run FROM note t JOIN run_exchange m ON m.exchange = t.exchange';

/** Up to here everything is folded and decoded. */
const DECODED = "coalesce((SELECT min(seq) FROM derived WHERE name IN ('bodies', 'runs')), 0)";

/** The statements of retention.ts. A variable with a plus: see statements.ts. */
export const RETENTION_SQL = {
  /** Only a capture with --retain has them: they cost its writer some microseconds an exchange. */
  indexes: indexed
    .map(column => `CREATE INDEX IF NOT EXISTS retain_${column} ON exchange_row (${column}) WHERE ${column} IS NOT NULL;`)
    .concat(
      'CREATE INDEX IF NOT EXISTS retain_route ON exchange_row (route);',
      'CREATE INDEX IF NOT EXISTS retain_template ON field_lines (template);',
    )
    .join('\n'),
  /** Runs that somebody noted something of stay, and are not counted; so do the newest one, and one that goes on, which may be for days. */
  oldest: `SELECT id, ended_at AS endedAt FROM run WHERE id < (SELECT max(id) FROM run) AND id NOT IN (${NOTED}) AND "end" IS NOT NULL AND ended_at <= ?
    ORDER BY id LIMIT 1`,
  runCount: `SELECT count(*) FROM run WHERE id NOT IN (${NOTED})`,
  lastSeq: 'SELECT max(e.seq) FROM run_exchange m JOIN exchange e ON e.id = m.exchange WHERE m.run = +?',
  decoded: `SELECT ${DECODED}`,
  exchangesOf: 'SELECT exchange FROM run_exchange WHERE run = +? ORDER BY n LIMIT +?',
  firstKept: `SELECT m.exchange, r.started_at AS startedAt FROM run r JOIN run_exchange m ON m.run = r.id
    WHERE r.id = (SELECT min(id) FROM run WHERE id NOT IN (${NOTED}) AND "end" IS NOT NULL) ORDER BY m.n LIMIT 1`,
  /** Some that nobody folds or decodes, or may yet find a run for. */
  loose: `SELECT e.id FROM exchange e WHERE e.id < ? AND e.seq <= ${DECODED} AND e.started_at + e.end_mono - e.start_mono < ?
    AND NOT EXISTS (SELECT 1 FROM run_exchange m WHERE m.exchange = e.id)
    AND NOT EXISTS (SELECT 1 FROM note t WHERE t.exchange = e.id) ORDER BY e.id LIMIT 200`,
  partsOf: `SELECT request_fields AS requestFields, response_fields AS responseFields, trailers, request_body AS requestBody,
    response_body AS responseBody, primary_request_body AS primaryRequestBody, primary_response_body AS primaryResponseBody
    FROM exchange WHERE id = +?`,
  routeOf: 'SELECT route FROM exchange_row WHERE id = ?',
  deleteRoute: 'DELETE FROM route WHERE id = :id AND NOT EXISTS (SELECT 1 FROM exchange_row WHERE route = :id)',
  deleteExchange: [
    'DELETE FROM note WHERE exchange = ?',
    'DELETE FROM primary_time WHERE exchange = ?',
    'DELETE FROM fault WHERE exchange = ?',
    'DELETE FROM run_exchange WHERE exchange = ?',
    'DELETE FROM exchange_row WHERE id = ?',
  ],
  deleteRun: ['run_connection WHERE run', 'finding WHERE run', 'finding_note WHERE run', 'run WHERE id'].map(
    where => `DELETE FROM ${where} = ?`,
  ),
  lastBody: 'SELECT coalesce(max(id), 0) FROM body',
  bodiesAfter: 'SELECT id FROM body WHERE id > ? AND id <= ? AND sha256 IS NOT NULL ORDER BY id LIMIT +?',
  bodyUsed: `${unused(BODY_COLUMNS)} UNION ALL SELECT 1 FROM packed WHERE dictionary = :id
    UNION ALL SELECT 1 FROM block WHERE dictionary = :id LIMIT 1`,
  /** The exchange that a body is found in is gone: it is found in another one that has it. */
  bodyMoves: `UPDATE decoded_body_row SET exchange = coalesce((SELECT min(id) FROM (${BODY_COLUMNS.map(column => `SELECT min(id) AS id FROM exchange_row WHERE ${column} = :id`).join(' UNION ALL ')})), exchange)
    WHERE body = :id AND NOT EXISTS (SELECT 1 FROM exchange_row e WHERE e.id = decoded_body_row.exchange)`,
  /** From now on no body that comes is the same. */
  hideBody: "UPDATE body SET sha256 = x'' WHERE id = ?",
  dictionaryOf: `SELECT coalesce(p.dictionary, k.dictionary) FROM body b LEFT JOIN packed p ON p.body = b.id
    LEFT JOIN blocked q ON q.body = b.id LEFT JOIN block k ON k.id = q.block WHERE b.id = ?`,
  fieldsUsed: `${unused(FIELDS_OF)} LIMIT 1`,
  templateOf: 'SELECT template FROM field_lines WHERE id = ?',
  deleteFields: 'DELETE FROM field_lines WHERE id = ?',
  deleteTemplate: 'DELETE FROM template WHERE id = :id AND NOT EXISTS (SELECT 1 FROM field_lines WHERE template = :id)',
  deleteChunks: 'DELETE FROM body_chunk WHERE rowid IN (SELECT rowid FROM body_chunk WHERE body = ? LIMIT ?)',
  deleteBody: 'DELETE FROM body WHERE id = ?',
  deleteConnections: `DELETE FROM connection WHERE id IN (SELECT c.id FROM connection c WHERE c.closed_at <= ?
    AND NOT EXISTS (SELECT 1 FROM run_connection m WHERE m.connection = c.id) ORDER BY c.id LIMIT ?)`,
  counted: "UPDATE loss SET count = count + 1, at = ? WHERE recording = ? AND reason = 'retained'",
  count: `INSERT INTO loss (recording, at, reason, count, detail) VALUES (?, ?, 'retained', 1, 'runs that --retain deleted')`,
} as const;
