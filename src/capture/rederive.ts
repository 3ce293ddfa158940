import Database from 'better-sqlite3';
import { openForWriting } from './database.ts';
import { createBodyDecoding, redecodeRun } from './decoded-derivation.ts';
import { CLEAR_DECODED_SQL } from './decoded-statements.ts';
import { createDerivation } from './derive.ts';
import { createJudging } from './findings-derivation.ts';
import { JUDGING_SQL } from './findings-statements.ts';
import { createApplyDerived } from './log.ts';
import { migrate } from './migrations.ts';
import { CLEAR_DERIVED_SQL } from './statements.ts';

/**
 * Folds what a recording that was cut off (`kill -9`, power) left behind; when it is settled already nothing happens.
 * @param bodies also decodes the bodies that are not yet, and lets the rules look at runs that they have not seen
 * @throws CaptureError when the file cannot be written, or another process writes it
 */
export function catchUp(file: string, bodies: boolean): void {
  const owned = openForWriting(file, 0);
  try {
    deriveAll(owned.db);
    if (bodies) {
      decodeAll(owned.db);
      judgeAll(owned.db, file);
    }
  } finally {
    owned.close();
  }
}

/**
 * Builds every derived row again from what was captured, with the decoders of this program.
 * @returns how many runs there are
 * @throws CaptureError when the file cannot be written, or another process writes it
 */
export function rederive(file: string): number {
  const owned = openForWriting(file, 0);
  try {
    owned.db.transaction(() => clear(owned.db))();
    deriveAll(owned.db);
    decodeAll(owned.db);
    judgeAll(owned.db, file);
    return owned.db.prepare<[], number>('SELECT count(*) FROM run').pluck().get() ?? 0;
  } finally {
    owned.close();
  }
}

/**
 * Decodes the bodies of one run again.
 * @returns how many exchanges it has, 0 when there is no such run
 * @throws CaptureError when the file cannot be written, or another process writes it
 */
export function redecode(file: string, run: number): number {
  const owned = openForWriting(file, 0);
  try {
    deriveAll(owned.db);
    decodeAll(owned.db);
    const apply = owned.db.transaction(createApplyDerived(owned.db));
    const exchanges = redecodeRun(owned.db, run, writes => apply({ writes, seq: null, settled: false }));
    owned.db.prepare<[number]>(JUDGING_SQL.again).run(run);
    judgeAll(owned.db, file);
    return exchanges;
  } finally {
    owned.close();
  }
}

/** As this program makes them: names and SQL in the file may be a stranger's. */
function ownTriggers(): { name: string; sql: string }[] {
  const own = new Database(':memory:');
  try {
    migrate(own, own.name);
    return own.prepare<[], { name: string; sql: string }>(CLEAR_DECODED_SQL.triggers).all();
  } finally {
    own.close();
  }
}

function clear(db: Database.Database): void {
  const triggers = ownTriggers();
  for (const { name } of triggers) db.exec(CLEAR_DECODED_SQL.dropTrigger(name));
  db.exec(CLEAR_DECODED_SQL.rows);
  for (const { sql } of triggers) db.exec(sql);
  db.exec(JUDGING_SQL.clear);
  db.exec(CLEAR_DERIVED_SQL);
}

function decodeAll(db: Database.Database): void {
  const decoding = createBodyDecoding(db);
  const apply = db.transaction(createApplyDerived(db));
  for (let writes = decoding.step(Number.MAX_SAFE_INTEGER); writes !== null; writes = decoding.step(Number.MAX_SAFE_INTEGER)) {
    apply({ writes, seq: null, settled: false });
  }
}

function deriveAll(db: Database.Database): void {
  const derivation = createDerivation(db);
  const apply = db.transaction(createApplyDerived(db));
  for (let step = derivation.step(); step !== null; step = derivation.step()) apply(step.derived);
  if (!derivation.settled) apply(derivation.settle().derived);
}

/** Lets the rules look at every run that they have not seen as it is. */
function judgeAll(db: Database.Database, file: string): void {
  const judging = createJudging(db, file);
  const apply = db.transaction(createApplyDerived(db));
  let before = '';
  for (let writes = judging.step(Number.POSITIVE_INFINITY); writes !== null; writes = judging.step(Number.POSITIVE_INFINITY)) {
    const mark = JSON.stringify(writes.at(-1));
    if (mark === before) return; // the mark was not taken: it would go on for ever
    before = mark;
    apply({ writes, seq: null, settled: false });
  }
}
