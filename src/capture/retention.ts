import type { Database } from 'better-sqlite3';
import { clearing } from './decoded-statements.ts';
import { createListRemoval } from './list-removal.ts';
import type { DerivedWrite } from './messages.ts';
import type { Retain } from './retain.ts';
import { RETENTION_SQL } from './retention-sql.ts';

/** Rows that one transaction deletes at most: exchanges that end meanwhile wait for it, some milliseconds. */
const STEP_ROWS = 200;

/** Pieces of a large body (256 KiB each) that one transaction deletes at most. */
const STEP_CHUNKS = 8;

/** Free space that one transaction gives back to the file system at most. */
const STEP_BYTES = 1 << 20;

/** A run that ended may yet go on (its report came late); after this time it is left alone by whoever folds runs. */
const QUIET_MS = 60_000;

/** What belongs to no run may yet find one: an agent's first exchanges are held for two minutes (analysis/bootstrap.ts). */
const LOOSE_MS = 300_000;

/**
 * Deletes the oldest runs in small steps, for whoever owns the file. The newest run always stays. What was deleted is counted in the
 * table `loss`, as `retained`.
 */
export interface Retention {
  /**
   * One short transaction. @returns whether there is more to do
   * @throws SqliteError; nothing is deleted then
   */
  step(now: number): boolean;
}

interface Victim {
  id: number;
  lastSeq: number | null;
}

export interface RetentionHooks {
  /** Runs a statement of DECODED_SQL. */
  write(row: DerivedWrite): void;
  /** Bodies or fields may have been deleted whose ids somebody remembers. */
  forget(): void;
}

