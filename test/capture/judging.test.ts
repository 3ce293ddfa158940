import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { createJudging } from '../../src/capture/findings-derivation.ts';
import { FACT_SQL, JUDGING_SQL } from '../../src/capture/findings-statements.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import type { DerivedWrite } from '../../src/capture/messages.ts';
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

test('what was found of a run that is deleted meanwhile is not written', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send('GET /status/v1/simple');
  line.close();
  await recorder.close();
  using db = closing(new Database(file));
  const apply = createApplyDerived(db);
  const found = (run: number): DerivedWrite[] => [
    ['finding', run, 1, 'a-rule', 'info', 'a.lab', 0, 'it', 'do', '{}'],
    ['finding note', run, 'a-rule', 'it threw'],
  ];
  apply({ writes: [...found(1), ...found(99)], seq: null, settled: false });
  for (const table of ['finding', 'finding_note']) {
    expect(db.prepare(`SELECT run FROM ${table} WHERE rule = 'a-rule'`).pluck().all()).toEqual([1]);
  }
});

test('a run that ended before the clock was set back is judged at once', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send('GET /puppet/v3/file_metadatas/plugins?environment=production');
  line.close();
  await recorder.close();
  using db = closing(new Database(file));
  db.exec(`UPDATE run SET judged = 0, "end" = 'connections-closed'`);
  const ended = db.prepare<[], number>('SELECT ended_at FROM run').pluck().get()!;
  const judging = createJudging(db, file);
  const judgedAt = (now: number): boolean => (judging.step(now) ?? []).some(([what]) => what === 'judged');
  expect(judgedAt(ended + 1_000)).toBe(false); // it may go on
  expect(judgedAt(ended + 6_000)).toBe(true);
  expect(judgedAt(ended - 3_600_000)).toBe(true);
  expect(judgedAt(Number.POSITIVE_INFINITY)).toBe(true);
});
