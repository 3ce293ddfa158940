import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { CaptureError } from '../../src/capture/errors.ts';
import { lockCapture } from '../../src/capture/lock.ts';
import { APPLICATION_ID } from '../../src/capture/migrations.ts';
import { newestCapture } from '../../src/capture/newest.ts';
import { MIGRATIONS } from '../../src/capture/schema.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, open, type TempDir, tempDir } from './rig.ts';

const FILE = 'GET /puppet/v3/file_content/modules/m/f?environment=production';

/** A capture with two exchanges of one run. */
async function captured(dir: TempDir): Promise<string> {
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'web1.lab').connect();
  await line.send(FILE, { bodies: { response: Buffer.from('one') } });
  await line.send(FILE, { bodies: { response: Buffer.from('two') } });
  line.close();
  await recorder.close();
  return file;
}

/** What reading and writing say about a file. */
async function refusals(file: string): Promise<Array<{ message: string; hint: string | null }>> {
  const writing = await open(file).then(
    () => null,
    (error: unknown) => error,
  );
  let reading: unknown = null;
  try {
    openStore(file).close();
  } catch (error) {
    reading = error;
  }
  return [writing, reading].map(error => {
    expect(error).toBeInstanceOf(CaptureError);
    const { message, hint } = error as CaptureError;
    return { message: message.replace(file, 'FILE'), hint };
  });
}

test('an empty file that was there becomes a capture that nobody else may read', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  writeFileSync(file, '');
  chmodSync(file, 0o644);
  const recorder = await open(file);
  const modes = ['', '-wal'].map(end => statSync(`${file}${end}`).mode & 0o777);
  await recorder.close();
  expect([...modes, statSync(file).mode & 0o777]).toEqual([0o600, 0o600, 0o600]);
});

describe('refused, and left as it is', () => {
  const notACapture = {
    message: 'FILE is not a stringtap capture',
    hint: 'give the path of a file that `stringtap proxy` wrote',
  };

  test('a file that is no database', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a.db'), 'just text, and more than a few bytes of it, so that it could be a header '.repeat(20));
    const before = readFileSync(dir.file('a.db'));
    expect(await refusals(dir.file('a.db'))).toEqual([notACapture, notACapture]);
    expect(readFileSync(dir.file('a.db')).equals(before)).toBe(true);
  });

  test("another program's database", async () => {
    using dir = tempDir();
    const db = new Database(dir.file('a.db'));
    db.exec('CREATE TABLE t (a)');
    db.close();
    const before = readFileSync(dir.file('a.db'));
    expect(await refusals(dir.file('a.db'))).toEqual([notACapture, notACapture]);
    expect(readFileSync(dir.file('a.db')).equals(before)).toBe(true);
  });

  test('a capture of a newer stringtap', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const db = new Database(file);
    db.pragma('user_version = 999');
    db.close();
    const [writing, reading] = await refusals(file);
    expect(writing).toEqual(reading);
    expect(writing?.message).toMatch(/^FILE was written by a newer stringtap \(capture version 999, this one reads up to \d+\)$/);
    expect(writing?.hint).toBe('install the stringtap that wrote it, or a newer one');
  });

  test('nothing, a folder, an empty file', async () => {
    using dir = tempDir();
    for (const file of [dir.file('none.db'), dir.file('')]) {
      expect(() => openStore(file)).toThrow(/^there is no capture /);
    }
    writeFileSync(dir.file('empty.db'), '');
    expect(() => openStore(dir.file('empty.db'))).toThrow('is not a stringtap capture');
    const recorder = await open(dir.file('empty.db')); // to write, an empty file is as good as none
    await recorder.close();
    openStore(dir.file('empty.db')).close();
  });

  test('a folder that cannot be made', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('file'), '');
    await expect(open(dir.file('file/a.db'))).rejects.toThrow(/^cannot write .*\(E[A-Z]+\)$/);
  });
});