export function createRetention(db: Database, recording: number, retain: Retain, { write, forget }: RetentionHooks): Retention {
  db.exec(RETENTION_SQL.indexes);
  const oldest = db.prepare<[number], { id: number; endedAt: number }>(RETENTION_SQL.oldest);
  const lastSeq = db.prepare<[number], number | null>(RETENTION_SQL.lastSeq).pluck();
  const runCount = db.prepare<[], number>(RETENTION_SQL.runCount).pluck();
  const decoded = db.prepare<[], number>(RETENTION_SQL.decoded).pluck();
  const exchangesOf = db.prepare<[number, number], number>(RETENTION_SQL.exchangesOf).pluck();
  const loose = db.prepare<[before: number, endedBefore: number], number>(RETENTION_SQL.loose).pluck();
  const firstKept = db.prepare<[], { exchange: number; startedAt: number }>(RETENTION_SQL.firstKept);
  const partsOf = db.prepare<[number], Record<string, number | null>>(RETENTION_SQL.partsOf);
  const removeLists = createListRemoval(db, STEP_ROWS);
  const deleteExchange = RETENTION_SQL.deleteExchange.map(sql => db.prepare<[number]>(sql));
  const deleteRun = RETENTION_SQL.deleteRun.map(sql => db.prepare<[number]>(sql));
  const bodyUsed = db.prepare<[{ id: number }], number>(RETENTION_SQL.bodyUsed).pluck();
  const bodiesAfter = db.prepare<[after: number, upTo: number, limit: number], number>(RETENTION_SQL.bodiesAfter).pluck();
  const fieldsUsed = db.prepare<[{ id: number }], number>(RETENTION_SQL.fieldsUsed).pluck();
  const routeOf = db.prepare<[number], number>(RETENTION_SQL.routeOf).pluck();
  const deleteRoute = db.prepare<[{ id: number }]>(RETENTION_SQL.deleteRoute);
  const templateOf = db.prepare<[number], number>(RETENTION_SQL.templateOf).pluck();
  const deleteFields = db.prepare<[number]>(RETENTION_SQL.deleteFields);
  const deleteTemplate = db.prepare<[{ id: number }]>(RETENTION_SQL.deleteTemplate);
  const deleteChunks = db.prepare<[number, number]>(RETENTION_SQL.deleteChunks);
  const bodyMoves = db.prepare<[{ id: number }]>(RETENTION_SQL.bodyMoves);
  const hideBody = db.prepare<[number]>(RETENTION_SQL.hideBody);
  const dictionaryOf = db.prepare<[number], number>(RETENTION_SQL.dictionaryOf).pluck();
  const deleteBody = db.prepare<[number]>(RETENTION_SQL.deleteBody);
  const oldConnections = db.prepare<[number, number]>(RETENTION_SQL.deleteConnections);
  const counted = db.prepare<[number, number]>(RETENTION_SQL.counted);
  const count = db.prepare<[number, number]>(RETENTION_SQL.count);

  /** Bodies of deleted exchanges that nothing refers to any more. */
  const orphans: number[] = [];
  /** Where the search for bodies is that an earlier proxy left when it ended in the middle; once, up to the last that was there at the start. */
  let swept = 0;
  const sweepTo = db.prepare<[], number>(RETENTION_SQL.lastBody).pluck().get() ?? 0;
  let victim: Victim | null = null;

  function used(): number {
    const pragma = (name: string): number => Number(db.pragma(name, { simple: true }));
    return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size');
  }

  function nextVictim(now: number): Victim | null {
    const run = oldest.get(now - QUIET_MS);
    const runs = runCount.get() ?? 0;
    if (run === undefined || runs < 2) return null;
    const tooMany = retain.runs !== undefined && runs > retain.runs;
    const tooOld = retain.ageMs !== undefined && run.endedAt < now - retain.ageMs;
    if (!tooMany && !tooOld && !(retain.bytes !== undefined && used() > retain.bytes)) return null;
    const seq = lastSeq.get(run.id) ?? null;
    return seq !== null && seq > (decoded.get() ?? 0) ? null : { id: run.id, lastSeq: seq }; // its bodies are being decoded
  }

  /** @returns whether the exchange is gone; when not, a part of its rows is */
  function removeExchange(id: number): boolean {
    if (!removeLists('exchange', id)) return false;
    const parts = partsOf.get(id) ?? {};
    const ids = (names: readonly string[]): number[] => [
      ...new Set(names.map(name => parts[name]).filter(part => typeof part === 'number')),
    ];
    for (const row of clearing(id, [])) write(row);
    const route = routeOf.get(id);
    for (const statement of deleteExchange) statement.run(id);
    if (route !== undefined) deleteRoute.run({ id: route });
    for (const fields of ids(['requestFields', 'responseFields', 'trailers'])) {
      if (fieldsUsed.get({ id: fields }) !== undefined) continue;
      const template = templateOf.get(fields);
      deleteFields.run(fields);
      if (template !== undefined) deleteTemplate.run({ id: template });
    }
    orphans.push(...ids(['requestBody', 'responseBody', 'primaryRequestBody', 'primaryResponseBody']));
    return true;
  }

  function removeExchanges(ids: readonly number[]): void {
    const until = performance.now() + 5;
    for (const id of ids) if (!removeExchange(id) || performance.now() > until) break;
    forget();
  }

  function removeBody(id: number): boolean {
    if (bodyUsed.get({ id }) !== undefined) {
      bodyMoves.run({ id });
      return true;
    }
    if (deleteChunks.run(id, STEP_CHUNKS).changes === STEP_CHUNKS || !removeLists('body', id)) {
      hideBody.run(id); // the same bytes may come before the next step: they are stored anew
      return false;
    }
    for (const row of clearing(0, [id])) if (row[1] === id) write(row);
    const dictionary = dictionaryOf.get(id);
    deleteBody.run(id);
    if (dictionary !== undefined) orphans.unshift(dictionary);
    return true;
  }

  function removeBodies(): void {
    const until = performance.now() + 5;
    while (orphans.length > 0 && performance.now() < until) {
      if (removeBody(orphans.at(-1)!)) orphans.pop();
    }
    forget();
  }

  function sweep(): void {
    const ids = bodiesAfter.all(swept, sweepTo, STEP_ROWS);
    orphans.push(...ids.filter(id => bodyUsed.get({ id }) === undefined));
    swept = ids.at(-1) ?? sweepTo;
  }

  function removeRun(id: number): void {
    for (const statement of deleteRun) statement.run(id);
    if (counted.run(Date.now(), recording).changes === 0) count.run(recording, Date.now());
    victim = null;
  }

  /** What belongs to no run, and is older than the oldest one that is kept. */
  function removeLoose(now: number): boolean {
    const kept = firstKept.get();
    if (kept === undefined) return false;
    const ids = loose.all(kept.exchange, now - LOOSE_MS);
    if (ids.length > 0) {
      removeExchanges(ids);
      return true;
    }
    return oldConnections.run(kept.startedAt, STEP_ROWS).changes > 0;
  }

  let tidy = false;
  const stepPages = STEP_BYTES / Number(db.pragma('page_size', { simple: true }));

  function work(now: number): boolean {
    if (orphans.length > 0) {
      removeBodies();
      return true;
    }
    victim ??= nextVictim(now);
    if (victim !== null) {
      const ids = exchangesOf.all(victim.id, STEP_ROWS);
      if (ids.length > 0) removeExchanges(ids);
      else removeRun(victim.id);
      tidy = true;
      return true;
    }
    if (swept < sweepTo) {
      sweep();
      tidy ||= orphans.length > 0;
      return true;
    }
    if (!tidy) return false;
    if (removeLoose(now)) return true;
    if (Number(db.pragma('freelist_count', { simple: true })) > stepPages) {
      db.pragma(`incremental_vacuum(${stepPages})`);
      return true;
    }
    tidy = false;
    return false;
  }

  return {
    step(now) {
      const before = [...orphans];
      const sweptBefore = swept;
      try {
        return db.transaction(work).immediate(now);
      } catch (error) {
        orphans.splice(0, orphans.length, ...before);
        swept = sweptBefore;
        victim = null;
        forget();
        throw error;
      }
    },
  };
}
