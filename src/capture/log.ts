import { statSync } from 'node:fs';
import type { Database, Statement } from 'better-sqlite3';
import { createBodies } from './bodies.ts';
import { DECODED_SQL } from './decoded-statements.ts';
import { sqliteCode } from './errors.ts';
import { createExchangeRows } from './exchange-rows.ts';
import { FINDING_SQL } from './findings-statements.ts';
import { type Batch, CUTS, type Derived, type LossCount, type WriterData } from './messages.ts';
import { PACKING_SQL } from './packing-schema.ts';
import { createRetention } from './retention.ts';
import {
  BODY_COLUMNS,
  BODY_SQL,
  CONNECTION_COLUMNS,
  DERIVED_SQL,
  EXCHANGE_COLUMNS,
  FIELDS_COLUMNS,
  LAST_SQL,
  MARK_SQL,
  type Value,
  WRITER_SQL,
} from './statements.ts';

/** Pages in the WAL after which it is copied into the file: 16 MiB. */
const CHECKPOINT_PAGES = 4096;

/** How often it is looked whether the file is still there. */
const PRESENT_MS = 1_000;

/** What writes into a capture. Each method is one transaction. */
export interface Log {
  readonly lastConnection: number;
  readonly lastExchange: number;
  readonly lastSeq: number;
  /** Writes batches in one transaction. Never throws. @returns what could not be written */
  apply(batches: readonly Batch[]): LossCount[];
  /** @returns whether the rows are in the file; a loss when they will never be, for the file is damaged where they go */
  applyDerived(derived: Derived): boolean | LossCount;
  /** Copies the WAL into the file when it has grown; for a moment in which nobody waits. */
  checkpoint(): void;
  /** Deletes a part of what is not to be kept any more, and never throws. @returns whether there is more of it */
  retain(now: number): boolean;
  /** Marks the end of the recording. */
  end(at: number): void;
}

