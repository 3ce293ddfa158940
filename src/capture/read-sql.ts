import type { Filter, Subject } from '../analysis/filter.ts';
import { ALIASES, conditionOf } from './filter-sql.ts';
import type { ConnectionFilter, ExchangeFilter, FindingFilter, RunFilter } from './shapes.ts';

/** Rows that are read at once: long lists are walked through in pages, so that no reader holds a snapshot for long. */
export const PAGE = 500;

/** The same of rows with all that is known of them: some kilobytes each, which are gone before V8 would keep them for long. */
export const DETAILS_PAGE = 100;

const RUN = `SELECT id, certname, transaction_uuid AS transactionUuid, environment, puppet_version AS puppetVersion, started_at AS startedAt,
  ended_at AS endedAt, "end", exchanges, failed, agent_connections AS agentConnections, primary_connections AS primaryConnections,
  request_bytes AS requestBytes, response_bytes AS responseBytes FROM v_run`;

const EXCHANGE = `SELECT id, run, n, phase, method, target, status, outcome, certname, agent_connection AS agentConnection,
  agent_ordinal AS agentOrdinal, primary_connection AS primaryConnection, primary_ordinal AS primaryOrdinal,
  request_bytes AS requestBytes, response_bytes AS responseBytes, started_at AS startedAt, duration_ms AS durationMs,
  answered_by AS answeredBy, failure, resent, recording, start_mono AS startMono, primary_ready_mono AS primaryReadyMono, end_mono AS endMono, fault
  FROM v_exchange`;

/** Its row is written when it opens and when it ends: of one that is open, or was when the proxy was killed, the exchanges are counted. */
const CARRIED = `iif(closed_at IS NULL, max(exchanges, (SELECT count(*) FROM run_connection c JOIN run_exchange m ON m.run = c.run
    JOIN exchange e ON e.id = m.exchange WHERE c.connection = v_connection.id AND v_connection.id IN (e.agent_connection, e.primary_connection))),
  exchanges) AS exchanges`;

const CONNECTION = `SELECT id, leg, peer, certname, tls_version AS tlsVersion, cipher, resumed, opened_at AS openedAt,
  connect_ms AS connectMs, handshake_ms AS handshakeMs,
  closed_at AS closedAt, closed_by AS closedBy, cause, ${CARRIED}, via, target, server_name AS serverName, peer_name AS peerName,
  refusal, error, bytes_read AS bytesRead, bytes_written AS bytesWritten, recording,
  opened_mono AS openedMono, closed_mono AS closedMono
  FROM v_connection`;

const FINDING = 'SELECT id, run, rule, severity, subject, at, summary, fix, evidence FROM v_finding';

/** A variable with a plus: see statements.ts. */
export const READ_SQL = {
  run: `${RUN} WHERE id = +?`,
  judged: 'SELECT judged FROM run WHERE id = +?',
  exchange: `${EXCHANGE} WHERE id = +?`,
  connection: `${CONNECTION} WHERE id = +?`,
  exchangeMore: `SELECT e.id, e.indirection, e.key, e.environment, e.request_http_version AS httpVersion, e.reason, e.primary_status AS primaryStatus,
      e.early, e.request_end_mono AS requestEndMono, e.response_head_mono AS responseHeadMono, e.first_byte_mono AS firstByteMono,
      q.lines AS requestFields, s.lines AS responseFields, t.lines AS trailers, e.request_body AS request, e.response_body AS response,
      e.primary_request_body AS primaryRequest, e.primary_response_body AS primaryResponse
    FROM json_each(?) j CROSS JOIN exchange e ON e.id = j.value LEFT JOIN fields q ON q.id = e.request_fields LEFT JOIN fields s ON s.id = e.response_fields
    LEFT JOIN fields t ON t.id = e.trailers`,
  moments: `SELECT e.id, e.request_end_mono AS requestEndMono, e.response_head_mono AS responseHeadMono, e.first_byte_mono AS firstByteMono
    FROM run_exchange m JOIN exchange e ON e.id = m.exchange WHERE m.run = +? ORDER BY m.n`,
  bodyIds: `SELECT request_body, response_body, primary_request_body, primary_response_body FROM exchange WHERE id = +?`,
  bodies: `SELECT id, lower(hex(sha256)) AS sha256, size, kept, stored, cut FROM body WHERE id IN (SELECT value FROM json_each(?))
    AND sha256 IS NOT NULL`,
  recordings: `SELECT id, strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS startedAt,
    strftime('%Y-%m-%dT%H:%M:%fZ', ended_at / 1000.0, 'unixepoch') AS endedAt, version, pool, primaries, listen, durability = 'import' AS imported FROM recording ORDER BY id`,
  losses: `SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at, recording, reason, count, detail FROM loss ORDER BY id`,
} as const;