describe('a capture of an older stringtap', () => {
  test('that is being written is refused in the words of a reader', () => {
    using dir = tempDir();
    const db = new Database(dir.file('a.db'));
    db.exec(MIGRATIONS[0]!.sql);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma('user_version = 1');
    db.close();
    const lock = lockCapture(dir.file('a.db'), 0);
    expect(() => openStore(dir.file('a.db'))).toThrow(
      expect.objectContaining({
        message: `${dir.file('a.db')} is being written by an older stringtap, and can be read by this one when that has ended`,
        hint: expect.not.stringContaining('--capture') as string,
      }),
    );
    lock?.release();
    openStore(dir.file('a.db')).close();
  });

  test('is brought up to date by the first that opens it, to read or to write', async () => {
    using dir = tempDir();
    for (const name of ['read.db', 'write.db']) {
      const db = new Database(dir.file(name));
      db.exec(MIGRATIONS[0]!.sql);
      db.pragma(`application_id = ${APPLICATION_ID}`);
      db.pragma('user_version = 1');
      db.close();
    }
    openStore(dir.file('read.db')).close();
    await (await open(dir.file('write.db'))).close();
    for (const name of ['read.db', 'write.db']) {
      using db = closing(new Database(dir.file(name)));
      expect(db.pragma('user_version', { simple: true })).toBe(MIGRATIONS.length);
      expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    }
  });
});

describe('one writer', () => {
  test('a second one in the same process is refused, readers are not', async () => {
    using dir = tempDir();
    const first = await open(dir.file('a.db'));
    await expect(open(dir.file('a.db'))).rejects.toMatchObject({
      message: `${dir.file('a.db')} is being written by another stringtap`,
      hint: expect.stringContaining('--capture FILE'),
    });
    const line = agent(first, 'web1.lab').connect();
    await line.send(FILE);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.exchanges()]).toHaveLength(1);
    await first.close();
    const next = await open(dir.file('a.db'));
    await next.close();
  });

  test('one in another process is refused, until that one is killed', async () => {
    using dir = tempDir();
    const holder = spawn(process.execPath, [fileURLToPath(new URL('holder.ts', import.meta.url)), dir.file('a.db')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    await expect(open(dir.file('a.db'))).rejects.toThrow('is being written by another stringtap');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    const recorder = await open(dir.file('a.db'));
    await recorder.close();
  });

  test('the lock: taken once, given back, and not fooled by a file that was removed', () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const lock = lockCapture(file, 0);
    expect(lock).not.toBeNull();
    expect(lockCapture(file, 0)).toBeNull();
    expect(lockCapture(dir.file('b.db'), 0)).not.toBeNull();
    lock?.release();
    const again = lockCapture(file, 0);
    expect(again).not.toBeNull();
    again?.release();
  });
});

describe('a capture that is being written', () => {
  test('shows what is committed, and what was committed since', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    await line.send(FILE);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.exchanges()]).toHaveLength(1);
    const before = store.version();
    expect(store.version()).toBe(before);
    // A reader in the middle of a long list holds nobody up.
    const slow = store.exchanges()[Symbol.iterator]();
    slow.next();
    for (let i = 0; i < 20; i++) await line.send(FILE);
    expect(store.version()).not.toBe(before);
    expect([...store.exchanges()]).toHaveLength(21);
    expect(store.exchange(21)?.status).toBe(200);
    await recorder.close();
    expect([...store.runs()].map(run => run.exchanges)).toEqual([21]);
  });

  test('a closed capture is not written by reading it, whichever leg closed last', () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    copyFileSync(new URL('../../captures/sample.db', import.meta.url), file);
    const before = readFileSync(file);
    for (const wants of ['runs', 'bodies'] as const) {
      using store = closing(openStore(file, wants));
      expect([...store.runs()].length).toBeGreaterThan(5);
    }
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test('a damaged header is told in one line', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const bytes = readFileSync(file);
    bytes.fill(0xff, 4_096, 60_000);
    writeFileSync(file, bytes);
    expect(() => [...openStore(file).exchanges()]).toThrow(/is damaged \(SQLITE_CORRUPT[A-Z_]*\)$/);
  });

  test('field lines that are damaged are said to be, and the exchanges that have them are read', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const broken = new Database(file);
    broken.exec("UPDATE template SET lines = '[[' || lines");
    broken.close();
    using store = closing(openStore(file));
    const details = [...store.exchanges()].map(({ id }) => store.exchange(id)!);
    expect(details.map(({ request }) => request.target)).toEqual([...store.exchanges()].map(({ target }) => target));
    expect(details.map(({ request }) => request.fields)).toEqual(
      details.map(() => [['(damaged)', 'these field lines cannot be read']]),
    );
  });

  test('another text that is no JSON is told as damage, not as a defect of the program', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const broken = new Database(file);
    broken.exec("UPDATE exchange_row SET outcome = 'failed', failure = '{\"reason'");
    broken.close();
    expect(() => [...openStore(file).exchanges()]).toThrow(/is damaged \(a text in it is no JSON\)$/);
  });
});