export function createLog(db: Database, { file, recording, durability, retain, ring: shared }: WriterData): Log {
  const ring = Buffer.from(shared);
  const lastExchange = db.prepare<[], number>(LAST_SQL.exchange).pluck().get() ?? 0;
  const lastConnection = db.prepare<[], number>(LAST_SQL.connection).pluck().get() ?? 0;
  const lastSeq = db.prepare<[], number>(LAST_SQL.seq).pluck().get() ?? 0;
  db.exec(`${BODY_SQL.dropUnfinishedChunks}; ${BODY_SQL.dropUnfinished}`); // of a recording that was killed
  const { startedAt, startedMono, version, pool, primaries, listen } = recording;
  const started = db
    .prepare<Value[]>(WRITER_SQL.recording)
    .run(lastSeq + 1, startedAt, startedMono, version, pool, JSON.stringify(primaries), listen, durability);
  const recordingId = Number(started.lastInsertRowid);

  const begin = db.prepare(WRITER_SQL.begin);
  const commit = db.prepare(WRITER_SQL.commit);
  const rollback = db.prepare(WRITER_SQL.rollback);
  const rows = createExchangeRows(db);
  const markEarly = db.prepare<[number]>(WRITER_SQL.early);
  const insertFault = db.prepare<[number, string]>(WRITER_SQL.fault);
  const upsertConnection = db.prepare<[Value[]]>(WRITER_SQL.connection);
  const insertLoss = db.prepare<Value[]>(WRITER_SQL.loss);
  const applyRows = createApplyDerived(db);
  const bodies = createBodies(db);
  const retention =
    retain &&
    createRetention(db, recordingId, retain, {
      write: row => applyRows({ writes: [row], seq: null, settled: false }),
      forget: () => {
        bodies.forget();
        rows.forget();
      },
    });

  const present = presence(file);
  /** Losses that are not in the file yet. */
  let unwritten: LossCount[] = [];
  let pages = 0;

  function fieldsId(lines: Value): number | null {
    return typeof lines === 'string' ? rows.fields(lines) : null;
  }

  function writeExchange(batch: Batch, at: number, bodyIds: ReadonlyMap<number, number>): void {
    const row = batch.exchanges.slice(at, at + EXCHANGE_COLUMNS.length);
    for (let i = EXCHANGE_COLUMNS.length - FIELDS_COLUMNS; i < EXCHANGE_COLUMNS.length; i++) row[i] = fieldsId(row[i]!);
    const key = Number(row[0]) * BODY_COLUMNS.length;
    for (let side = 0; side < BODY_COLUMNS.length; side++) row.push(bodyIds.get(key + side) ?? null);
    row.push(recordingId, 0);
    rows.exchange(row);
  }

  /** @returns the rows that the schema refuses: they are lost alone, the others of the batch are not */
  function write(batch: Batch): LossCount | null {
    let rejected: LossCount | null = null;
    for (let i = 0; i < batch.parts.length; i += 3) {
      const start = batch.parts[i + 1]!;
      const length = batch.parts[i + 2]!;
      bodies.append(batch.parts[i]!, ring.subarray(start, start + length));
    }
    const bodyIds = new Map<number, number>();
    for (let i = 0; i < batch.bodies.length; i += 3) {
      const key = batch.bodies[i]!;
      const id = bodies.end(key, { size: batch.bodies[i + 1]!, cut: CUTS[batch.bodies[i + 2]!] ?? null });
      if (id !== null) bodyIds.set(key, id);
    }
    const attempt = (action: () => void): void => {
      try {
        action();
      } catch (error) {
        if (!refusesOneRow(error)) throw error;
        rejected = { reason: 'row-rejected', count: (rejected?.count ?? 0) + 1, detail: describe(error) };
      }
    };
    for (let i = 0; i < batch.connections.length; i += CONNECTION_COLUMNS.length) {
      attempt(() => upsertConnection.run([...batch.connections.slice(i, i + CONNECTION_COLUMNS.length), recordingId]));
    }
    for (let i = 0; i < batch.exchanges.length; i += EXCHANGE_COLUMNS.length) attempt(() => writeExchange(batch, i, bodyIds));
    for (const [exchange, rule] of batch.faults) attempt(() => insertFault.run(exchange, rule));
    for (const exchange of batch.drops) {
      for (let side = 0; side < BODY_COLUMNS.length; side++) bodies.drop(exchange * BODY_COLUMNS.length + side);
    }
    for (const exchange of batch.early) markEarly.run(exchange);
    return rejected;
  }

  return {
    lastConnection,
    lastExchange,
    lastSeq,
    apply(batches) {
      const losses: LossCount[] = [];
      const told = batches.flatMap(batch => batch.losses);
      try {
        begin.run();
        for (const loss of [...unwritten, ...told]) insertLoss.run(recordingId, Date.now(), loss.reason, loss.count, loss.detail);
        for (const batch of batches) {
          const rejected = write(batch);
          if (rejected !== null) losses.push(rejected);
        }
        bodies.settle();
        commit.run();
        pages += 8 + (bodies.written() >> 12);
        unwritten = losses.slice();
        const gone = present();
        if (gone !== null) losses.push({ reason: 'file-removed', count: exchangesIn(batches), detail: gone });
      } catch (error) {
        if (db.inTransaction) rollback.run();
        const { unfinished, ended } = bodiesIn(batches);
        bodies.rolledBack(unfinished, ended);
        rows.forget();
        losses.length = 0;
        losses.push({ reason: reasonOf(error), count: exchangesIn(batches), detail: describe(error) });
        unwritten = merged([...unwritten, ...told, ...losses]);
      }
      return losses;
    },
    applyDerived(derived) {
      try {
        begin.run();
        applyRows(derived);
        commit.run();
        pages += 8 + (derived.writes.length >> 1); // rows, their indexes and the full text
        return true;
      } catch (error) {
        if (db.inTransaction) rollback.run();
        const isDamaged = sqliteCode(error)?.startsWith('SQLITE_CORRUPT') === true;
        return isDamaged && { reason: 'decoder-dead', count: 1, detail: describe(error) };
      }
    },
    checkpoint() {
      if (pages < CHECKPOINT_PAGES) return;
      pages = 0;
      try {
        db.pragma('wal_checkpoint(PASSIVE)');
      } catch {
        // a full disk: the frames stay in the WAL, the next round tries again
      }
    },
    retain(now) {
      try {
        const more = retention?.step(now) ?? false;
        if (more) pages += 64;
        return more;
      } catch {
        return false; // a full disk: the next look tries again
      }
    },
    end(at) {
      for (const loss of unwritten) insertLoss.run(recordingId, at, loss.reason, loss.count, loss.detail);
      db.prepare(WRITER_SQL.recordingEnded).run(at, recordingId);
    },
  };
}

