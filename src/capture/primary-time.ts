import type { Database } from 'better-sqlite3';
import type { AccessEntry } from '../decode/access-line.ts';
import { openBeside, openForReading } from './database.ts';

/** What the primary's own log says of an exchange. */
export interface PrimaryTime {
  exchange: number;
  /** End of the answer by the primary's clock. */
  at: string;
  /** From the request's head to the answer's end, at the primary. */
  tookMs: number;
  /** How long a JRuby instance was held for it: compiling, reading files. `null` when none was, or the log does not say. */
  borrowMs: number | null;
  /** The rest: waiting for an instance, reading the request, sending the answer. `null` as above. */
  otherMs: number | null;
  /** How far the primary's clock is ahead of ours. */
  offsetMs: number;
}

/** What became of a log. */
export interface Joined {
  /** Requests in the log. */
  requests: number;
  matched: number;
  /** Exchanges that the primary answered. */
  exchanges: number;
  /** How far the primary's clock is ahead, as the matches say; `null` when there are none. */
  offsetMs: number | null;
  /** Of the matched: with the time that a JRuby instance was held. */
  withBorrow: number;
}

const SQL = {
  read: `SELECT exchange, at, took_ms AS tookMs, borrow_ms AS borrowMs, other_ms AS otherMs, offset_ms AS offsetMs FROM v_primary_time
    WHERE exchange IN (SELECT exchange FROM run_exchange WHERE run = :run UNION ALL SELECT value FROM json_each(:exchanges))`,
  /** In a table of its own, on disk if it is large: what was sent upstream, by what was asked. */
  asked: `PRAGMA temp_store = FILE; CREATE TEMP TABLE asked AS SELECT id, method, target, coalesce(primary_status, status) AS status, certname,
      started_at + end_mono - start_mono AS ended, end_mono - start_mono AS took, 0 AS taken
    FROM exchange WHERE primary_connection IS NOT NULL AND status IS NOT NULL;
    CREATE INDEX temp.asked_by ON asked (target, method, status, ended);
    CREATE TEMP TABLE question AS SELECT target, method, status, 0 AS lines FROM asked GROUP BY 1, 2, 3;
    CREATE UNIQUE INDEX temp.question_by ON question (target, method, status);
    CREATE TEMP TABLE telling (id INTEGER PRIMARY KEY)`,
  count: 'SELECT count(*) FROM temp.asked',
  line: 'UPDATE temp.question SET lines = lines + 1 WHERE target = ? AND method = ? AND status = ?',
  rarest: `SELECT id, lines FROM temp.question JOIN temp.asked USING (target, method, status) WHERE lines > 0 ORDER BY lines, id LIMIT 500`,
  tell: 'INSERT INTO temp.telling VALUES (?)',
  /** Any of them, for the clocks are not known yet. */
  like: `SELECT id, ended FROM temp.asked WHERE target = ? AND method = ? AND status = ? AND ended BETWEEN ? AND ? AND took >= ?
    AND id IN temp.telling`,
  /** Within the log's second nothing is nearer than another; then it is the first: the log is in the order of the answers' ends. */
  near: `SELECT id FROM temp.asked WHERE target = :target AND method = :method AND status = :status AND taken = 0
    AND ended BETWEEN :at - :window AND :at + :window AND took >= :took - :slack
    AND (:user IS NULL OR certname IS NULL OR certname = :user) ORDER BY max(abs(ended - :at) - 600, 0), ended LIMIT 1`,
  take: 'UPDATE temp.asked SET taken = 1 WHERE id = ?',
  insert: 'INSERT OR REPLACE INTO primary_time (exchange, at, took_ms, borrow_ms, offset_ms) VALUES (?, ?, ?, ?, ?)',
} as const;

/** Makes the function that reads what was joined of a run, or of some exchanges, by exchange. */
export function createPrimaryTimes(
  db: Database,
): (filter: { run: number } | { exchanges: readonly number[] }) => Map<number, PrimaryTime> {
  const read = db.prepare<[{ run: number | null; exchanges: string }], PrimaryTime>(SQL.read);
  return filter => {
    const wanted =
      'run' in filter ? { run: filter.run, exchanges: '[]' } : { run: null, exchanges: JSON.stringify(filter.exchanges) };
    return new Map(read.all(wanted).map(row => [row.exchange, row]));
  };
}

/** Clocks that differ by more than this are not looked for. */
const OFFSET_MS = 26 * 3_600_000;

