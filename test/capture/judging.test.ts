import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { createJudging } from '../../src/capture/findings-derivation.ts';
import { FACT_SQL, JUDGING_SQL } from '../../src/capture/findings-statements.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import { agent, closing, open, tempDir } from './rig.ts';

test('connections that were closed well are looked at once, also by whoever goes on', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send('GET /status/v1/simple');
  line.close();
  await recorder.close();
  using db = closing(new Database(file));
  const columns = db.prepare<[], string>("SELECT name FROM pragma_table_info('connection')").pluck().all();
  /** Closes a connection like that one, which failed or not. */
  const close = db.prepare<{ seq: number; error: string | null }>(
    `INSERT INTO connection (${columns.join(', ')}) SELECT ${columns
      .map(column => (column === 'id' || column === 'closed_seq' ? ':seq' : column === 'error' ? ':error' : column))
      .join(', ')} FROM connection WHERE id = 1`,
  );
  const error = 'tlsv1 alert unknown ca (alert 48)';
  const apply = createApplyDerived(db);
  /** What was written: in which table, and of a mark where. */
  const step = (judging: ReturnType<typeof createJudging>): unknown => {
    const writes = judging.step(Number.POSITIVE_INFINITY);
    if (writes !== null) apply({ writes, seq: null, settled: false });
    return writes?.map(([table, seq]) => `${table} ${seq}`);
  };
  const judging = createJudging(db, file);
  while (step(judging) !== undefined);
  db.transaction(() => {
    for (let seq = 1_000; seq < 21_000; seq += 1) close.run({ seq, error: null });
  })();
  expect(step(judging)).toEqual(['judged connections 20999']);
  expect(step(judging)).toBe(undefined);
  close.run({ seq: 21_000, error: null });
  expect(step(judging)).toBe(undefined);
  close.run({ seq: 21_001, error });
  expect(step(judging)).toEqual(['finding null', 'judged connections 21001']);
  expect(step(judging)).toBe(undefined);
  expect(step(createJudging(db, file))).toBe(undefined);
});

test('no statement is planned anew each time that it is given values', () => {
  const statements = [...Object.values(FACT_SQL), ...Object.values(JUDGING_SQL)].map(sql =>
    typeof sql === 'string' ? sql : sql(3),
  );
  for (const sql of statements) expect(sql).not.toMatch(/(?<!\+)\?/);
});