/** A list: its statement but for the place of the page, the column that orders it, and what the filter binds. */
export interface Listing {
  sql: string;
  cursor: string;
  values: ReadonlyArray<string | number>;
  reverse: boolean;
  limit: number;
}

interface Order {
  reverse?: boolean;
  limit?: number;
}

function listing(
  select: string,
  cursor: string,
  order: Order,
  conditions: ReadonlyArray<[string, Array<string | number>] | null>,
): Listing {
  const used = conditions.filter(condition => condition !== null);
  return {
    sql: `${select} WHERE ${['1', ...used.map(([sql]) => sql)].join(' AND ')}`,
    cursor,
    values: used.flatMap(([, values]) => values),
    reverse: order.reverse ?? false,
    limit: order.limit ?? Number.POSITIVE_INFINITY,
  };
}

/** A condition on one value, none when the filter has not got it. */
function where(sql: string, value: string | number | undefined): [string, Array<string | number>] | null {
  return value === undefined ? null : [sql, [value]];
}

/** The rows of a view that a filter wants; the filter asks the table behind it. */
function matching(filter: Filter | null | undefined, subject: Subject): [string, Array<string | number>] | null {
  if (filter === null || filter === undefined) return null;
  const { sql, values } = conditionOf(filter, subject);
  const alias = ALIASES[subject];
  return [`EXISTS (SELECT 1 FROM ${subject} ${alias} WHERE ${alias}.id = v_${subject}.id AND ${sql})`, [...values]];
}

export function runListing(filter: RunFilter): Listing {
  const ended = filter.ended === undefined ? null : filter.ended ? '"end" IS NOT NULL' : '"end" IS NULL';
  return listing(RUN, 'id', filter, [
    where('certname = +?', filter.certname),
    where('started_at >= +?', filter.since),
    ended === null ? null : [ended, []],
    where('id > +?', filter.after),
    where('id < +?', filter.before),
    matching(filter.match, 'run'),
  ]);
}

export function exchangeListing(filter: ExchangeFilter): Listing {
  const connection = filter.connection;
  return listing(EXCHANGE, filter.run === undefined ? 'id' : 'n', filter, [
    where('run = +?', filter.run),
    where('started_at >= +?', filter.since),
    where('phase = +?', filter.phase),
    // what it is tells whether the index of what went wrong has it
    where('status = ?', filter.status),
    where('outcome = ?', filter.outcome),
    where('certname = +?', filter.certname),
    connection === undefined ? null : ['(agent_connection = +? OR primary_connection = +?)', [connection, connection]],
    where('id > +?', filter.after),
    where('id < +?', filter.before),
    where('id IN (SELECT value FROM json_each(?))', filter.ids && JSON.stringify(filter.ids)),
    matching(filter.match, 'exchange'),
  ]);
}

export function connectionListing(filter: ConnectionFilter): Listing {
  return listing(CONNECTION, 'id', filter, [
    where('id IN (SELECT connection FROM run_connection WHERE run = +?)', filter.run),
    where('opened_at >= +?', filter.since),
    where('leg = +?', filter.leg),
    where('certname = +?', filter.certname),
    where('id > +?', filter.after),
    where('id < +?', filter.before),
    matching(filter.match, 'connection'),
  ]);
}

export function findingListing(filter: FindingFilter): Listing {
  return listing(FINDING, 'id', filter, [
    filter.run === null ? ['run IS NULL', []] : where('run = +?', filter.run),
    where('at >= +?', filter.since),
    where('severity = +?', filter.severity),
    where('rule = +?', filter.rule),
    matching(filter.match, 'finding'),
  ]);
}