/** A line and its exchange end this far apart at most, clocks aligned: the log has whole seconds, and clocks drift. */
const WINDOW_MS = 2500;

/** The primary's time is within ours; its clock ticks in milliseconds, and its log may be late. */
const SLACK_MS = 100;

/** Rows of one write transaction: a proxy that writes the capture waits for it. */
const BATCH = 200;

/**
 * Finds the exchange of each line of a primary's log, by method, target, status, time and, where it is told, certname. Read three times: what
 * is rare, how far the clocks are apart, which is which.
 *
 * @param read gives the log's entries from its start, each time it is called
 * @throws CaptureError
 */
export function joinAccessLog(file: string, read: () => Iterable<AccessEntry>): Joined {
  const db = openForReading(file);
  try {
    db.exec(SQL.asked);
    const exchanges = db.prepare<[], number>(SQL.count).pluck().get() ?? 0;
    const { offsetMs, requests } = offsetOf(db, read);
    const joined: Joined = { requests, matched: 0, exchanges, offsetMs, withBorrow: 0 };
    if (offsetMs === null) return joined;
    const near = db.prepare<[Record<string, string | number | null>], number>(SQL.near).pluck();
    const take = db.prepare<[number]>(SQL.take);
    let batch: Array<Array<number | null>> = [];
    const flush = (): void => {
      const rows = batch;
      batch = [];
      if (rows.length === 0) return;
      openBeside(file, to => {
        const insert = to.prepare<Array<number | null>>(SQL.insert);
        for (const row of rows) insert.run(...row);
      });
    };
    for (const { user, at, method, target, status, tookMs, borrowMs } of read()) {
      const wanted = { user, at: at - offsetMs, method, target, status, took: tookMs, window: WINDOW_MS, slack: SLACK_MS };
      const id = near.get(wanted);
      if (id === undefined) continue;
      take.run(id);
      joined.matched += 1;
      if (borrowMs !== null) joined.withBorrow += 1;
      batch.push([id, at, tookMs, borrowMs, offsetMs]);
      if (batch.length >= BATCH) flush();
    }
    flush();
    return joined;
  } finally {
    db.close();
  }
}

/** Pairs of a line and an exchange that are held to find how far the clocks are apart, some 100 bytes each. */
const MAX_PAIRS = 500_000;

/**
 * How far the primary's clock is ahead: by so much that most exchanges find a line that ended with them, to the second. An exchange counts
 * once, however many lines fit: a busy primary is asked for the same files by other agents at any time. The exchanges that tell most are
 * looked at, those whose question is the rarest in the log; of two answers that are equally good, the clocks agree better.
 */
function offsetOf(db: Database, read: () => Iterable<AccessEntry>): { offsetMs: number | null; requests: number } {
  let requests = 0;
  const line = db.prepare<[string, string, number]>(SQL.line);
  for (const { target, method, status } of read()) {
    requests += 1;
    line.run(target, method, status);
  }
  const tell = db.prepare<[number]>(SQL.tell);
  let pairs = 0;
  for (const { id, lines } of db.prepare<[], { id: number; lines: number }>(SQL.rarest).all()) {
    if (pairs > 0 && pairs + lines > MAX_PAIRS) break;
    pairs += lines;
    tell.run(id);
  }
  const like = db.prepare<Array<string | number>, { id: number; ended: number }>(SQL.like);
  /** By the second: exchange → ms that its line is ahead. */
  const votes = new Map<number, Map<number, number>>();
  for (const { at, method, target, status, tookMs } of read()) {
    for (const { id, ended } of like.all(target, method, status, at - OFFSET_MS, at + OFFSET_MS, tookMs - SLACK_MS)) {
      const second = Math.round((at - ended) / 1000);
      const those = votes.get(second);
      if (those === undefined) votes.set(second, new Map([[id, at - ended]]));
      else those.set(id, at - ended);
    }
  }
  let best = new Map<number, number>();
  for (const second of [...votes.keys()].sort((a, b) => Math.abs(a) - Math.abs(b))) {
    // a clock of whole seconds spreads over two
    const near = new Map([second - 1, second + 1, second].flatMap(key => [...(votes.get(key) ?? [])]));
    if (near.size > best.size) best = near;
  }
  if (best.size === 0) return { offsetMs: null, requests };
  return { offsetMs: [...best.values()].reduce((sum, ahead) => sum + ahead, 0) / best.size, requests };
}
