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
    WHERE exchange IN (SELECT exchange FROM run_exchange WHERE run = :run) OR exchange = :exchange`,
  /** In a table of its own, on disk if it is large: what was sent upstream, by what was asked. */
  asked: `PRAGMA temp_store = FILE; CREATE TEMP TABLE asked AS SELECT id, method, target, coalesce(primary_status, status) AS status, certname,
      started_at + end_mono - start_mono AS ended, end_mono - start_mono AS took, 0 AS taken
    FROM exchange WHERE primary_connection IS NOT NULL AND status IS NOT NULL;
    CREATE INDEX temp.asked_by ON asked (target, method, status, ended)`,
  count: 'SELECT count(*) FROM temp.asked',
  /** Any of them, for the clocks are not known yet. */
  like: `SELECT ended FROM temp.asked WHERE target = ? AND method = ? AND status = ? AND ended BETWEEN ? AND ? AND took >= ? ORDER BY ended LIMIT 50`,
  /** Within the log's second nothing is nearer than another; then it is the first: the log is in the order of the answers' ends. */
  near: `SELECT id FROM temp.asked WHERE target = :target AND method = :method AND status = :status AND taken = 0
    AND ended BETWEEN :at - :window AND :at + :window AND took >= :took - :slack
    AND (:user IS NULL OR certname IS NULL OR certname = :user) ORDER BY max(abs(ended - :at) - 600, 0), ended LIMIT 1`,
  take: 'UPDATE temp.asked SET taken = 1 WHERE id = ?',
  insert: 'INSERT OR REPLACE INTO primary_time (exchange, at, took_ms, borrow_ms, offset_ms) VALUES (?, ?, ?, ?, ?)',
} as const;

export function readPrimaryTimes(db: Database, filter: { run: number } | { exchange: number }): Map<number, PrimaryTime> {
  const wanted = { run: null, exchange: null, ...filter };
  const rows = db.prepare<[typeof wanted], PrimaryTime>(SQL.read).all(wanted);
  return new Map(rows.map(row => [row.exchange, row]));
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
 * Finds the exchange of each line of a primary's log, by method, target, status, time and, where it is told, certname. Read twice: first how
 * far the clocks are apart, then which is which.
 *
 * @param read gives the log's entries from its start, each time it is called
 * @throws CaptureError
 */
export function joinAccessLog(file: string, read: () => Iterable<AccessEntry>): Joined {
  const db = openForReading(file);
  try {
    db.exec(SQL.asked);
    const exchanges = db.prepare<[], number>(SQL.count).pluck().get() ?? 0;
    const { offsetMs, requests } = offsetOf(db, read());
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

/**
 * How far the primary's clock is ahead. Each line votes for every exchange that asked the same; what most agree on, to the second, is the
 * offset: others are spread over time.
 */
function offsetOf(db: Database, entries: Iterable<AccessEntry>): { offsetMs: number | null; requests: number } {
  const like = db.prepare<Array<string | number>, number>(SQL.like).pluck();
  const votes = new Map<number, { weight: number; sum: number }>();
  let requests = 0;
  for (const { at, method, target, status, tookMs } of entries) {
    requests += 1;
    const ends = like.all(target, method, status, at - OFFSET_MS, at + OFFSET_MS, tookMs - SLACK_MS);
    for (const end of ends) {
      const weight = 1 / ends.length ** 3; // what was asked once says most
      const second = Math.round((at - end) / 1000);
      const vote = votes.get(second) ?? { weight: 0, sum: 0 };
      vote.weight += weight;
      vote.sum += weight * (at - end);
      votes.set(second, vote);
    }
  }
  let best: { weight: number; offsetMs: number } | null = null;
  for (const second of [...votes.keys()].sort((a, b) => Math.abs(a) - Math.abs(b))) {
    // a clock of whole seconds spreads over two
    const near = [second - 1, second, second + 1].flatMap(key => votes.get(key) ?? []);
    const weight = near.reduce((sum, vote) => sum + vote.weight, 0);
    if (best === null || weight > best.weight * 1.000001) {
      best = { weight, offsetMs: near.reduce((sum, vote) => sum + vote.sum, 0) / weight };
    }
  }
  return { offsetMs: best?.offsetMs ?? null, requests };
}