/** Makes the function that writes derived rows; called within a transaction. */
export function createApplyDerived(db: Database): (derived: Derived) => void {
  const statements = new Map<string, Statement<Value[]>>();
  const all = { ...DERIVED_SQL, ...DECODED_SQL, ...FINDING_SQL, ...PACKING_SQL };
  for (const [name, sql] of Object.entries(all)) statements.set(name, db.prepare<Value[]>(sql));
  const mark = db.prepare<[number, number]>(MARK_SQL.write);
  return derived => {
    for (const [name, ...values] of derived.writes) {
      try {
        statements.get(name)!.run(...values);
      } catch (error) {
        // What a body says may be refused by the schema; it must not be sent again and again.
        if (derived.seq !== null || !refusesOneRow(error)) throw error;
      }
    }
    if (derived.seq !== null) mark.run(derived.seq, Number(derived.settled));
  };
}

/** Tells whether the file at the path is still the one that was opened: SQLite would write on into a removed one. */
function presence(file: string): () => string | null {
  const inode = statSync(file).ino;
  let next = 0;
  let gone: string | null = null;
  return () => {
    if (gone !== null || Date.now() < next) return gone;
    next = Date.now() + PRESENT_MS;
    if (statSync(file, { throwIfNoEntry: false })?.ino !== inode) gone = `${file} was removed or replaced`;
    return gone;
  };
}

function exchangesIn(batches: readonly Batch[]): number {
  return batches.reduce((sum, batch) => sum + batch.exchanges.length / EXCHANGE_COLUMNS.length, 0);
}

/** Bodies that end in these batches, or are dropped, and those that have a part in them and go on. */
function bodiesIn(batches: readonly Batch[]): { unfinished: ReadonlySet<number>; ended: ReadonlySet<number> } {
  const unfinished = new Set<number>();
  const ended = new Set<number>();
  for (const { parts, bodies, drops } of batches) {
    for (let i = 0; i < parts.length; i += 3) unfinished.add(parts[i]!);
    for (let i = 0; i < bodies.length; i += 3) ended.add(bodies[i]!);
    for (const exchange of drops) {
      for (let side = 0; side < BODY_COLUMNS.length; side++) ended.add(exchange * BODY_COLUMNS.length + side);
    }
  }
  return { unfinished: unfinished.difference(ended), ended };
}

/** Losses of one kind become one row: on a full disk there is one for each batch. */
function merged(losses: readonly LossCount[]): LossCount[] {
  const byReason = new Map<string, LossCount>();
  for (const loss of losses) {
    const count = loss.count + (byReason.get(loss.reason)?.count ?? 0);
    byReason.set(loss.reason, { ...loss, count });
  }
  return [...byReason.values()];
}

/** A constraint, a type that the schema does not take, a text that is too long: only this statement was undone. */
function refusesOneRow(error: unknown): boolean {
  const code = sqliteCode(error);
  if (code === null) return error instanceof TypeError || error instanceof RangeError;
  return code.startsWith('SQLITE_CONSTRAINT') || code === 'SQLITE_MISMATCH' || code === 'SQLITE_TOOBIG';
}

function reasonOf(error: unknown): string {
  const code = sqliteCode(error);
  if (code === 'SQLITE_FULL') return 'disk-full';
  return code?.startsWith('SQLITE_BUSY') ? 'locked' : 'write-failed';
}

function describe(error: unknown): string {
  const code = sqliteCode(error);
  const text = error instanceof Error ? error.message : String(error);
  return (code === null ? text : `${code}: ${text}`).slice(0, 200);
}
