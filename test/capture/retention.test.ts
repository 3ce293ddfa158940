import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { describe, expect, test, vi } from 'vitest';
import { createBodies } from '../../src/capture/bodies.ts';
import { createBodyReader } from '../../src/capture/body-reader.ts';
import { openForWriting } from '../../src/capture/database.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import type { DerivedWrite } from '../../src/capture/messages.ts';
import { addNote } from '../../src/capture/notes.ts';
import { createRetention } from '../../src/capture/retention.ts';
import { openStore } from '../../src/capture/store.ts';
import { retention } from '../../src/commands/options.ts';
import { agent, closing, joined, noise, open, tempDir, until } from './rig.ts';

const NODE = 'GET /puppet/v3/node/a.lab?environment=production&transaction_uuid=';
const FILE = 'GET /puppet/v3/file_content/modules/m/f?environment=production';
const REPORT = 'PUT /puppet/v3/report/a.lab?environment=production';
const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const shared = noise(50_000, 7);

/** `runs` runs that ended an hour ago, each with a file of its own, one that all share, and a report. */
async function past(file: string, runs: number, own = 400_000): Promise<void> {
  const recorder = await open(file);
  for (let n = 1; n <= runs; n++) {
    const line = agent(recorder, 'a.lab').connect();
    await line.send(`${NODE}${uuid(n)}`, { bodies: { response: Buffer.from(`{"name":"a.lab","n":${n}}`) } });
    await line.send(FILE, { bodies: { response: noise(own, n) } });
    await line.send(FILE, { bodies: { response: shared }, responseFields: [['Date', `day ${n}`]] });
    await line.send(REPORT, {
      bodies: { request: Buffer.from(JSON.stringify({ host: 'a.lab', logs: [{ message: `log ${n}` }] })) },
    });
    line.close();
  }
  await recorder.close();
  using db = closing(new Database(file));
  db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
}

function rows(file: string, sql: string): unknown[] {
  using db = closing(new Database(file, { readonly: true }));
  return db.prepare(sql).pluck().all();
}

