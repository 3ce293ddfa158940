import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addNote, removeNotes } from '../../src/capture/notes.ts';
import { rederive } from '../../src/capture/rederive.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, open, type TempDir, tempDir, until } from '../capture/rig.ts';
import { command } from './command.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

let dir: TempDir;
let file: string;
beforeEach(() => {
  dir = tempDir();
  file = dir.file('sample.db');
  copyFileSync(SAMPLE, file);
});
afterEach(() => dir[Symbol.dispose]());

function notes(of: string, filter: { run?: number; exchange?: number } = {}): string[] {
  const store = openStore(of);
  try {
    return store.notes(filter).map(row => `${row.run} ${row.exchange} ${row.mark} ${row.text}`);
  } finally {
    store.close();
  }
}

test('a note is added, marked, listed, shown, exported and deleted', async () => {
  expect(await command('note', 'r3', 'slow', 'since \u001b[31mMonday', '--capture', file)).toMatchObject({
    code: 0,
    out: ['n1'],
  });
  expect((await command('note', 'e61', '--mark', '--capture', file)).out).toEqual(['n2']);
  const listed = (await command('note', '--json', '--capture', file)).out.map(line => JSON.parse(line) as object);
  expect(listed).toMatchObject([
    { id: 'n1', run: 'r3', exchange: null, mark: false, text: 'slow since \u001b[31mMonday' },
    { id: 'n2', run: 'r5', exchange: 'e61', mark: true, text: '' },
  ]);
  expect((await command('note', 'r5', '--capture', file)).out).toHaveLength(1);
  expect((await command('note', '--marked', '--capture', file)).out).toHaveLength(1);
  const shown = (await command('show', 'r3', file)).out.join('\n');
  expect(shown).toContain('slow since \\x1b[31mMonday (n1,');
  expect((await command('show', 'e61', file)).out.join('\n')).toContain('* (n2,');
  expect((await command('runs', file)).out[3]).toMatch(/slow since/);
  const lines = (await command('export', 'r3', '--format', 'jsonl', '--capture', file, '-o', dir.file('a.jsonl'))).code;
  expect(lines).toBe(0);
  expect(await command('note', '--delete', 'n1', '--delete', 'n7', '--capture', file)).toMatchObject({ code: 1 });
  expect(notes(file)).toHaveLength(2);
  await command('note', '--delete', 'n1', 'n2', '--capture', file);
  expect(notes(file)).toEqual([]);
  expect(await command('note', 'r99', 'x', '--capture', file)).toMatchObject({ code: 1 });
  expect(await command('note', 'web01', 'x', '--capture', file)).toMatchObject({ code: 2 });
});

test('notes survive redecode, and go along when a run is shared', async () => {
  openStore(file).close();
  addNote(file, { type: 'run', id: 4 }, 'for web01.lab', true);
  addNote(file, { type: 'exchange', id: 61 }, 'here', true);
  rederive(file);
  expect(notes(file)).toEqual(['4 null true for web01.lab', '5 61 true here']);
  for (const [level, text] of [
    ['low', 'for web01.lab'],
    ['moderate', expect.stringMatching(/^for (?!web01)\w{5}\.\w{3}$/)],
    ['full', ''],
  ] as const) {
    const shared = dir.file(`${level}.db`);
    await command('share', 'r4', file, '-o', shared, '--redact', level);
    const store = openStore(shared);
    expect(store.notes()).toMatchObject([{ run: 1, exchange: null, text }]);
    store.close();
  }
});

test('a note is written while a proxy writes', async () => {
  const live = dir.file('live.db');
  const recorder = await open(live);
  const line = agent(recorder, 'a.lab').connect();
  const ids: number[] = [];
  for (let n = 0; n < 40; n++) {
    ids.push(
      await line.send('GET /puppet/v3/file_content/modules/m/f?environment=production', {
        bodies: { response: Buffer.alloc(9000, n) },
      }),
    );
    addNote(live, { type: 'exchange', id: ids.at(-1)! }, `note ${n}`, false);
  }
  line.close();
  await recorder.close();
  expect(recorder.losses).toEqual([]);
  expect(notes(live)).toHaveLength(40);
  const store = openStore(live);
  expect([...store.exchanges()].map(row => row.id)).toEqual(ids);
  store.close();
  removeNotes(live, [1]);
  expect(notes(live)).toHaveLength(39);
});

test('--retain keeps a run that has a note', async () => {
  const live = dir.file('kept.db');
  const first = await open(live);
  for (let n = 1; n <= 5; n++) {
    const line = agent(first, 'a.lab').connect();
    const uuid = `00000000-0000-4000-8000-00000000000${n}`;
    await line.send(`GET /puppet/v3/node/a.lab?environment=production&transaction_uuid=${uuid}`);
    await line.send('PUT /puppet/v3/report/a.lab?environment=production', {
      bodies: { request: Buffer.from('{"host":"a.lab"}') },
    });
    line.close();
  }
  await first.close();
  addNote(live, { type: 'run', id: 2 }, 'keep me', false);
  const runs = (): number[] => {
    using db = closing(new Database(live));
    return db.prepare<[], number>('SELECT id FROM run ORDER BY id').pluck().all();
  };
  {
    using db = closing(new Database(live));
    db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
  }
  const second = await open(live, { retain: { runs: 2 } });
  await until(() => runs().length <= 3);
  await second.close();
  expect(runs()).toEqual([2, 4, 5]);
  expect(notes(live)).toEqual(['2 null false keep me']);
});