describe('query', () => {
  test('gives columns and rows of the views', async () => {
    using dir = tempDir();
    using store = closing(openStore(await captured(dir)));
    const { columns, rows } = store.query('SELECT id, run, n, phase, response_bytes FROM v_exchange ORDER BY id');
    expect(columns).toEqual(['id', 'run', 'n', 'phase', 'response_bytes']);
    expect([...rows]).toEqual([
      [1, 1, 1, 'file', 3],
      [2, 1, 2, 'file', 3],
    ]);
    expect([...store.query('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c', 3).rows]).toEqual([
      [1],
      [2],
      [3],
    ]);
    expect([...store.query('SELECT bytes FROM packed WHERE body = 1').rows]).toEqual([[Buffer.from('one')]]);
    expect([...store.query('SELECT id, certname, end, exchanges FROM v_run').rows]).toEqual([
      [1, 'web1.lab', 'connections-closed', 2],
    ]);
    expect([...store.query('SELECT id, leg, cause FROM v_connection').rows]).toEqual([[1, 'agent', 'end']]);
  });

  test('the views have the documented columns', async () => {
    using dir = tempDir();
    using store = closing(openStore(await captured(dir)));
    const columnsOf = (view: string): readonly string[] => store.query(`SELECT * FROM ${view}`).columns;
    const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
    const run = [...store.runs()][0]!;
    expect(columnsOf('v_run')).toEqual(expect.arrayContaining(Object.keys(run).map(snake)));
    const exchange = [...store.exchanges()][0]!;
    expect(columnsOf('v_exchange')).toEqual(expect.arrayContaining(Object.keys(exchange).map(snake)));
    const connection = [...store.connections()][0]!;
    expect(columnsOf('v_connection')).toEqual(expect.arrayContaining(Object.keys(connection).map(snake)));
  });

  test.each([
    'DELETE FROM exchange',
    "UPDATE run SET certname = 'x'",
    'INSERT INTO loss VALUES (1, 1, 1, 1, 1, 1)',
    'DELETE FROM exchange RETURNING id',
    'DROP TABLE exchange',
    'CREATE TABLE t (a)',
    'CREATE TEMP TABLE t (a)',
    "ATTACH '/tmp/other.db' AS other",
    "VACUUM INTO '/tmp/copy.db'",
    'PRAGMA journal_mode = DELETE',
    '/* a comment */ PRAGMA user_version = 7',
    'BEGIN',
    'SELECT 1; DELETE FROM exchange',
    'no SQL at all',
    '',
  ])('refuses %s', async sql => {
    using dir = tempDir();
    const file = await captured(dir);
    using store = closing(openStore(file));
    const before = readFileSync(file);
    expect(() => [...store.query(sql).rows]).toThrow(CaptureError);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test('one that is not read to its end does not keep the capture open', async () => {
    using dir = tempDir();
    const store = openStore(await captured(dir));
    const rows = store.query('SELECT id FROM v_exchange').rows[Symbol.iterator]();
    expect(rows.next().value).toEqual([1]);
    store.close();
    expect(rows.next().done).toBe(true);
  });

  test('an error while rows are read is told as it is', async () => {
    using dir = tempDir();
    using store = closing(openStore(await captured(dir)));
    expect(() => [...store.query("SELECT json_extract('{', '$')").rows]).toThrow(/malformed JSON/);
  });
});

describe('lists', () => {
  test('are filtered, turned round and limited, and cross pages', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const [one, two] = ['web1.lab', 'web2.lab'].map(name => agent(recorder, name).connect());
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < 1_200; i++) sent.push(one!.send(FILE, { status: i % 10 === 0 ? 404 : 200 }));
    for (let i = 0; i < 10; i++) sent.push(two!.send('POST /puppet/v3/catalog/web2.lab'));
    await Promise.all(sent);
    one!.close();
    two!.close();
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    const ids = (rows: Iterable<{ id: number }>): number[] => [...rows].map(row => row.id);
    expect(ids(store.exchanges())).toEqual(Array.from({ length: 1_210 }, (_, i) => i + 1));
    expect(ids(store.exchanges({ reverse: true, limit: 1_100 }))).toEqual(Array.from({ length: 1_100 }, (_, i) => 1_210 - i));
    expect(ids(store.exchanges({ run: 1 }))).toEqual(Array.from({ length: 1_200 }, (_, i) => i + 1));
    expect(ids(store.exchanges({ run: 1, reverse: true, limit: 2 }))).toEqual([1_200, 1_199]);
    expect(ids(store.exchanges({ status: 404 }))).toHaveLength(120);
    expect(ids(store.exchanges({ phase: 'catalog', after: 1_205 }))).toEqual([1_206, 1_207, 1_208, 1_209, 1_210]);
    expect(ids(store.exchanges({ certname: 'web2.lab', limit: 1 }))).toEqual([1_201]);
    expect(ids(store.exchanges({ connection: two!.id }))).toHaveLength(10);
    expect(ids(store.exchanges({ outcome: 'failed' }))).toEqual([]);
    expect(ids(store.exchanges({ limit: 0 }))).toEqual([]);
    expect(ids(store.runs())).toEqual([1, 2]);
    expect(ids(store.runs({ certname: 'web2.lab' }))).toEqual([2]);
    expect(ids(store.runs({ ended: false }))).toEqual([]);
    expect(ids(store.connections({ run: 2 }))).toEqual([two!.id]);
    expect(ids(store.connections({ leg: 'primary' }))).toEqual([]);
    expect(store.run(3)).toBeNull();
    expect(store.exchange(5_000)).toBeNull();
    expect(store.connection(99)).toBeNull();
  });
});