describe('what --retain does not keep', () => {
  test('the oldest runs go, with everything that only they used, and the file gets smaller', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 8, 1_000_000);
    const before = statSync(file).size;
    const recorder = await open(file, { retain: { runs: 3 } });
    await until(() => rows(file, 'SELECT id FROM run').length === 3);
    const free = 'SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size';
    await until(() => (rows(file, free)[0]! as number) <= 1 << 20);
    // The traffic goes on meanwhile.
    const line = agent(recorder, 'b.lab').connect();
    const id = await line.send(FILE, { bodies: { response: shared } });
    line.close();
    // With the new run there is one too many; its bodies go last.
    const leftOver =
      'SELECT id FROM body WHERE id NOT IN (SELECT request_body FROM exchange WHERE request_body > 0 UNION SELECT response_body FROM exchange WHERE response_body > 0)';
    await until(() => rows(file, 'SELECT min(id) FROM run')[0] === 7 && rows(file, leftOver).length === 0, 30_000);
    await recorder.close();
    const kept = rows(file, 'SELECT id FROM run ORDER BY id') as number[];
    expect(kept).toEqual([7, 8, 9]);
    expect(rows(file, "SELECT count FROM loss WHERE reason = 'retained'").reduce((sum, n) => Number(sum) + Number(n), 0)).toBe(
      kept[0]! - 1,
    );
    expect(statSync(file).size).toBeLessThan(before * 0.6);
    expect(rows(file, 'PRAGMA integrity_check')).toEqual(['ok']);
    // Nothing dangles, nothing is left over.
    for (const column of ['request_body', 'response_body']) {
      expect(
        rows(file, `SELECT id FROM exchange WHERE ${column} IS NOT NULL AND ${column} NOT IN (SELECT id FROM body)`),
      ).toEqual([]);
    }
    expect(rows(file, leftOver)).toEqual([]);
    expect(
      rows(
        file,
        'SELECT id FROM fields WHERE id NOT IN (SELECT request_fields FROM exchange UNION SELECT response_fields FROM exchange)',
      ),
    ).toEqual([]);
    expect(rows(file, 'SELECT body FROM body_chunk WHERE body NOT IN (SELECT id FROM body)')).toEqual([]);
    for (const table of ['report', 'log_line', 'run_exchange', 'node', 'file_content', 'decode_note']) {
      expect(rows(file, `SELECT exchange FROM ${table} WHERE exchange NOT IN (SELECT id FROM exchange)`), table).toEqual([]);
    }
    expect(rows(file, 'SELECT DISTINCT run FROM run_exchange ORDER BY run')).toEqual(kept);
    expect(rows(file, 'SELECT count(*) FROM connection')).toEqual([kept.length]);
    using store = closing(openStore(file, 'bodies'));
    expect(joined(store.body(id, 'response')).equals(shared)).toBe(true);
    for (const run of store.runs()) {
      for (const exchange of store.exchanges({ run: run.id })) {
        const side = exchange.method === 'PUT' ? 'request' : 'response';
        expect(joined(store.body(exchange.id, side)).length).toBe(
          side === 'request' ? exchange.requestBytes : exchange.responseBytes,
        );
      }
    }
  });

  test('bodies that a proxy left which ended in the middle go with the next one', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 4);
    const used =
      'SELECT request_body FROM exchange WHERE request_body > 0 UNION SELECT response_body FROM exchange WHERE response_body > 0';
    const leftOver = `SELECT id FROM body WHERE id NOT IN (${used})`;
    {
      using db = closing(new Database(file));
      const first = db.prepare<[], number>('SELECT exchange FROM run_exchange WHERE run = 1').pluck().all();
      for (const id of first) db.prepare('DELETE FROM exchange_row WHERE id = ?').run(id);
    }
    expect(rows(file, leftOver).length).toBe(3); // its node, its own file, its report; all runs share the other file
    const kept = rows(file, used);
    const recorder = await open(file, { retain: { runs: 100 } });
    await until(() => rows(file, leftOver).length === 0);
    await recorder.close();
    expect(rows(file, used)).toEqual(kept);
    expect(rows(file, `SELECT count(*) FROM body WHERE id IN (${used})`)).toEqual([kept.length]);
    expect(rows(file, 'PRAGMA integrity_check')).toEqual(['ok']);
  });

  test('by bytes and by age; the newest run always stays', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 6);
    await (async () => {
      const recorder = await open(file, { retain: { bytes: 1_500_000 } });
      await until(() => rows(file, 'SELECT id FROM run').length === 3);
      await recorder.close();
    })();
    const recorder = await open(file, { retain: { ageMs: 60_000 } });
    await until(() => rows(file, 'SELECT id FROM run').length === 1);
    await new Promise(resolve => setTimeout(resolve, 1_500)); // one more look
    await recorder.close();
    expect(rows(file, 'SELECT id FROM run')).toEqual([6]);
  });

  test('a body in many pieces goes piece by piece', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 2, 6_000_000);
    expect(rows(file, 'SELECT count(*) FROM body_chunk')[0]).toBeGreaterThan(40);
    const recorder = await open(file, { retain: { runs: 1 } });
    await until(() => (rows(file, 'SELECT count(*) FROM body_chunk')[0] as number) < 25);
    await recorder.close();
    expect(rows(file, 'SELECT id FROM run')).toEqual([2]);
  });

  test('a run that goes on for days keeps no later one', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 4, 1_000);
    using db = closing(new Database(file));
    db.exec('UPDATE run SET "end" = NULL, ended_at = NULL WHERE id = 1');
    const apply = createApplyDerived(db);
    const write = (row: DerivedWrite): void => apply({ writes: [row], seq: null, settled: false });
    const retaining = createRetention(db, 1, { runs: 2 }, { write, forget: () => undefined });
    while (retaining.step(Date.now()));
    expect(rows(file, 'SELECT id FROM run ORDER BY id')).toEqual([1, 4]);
  });

  test('what several runs share is found in one that is kept', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const first = await open(file);
    const text = { bodies: { response: Buffer.from('the same words each time\n') } };
    for (const n of [1, 2, 3]) {
      const line = agent(first, 'a.lab').connect();
      await line.send(`${NODE}${uuid(n)}`);
      await line.send(FILE, text);
      line.close();
    }
    await first.close();
    {
      using db = closing(new Database(file));
      db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
    }
    const second = await open(file, { retain: { runs: 1 } });
    await until(() => rows(file, 'SELECT id FROM run').length === 1);
    await until(() => rows(file, 'SELECT exchange FROM decoded_body')[0] === 6);
    await second.close();
    using store = closing(openStore(file, 'bodies'));
    expect(store.decoded.search('words').map(({ run, place }) => [run, place])).toEqual([[3, FILE.slice('GET '.length)]]);
  });

  test('a body that comes again while it is being deleted is stored anew', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 2, 6_000_000);
    using owned = closing(openForWriting(file, 0));
    const { db } = owned;
    const apply = createApplyDerived(db);
    const bodies = createBodies(db);
    const retaining = createRetention(
      db,
      1,
      { runs: 1 },
      { write: row => apply({ writes: [row], seq: null, settled: false }), forget: () => bodies.forget() },
    );
    const chunks = db.prepare<[], number>('SELECT count(*) FROM body_chunk').pluck();
    const before = chunks.get()!;
    let now = 0;
    using _ = vi.spyOn(performance, 'now').mockImplementation(() => (now += 3)); // a slow disk: a step deletes one part
    while (chunks.get() === before) retaining.step(Date.now());
    const bytes = noise(6_000_000, 1);
    bodies.append(1, bytes);
    const id = bodies.end(1, { size: bytes.length, cut: null })!;
    db.prepare('UPDATE exchange_row SET response_body = ? WHERE id = (SELECT max(id) FROM exchange_row)').run(id);
    while (retaining.step(Date.now()));
    expect(joined(createBodyReader(db)(id)).equals(bytes)).toBe(true);
  });

  test('without --retain nothing is deleted', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await past(file, 3);
    const recorder = await open(file);
    await new Promise(resolve => setTimeout(resolve, 1_500));
    await recorder.close();
    expect(rows(file, 'SELECT id FROM run')).toEqual([1, 2, 3]);
    expect(rows(file, "SELECT name FROM sqlite_schema WHERE name GLOB 'retain_*'")).toEqual([]);
  });

  test('exchanges of no run go when they are older than what is kept, folded and decoded', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const recorder = await open(file);
    const line = agent(recorder, 'a.lab').connect();
    const unnamed = (): Promise<number> => line.send('GET /status/v1/services', { certname: null });
    const run = async (n: number): Promise<void> => {
      await line.send(`${NODE}${uuid(n)}`);
      await line.send(REPORT, { bodies: { request: Buffer.from('{"host":"a.lab","logs":[]}') } });
    };
    const first = await unnamed();
    await run(1);
    const second = await unnamed();
    const last = await unnamed();
    for (const n of [2, 3, 4]) await run(n);
    line.close();
    await recorder.close();
    addNote(file, { type: 'run', id: 1 }, 'stays', false);
    using db = closing(new Database(file));
    db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
    // one that began early and ended just now: nobody has looked at it yet
    db.prepare('UPDATE exchange_row SET seq = 1000 WHERE id = ?').run(last);
    const apply = createApplyDerived(db);
    const write = (row: DerivedWrite): void => apply({ writes: [row], seq: null, settled: false });
    const hooks = { write, forget: () => undefined };
    const left = (runs: number, now: number): unknown[] => {
      const retaining = createRetention(db, 1, { runs }, hooks);
      while (retaining.step(now));
      return db.prepare('SELECT id FROM exchange WHERE id NOT IN (SELECT exchange FROM run_exchange) ORDER BY id').pluck().all();
    };
    expect(left(2, Date.now() + 1_000)).toEqual([first, second, last]);
    expect(left(1, Date.now() + 3_600_000)).toEqual([last]);
    expect(rows(file, 'SELECT id FROM run ORDER BY id')).toEqual([1, 4]);
  });
});

test('what --retain may be given', () => {
  expect(retention('500')).toEqual({ runs: 500 });
  expect(retention('500runs,20G, 7d')).toEqual({ runs: 500, bytes: 20e9, ageMs: 7 * 86_400_000 });
  expect(retention('1MiB')).toEqual({ bytes: 1 << 20 });
  expect(retention('90m')).toEqual({ ageMs: 5_400_000 });
  for (const wrong of ['', '0', '-1', '5x', '1,,2', '7 days', '1e9']) expect(() => retention(wrong), wrong).toThrow(/expected/);
});
