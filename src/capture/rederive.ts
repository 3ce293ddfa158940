import type { Database } from 'better-sqlite3';
import { openForWriting } from './database.ts';
import { createDerivation } from './derive.ts';
import { createApplyDerived } from './log.ts';
import { CLEAR_DERIVED_SQL } from './statements.ts';

/**
 * Folds what a recording that was cut off (`kill -9`, power) left behind; when it is settled already nothing happens.
 * @throws CaptureError when the file cannot be written, or another process writes it
 */
export function catchUp(file: string): void {
  const owned = openForWriting(file, 0);
  try {
    deriveAll(owned.db);
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
    owned.db.transaction(() => owned.db.exec(CLEAR_DERIVED_SQL))();
    deriveAll(owned.db);
    return owned.db.prepare<[], number>('SELECT count(*) FROM run').pluck().get() ?? 0;
  } finally {
    owned.close();
  }
}

function deriveAll(db: Database): void {
  const derivation = createDerivation(db);
  const apply = db.transaction(createApplyDerived(db));
  for (let step = derivation.step(); step !== null; step = derivation.step()) apply(step.derived);
  if (!derivation.settled) apply(derivation.settle().derived);
}