test('the newest capture of a folder is the one that was written last', async () => {
  using dir = tempDir();
  expect(newestCapture(dir.file(''))).toBeNull();
  expect(newestCapture(dir.file('none'))).toBeNull();
  for (const [name, at] of Object.entries({ 'a.db': 3_000, 'b.db': 1_000, 'b.db-wal': 4_000, 'c.db': 2_000, 'd.txt': 9_000 })) {
    writeFileSync(dir.file(name), '');
    utimesSync(dir.file(name), at, at);
  }
  expect(newestCapture(dir.file(''))).toBe(dir.file('b.db'));
});

describe('a folder that cannot be written', () => {
  /** Does it as somebody who may read the folder, and no more. */
  function readOnly(dir: TempDir, action: () => void): void {
    const root = process.geteuid?.() === 0;
    chmodSync(dir.file(''), root ? 0o755 : 0o500);
    if (root) process.seteuid?.(65_534);
    try {
      action();
    } finally {
      if (root) process.seteuid?.(0);
      chmodSync(dir.file(''), 0o700);
    }
  }

  test('a capture in it is read all the same', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    chmodSync(file, 0o444);
    readOnly(dir, () => {
      expect(() => writeFileSync(dir.file('x'), '')).toThrow('EACCES');
      using store = closing(openStore(file));
      expect([...store.exchanges()]).toHaveLength(2);
      expect([...store.runs()]).toHaveLength(1);
    });
  });

  test('one in WAL mode is refused, and why', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const db = new Database(file);
    db.pragma('journal_mode = WAL');
    db.close();
    chmodSync(file, 0o444);
    readOnly(dir, () => expect(() => openStore(file)).toThrow(/^cannot open .* \(SQLITE_READONLY_DIRECTORY\)$/));
  });

  test('one of an older stringtap is read from a copy, which goes away with the store', async () => {
    using dir = tempDir();
    const file = dir.file('old.db');
    const db = new Database(file);
    db.exec(MIGRATIONS[0]!.sql);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma('user_version = 1');
    db.close();
    chmodSync(file, 0o444);
    const before = readFileSync(file);
    const copies = () => readdirSync(tmpdir()).filter(name => /^stringtap-outdated-/.test(name));
    const others = copies();
    readOnly(dir, () => {
      using store = closing(openStore(file, 'bodies'));
      expect(store.file).toBe(file);
      expect([...store.exchanges()]).toEqual([]);
      expect(store.decoded.count('catalog', {})).toBe(0);
      expect(copies().length).toBeGreaterThan(others.length);
    });
    expect(copies()).toEqual(others);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test('one that was not folded to its end is read as far as it was', async () => {
    using dir = tempDir();
    const file = await captured(dir);
    const db = new Database(file);
    db.exec('DELETE FROM derived; DELETE FROM run; DELETE FROM run_exchange');
    db.close();
    chmodSync(file, 0o444);
    readOnly(dir, () => {
      using store = closing(openStore(file));
      expect([...store.exchanges()]).toHaveLength(2);
      expect([...store.runs()]).toEqual([]);
    });
    chmodSync(file, 0o600);
    using store = closing(openStore(file));
    expect([...store.runs()]).toHaveLength(1);
  });
});
