import type { Database } from 'better-sqlite3';
import { judge } from '../analysis/findings/registry.ts';
import { addressOf, causeOf, type FailedBefore, judgeConnection, untrustedTls } from '../analysis/findings/untrusted-tls.ts';
import { PAUSE_MS } from './announce.ts';
import { factsReader } from './findings-facts.ts';
import { clearingFindings, JUDGING_SQL } from './findings-statements.ts';
import type { DerivedWrite } from './messages.ts';
import { createStore } from './reading.ts';

/** Addresses of one recording that have a finding of their own: anybody may connect. */
const SUBJECTS = 1_000;

/** Failed connections that are passed over in one step, at most. */
const STEP_CONNECTIONS = 64;

/** After so many closings that were no failures the mark is written: whoever goes on need not look at them again. */
const MARK_CONNECTIONS = 10_000;

/**
 * Lets the rules look at runs that have ended, one at a time, and at agents' connections that failed. It only reads; whoever owns the file
 * writes what it gives, in one transaction with the mark that it is done.
 */
export interface Judging {
  /**
   * The next rows, `null` when there is nothing to judge. Bodies have to be decoded before.
   *
   * @param now ms since the epoch; `Infinity` when nothing can follow
   */
  step(now: number): DerivedWrite[] | null;
}

interface FailedRow {
  seq: number;
  recording: number;
  id: number;
  closedAt: number;
}

/** Evidence of an earlier finding of the same address, as it is stored. */
interface StoredEvidence {
  connections: number[];
  figures: { cause?: unknown; connections?: unknown; otherCause?: unknown; otherConnections?: unknown };
}

export function createJudging(db: Database, file: string): Judging {
  const store = createStore(db, file);
  const factsOf = factsReader(db, store);
  const next = db.prepare<[number, number], { id: number; recording: number }>(JUDGING_SQL.next);
  const failed = db.prepare<[number], FailedRow>(JUDGING_SQL.failed);
  const known = db.prepare<[string, number, string], string>(JUDGING_SQL.ofConnection).pluck();
  const subjects = db.prepare<[number], number>(JUDGING_SQL.subjects).pluck();
  const lastClosed = db.prepare<[], number>(JUDGING_SQL.lastClosed).pluck();
  let seq = db.prepare<[], number>(JUDGING_SQL.mark).pluck().get() ?? 0;
  /** Up to here there is no other failure after `seq`. */
  let looked = seq;

  function judged({ id, recording }: { id: number; recording: number }): DerivedWrite[] {
    const facts = factsOf(id);
    const done: DerivedWrite = ['judged', id];
    if (facts === null) return [done];
    const { found, notes } = judge(facts);
    const at = Date.parse(facts.run.endedAt ?? facts.run.startedAt);
    return [
      ...clearingFindings(id),
      ...found.map(
        ({ rule, severity, summary, fix, evidence }): DerivedWrite => [
          'finding',
          ...[id, recording, rule, severity, facts.run.certname, at, summary, fix, JSON.stringify(evidence)],
        ],
      ),
      ...notes.map(({ rule, text }): DerivedWrite => ['finding note', id, rule, text]),
      done,
    ];
  }

  function ofConnection({ recording, id, closedAt }: FailedRow): DerivedWrite | null {
    const connection = store.connection(id);
    const cause = connection === null ? null : causeOf(connection);
    if (connection === null || cause === null) return null;
    const subject = addressOf(connection);
    const rule = untrustedTls.id;
    const stored = known.get(rule, recording, subject);
    if (stored === undefined && (subjects.get(recording) ?? 0) >= SUBJECTS) return null;
    const before = stored === undefined ? null : failedBefore(JSON.parse(stored) as StoredEvidence);
    const { severity, summary, fix, evidence } = judgeConnection(connection, cause, before);
    return ['finding', null, recording, rule, severity, subject, closedAt, summary, fix, JSON.stringify(evidence)];
  }

  return {
    step(now) {
      const run = next.get(now - PAUSE_MS, now + PAUSE_MS);
      if (run !== undefined) return judged(run);
      const last = lastClosed.get() ?? 0; // before the failures are asked for, of which none comes below it later
      for (let n = 0; n < STEP_CONNECTIONS; n += 1) {
        const connection = failed.get(Math.max(seq, looked));
        if (connection === undefined) {
          looked = Math.max(looked, last);
          if (n === 0 && looked - seq < MARK_CONNECTIONS) return null;
          seq = looked;
          break;
        }
        seq = connection.seq;
        const write = ofConnection(connection);
        // One at a time: the next one of the same address builds on what this one left.
        if (write !== null) return [write, ['judged connections', seq]];
      }
      return [['judged connections', seq]];
    },
  };
}

function failedBefore({ connections, figures }: StoredEvidence): FailedBefore {
  const other = figures.otherCause;
  return {
    connections,
    cause: String(figures.cause),
    count: Number(figures.connections),
    other: other === undefined ? null : { cause: String(other), count: Number(figures.otherConnections) },
  };
}
