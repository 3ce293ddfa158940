import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { createBodyDecoding } from '../../src/capture/decoded-derivation.ts';
import type { DecodedKind } from '../../src/capture/decoded-shapes.ts';
import { DECODING_SQL } from '../../src/capture/decoded-statements.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import { redecode, rederive } from '../../src/capture/rederive.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import type { Fields } from '../../src/model.ts';
import { fixture } from '../decode/rig.ts';
import { agent, closing, type Line, open, tempDir } from './rig.ts';

const CATALOG = 'POST /puppet/v3/catalog/agent.example?environment=production';
const REPORT = 'PUT /puppet/v3/report/agent.example?environment=production';
const PLUGINS = 'GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true';

const type = (mime: string, ...more: Fields): { fields: Fields; responseFields: Fields } => {
  const fields: Fields = [['Content-Type', mime], ...more];
  return { fields, responseFields: fields };
};

/** Writes exchanges into a new capture, and gives it to read. */
async function captured(file: string, send: (line: Line) => Promise<void>): Promise<Store & Disposable> {
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  await send(line);
  line.close();
  await recorder.close();
  const store = openStore(file, 'bodies');
  return Object.assign(store, { [Symbol.dispose]: () => store.close() });
}

async function sendRun(line: Line): Promise<void> {
  await line.send(PLUGINS, { bodies: { response: fixture('file_metadatas.json') }, ...type('application/json') });
  await line.send(CATALOG, {
    bodies: { request: fixture('catalog-request.form'), response: gzipSync(fixture('catalog.rich.json')) },
    fields: [['Content-Type', 'application/x-www-form-urlencoded']],
    responseFields: [
      ['Content-Type', 'application/vnd.puppet.rich+json; charset=utf-8'],
      ['Content-Encoding', 'gzip'],
    ],
  });
  await line.send(REPORT, { bodies: { request: fixture('report.json') }, ...type('application/json') });
}

const KINDS: readonly DecodedKind[] = [
  'decode_note',
  'body',
  'file_metadata',
  'catalog_request',
  'fact',
  'soft_limit',
  'catalog',
  'resource',
  'edge',
  'class',
  'report',
  'event',
  'resource_status',
  'log_line',
  'metric',
];

/** Everything that is decoded, and what a search finds. */
function everything(store: Store): unknown {
  const rows = KINDS.map(kind => store.decoded.rows(kind, { reveal: true }));
  return [rows, store.decoded.search('agent.example', { limit: 1000 }), store.decoded.search('sub', { in: 'metadata' })];
}

describe('bodies become rows', () => {
  test('a run: metadata, facts, catalog and report, with the run that they belong to', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), sendRun);
    const { decoded } = store;
    expect(decoded.behind()).toBe(0);
    expect(decoded.rows('decode_note', {})).toEqual([]);
    expect(decoded.rows('catalog', { run: 1 })).toMatchObject([
      { exchange: 2, run: 1, name: 'agent.example', resources: 20, edges: 19, classes: 3 },
    ]);
    expect(decoded.rows('resource', { run: 1 }).map(row => row.n)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(decoded.count('edge', { exchange: 2 })).toBe(19);
    expect(decoded.rows('class', { run: 1 }).map(row => row.name)).toEqual(['settings', 'role::web', 'default']);
    expect(decoded.rows('fact', { run: 1 }).find(row => row.path === 'os.release.full')).toMatchObject({
      type: 'String',
      value: '12.5',
    });
    const listed = decoded.rows('file_metadata', { exchange: 1 });
    expect(listed.map(row => row.relativePath)).toEqual([null, 'a b+c.txt', 'sub', 'link']);
    const report = JSON.parse(Buffer.from(fixture('report.json')).toString()) as { logs: unknown[]; status: string };
    expect(decoded.rows('report', { exchange: 3 })).toMatchObject([{ status: report.status, exchange: 3 }]);
    expect(decoded.count('log_line', { exchange: 3 })).toBe(report.logs.length);
    expect(decoded.rows('body', { exchange: 2 }).map(row => [row.side, row.format, row.codings])).toEqual([
      ['response', 'rich-json', ['gzip']],
      ['request', 'form', []],
    ]);
  });

  test('the same bytes again are decoded once, and are there for both exchanges', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), async line => {
      for (let i = 0; i < 3; i++) {
        await line.send(PLUGINS, { bodies: { response: fixture('file_metadatas.json') }, ...type('application/json') });
      }
    });
    expect([...store.query('SELECT count(*) FROM file_metadata').rows]).toEqual([[4]]);
    expect(store.decoded.rows('file_metadata', {}).map(row => row.exchange)).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
  });

  test('content of a file is held against what metadata promised before', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), async line => {
      await line.send(PLUGINS, { bodies: { response: fixture('file_metadatas.json') }, ...type('application/json') });
      const content = 'GET /puppet/v3/file_content/plugins/a%20b+c.txt?environment=production';
      await line.send(content, { bodies: { response: Buffer.from('hello') }, ...type('application/octet-stream') });
      await line.send(content, { bodies: { response: Buffer.from('hullo') }, ...type('application/octet-stream') });
      const other = 'GET /puppet/v3/file_content/plugins/other?environment=production';
      await line.send(other, { bodies: { response: Buffer.from('hello') }, ...type('application/octet-stream') });
    });
    const rows = store.decoded.rows('file_content', {});
    expect(rows.map(row => [row.verdict, row.promisedBy])).toEqual([
      ['match', 1],
      ['mismatch', 1],
      ['unchecked', null],
    ]);
  });

  test('a body that cannot be decoded leaves its reason, and the others their rows', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), async line => {
      await line.send(CATALOG, { bodies: { response: Buffer.from('{"resources": [') }, ...type('application/json') });
      await sendRun(line);
    });
    const [note] = store.decoded.rows('decode_note', { exchange: 1 });
    expect(note).toMatchObject({ side: 'response', error: true });
    const [[error]] = [...store.query('SELECT decode_error FROM v_exchange WHERE id = 1').rows] as [[string]];
    expect(error).toBe(`response: ${note!.text}`);
    expect(store.decoded.rows('catalog', {}).map(row => row.exchange)).toEqual([3]);
  });

  test('numbers that no column takes cost that value alone', async () => {
    using dir = tempDir();
    const report = { report_format: 1e300, status: 'failed', logs: [{ level: 'err', message: 'm', line: 1.5 }], metrics: {} };
    using store = await captured(dir.file('a.db'), async line => {
      await line.send(REPORT, { bodies: { request: Buffer.from(JSON.stringify(report)) }, ...type('application/json') });
    });
    expect(store.decoded.rows('report', {})).toMatchObject([{ format: null, status: 'failed' }]);
    expect(store.decoded.rows('log_line', {})).toMatchObject([{ message: 'm', line: null }]);
  });
});

describe('secrets', () => {
  const catalog = {
    name: 'agent.example',
    edges: [],
    classes: [],
    resources: [
      {
        type: 'File',
        title: '/s',
        parameters: {
          content: 'hunter2secret',
          key: '-----BEGIN RSA PRIVATE KEY-----\nMIIsecretkey\n-----END RSA PRIVATE KEY-----\n',
        },
        sensitive_parameters: ['content'],
      },
      {
        type: 'Notify',
        title: 'n',
        parameters: {
          message: { __ptype: 'Deferred', name: 'f', arguments: [{ __ptype: 'Sensitive', __pvalue: 'nestedsecret' }] },
        },
      },
    ],
  };

  test('Sensitive values are shown only when asked for, and never found; private keys never', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), async line => {
      const body = Buffer.from(JSON.stringify(catalog));
      await line.send(CATALOG, { bodies: { response: body }, ...type('application/vnd.puppet.rich+json') });
    });
    const [file, notify] = store.decoded.rows('resource', {});
    expect(file!.parameters).toEqual({ content: '(sensitive)', key: '(private key)\n' });
    expect(JSON.stringify(notify!.parameters)).toContain('(sensitive)');
    const revealed = JSON.stringify(store.decoded.rows('resource', { reveal: true }));
    expect(revealed).toContain('hunter2secret');
    expect(revealed).toContain('nestedsecret');
    expect(revealed).not.toContain('MIIsecretkey');
    for (const word of ['hunter2secret', 'nestedsecret', 'MIIsecretkey']) expect(store.decoded.search(word)).toEqual([]);
    expect(store.decoded.search('sensitive').length).toBe(2);
    for (const [view] of [...store.query("SELECT name FROM sqlite_schema WHERE type = 'view' AND name <> 'v_exchange'").rows]) {
      const text = JSON.stringify([...store.query(`SELECT * FROM ${String(view)}`).rows]);
      expect(text).not.toMatch(/hunter2secret|nestedsecret|MIIsecretkey/);
    }
  });
});

describe('decoding again', () => {
  test('gives the same rows: all of a capture, or one run', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    let before: unknown;
    let runs: { id: number; exchanges: number }[];
    {
      using store = await captured(file, async line => {
        await sendRun(line);
        await sendRun(line);
      });
      before = everything(store);
      runs = [...store.runs()];
    }
    expect(rederive(file)).toBe(runs.length);
    {
      const store = openStore(file);
      expect(everything(store)).toEqual(before);
      store.close();
    }
    expect(redecode(file, 1)).toBe(runs[0]!.exchanges);
    expect(redecode(file, 99)).toBe(0);
    const store = openStore(file);
    expect(everything(store)).toEqual(before);
    store.close();
    // The full-text indexes hold what their tables hold, no more and no less.
    const db = new Database(file);
    for (const table of ['resource', 'fact', 'log_line', 'file_metadata', 'body_text']) {
      db.exec(`INSERT INTO ${table}_fts (${table}_fts) VALUES ('integrity-check')`);
    }
    db.close();
  });

  test('goes on where it was cut off, without rows twice', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    let before: unknown;
    {
      using store = await captured(file, sendRun);
      before = everything(store);
    }
    const db = new Database(file);
    // The report's rows were half written, its watermark was not.
    db.exec("UPDATE derived SET seq = (SELECT seq FROM exchange WHERE id = 2) WHERE name = 'bodies'");
    db.exec('DELETE FROM log_line_row WHERE id & 16777215 > 1; DELETE FROM metric_row WHERE id & 16777215 < 5');
    db.close();
    const store = openStore(file, 'bodies');
    expect(everything(store)).toEqual(before);
    store.close();
  });

  test('passes over a body that ended the thread before', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    (await captured(file, sendRun)).close();
    const db = new Database(file);
    db.exec("DELETE FROM derived WHERE name = 'bodies'");
    const seen: number[] = [];
    const seq = db.prepare<[], number>('SELECT seq FROM exchange WHERE id = 2').pluck().get()!;
    const decoding = createBodyDecoding(db, { culprit: seq, busy: at => void seen.push(at) });
    const writes = [];
    for (let step = decoding.step(1000); step !== null; step = decoding.step(1000)) writes.push(...step);
    expect(writes.filter(([table]) => table === 'resource')).toEqual([]);
    expect(writes.filter(([table]) => table === 'log_line').length).toBeGreaterThan(0);
    expect(writes.find(([table]) => table === 'decode_note')).toEqual([
      'decode_note',
      2,
      'response',
      1,
      'the decoder ended on this body',
    ]);
    expect(seen).toContain(seq);
    expect(seen.at(-1)).toBe(0);
    db.close();
  });
});

describe('files that are fetched again', () => {
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  const promise = (line: Line, name: string, content: string): Promise<unknown> => {
    const checksum = { type: 'sha256', value: `{sha256}${sha256(content)}` };
    const entry = {
      path: `/m/${name}`,
      relative_path: null,
      links: 'manage',
      owner: 0,
      group: 0,
      mode: 420,
      type: 'file',
      checksum,
    };
    const body = Buffer.from(JSON.stringify({ ...entry, destination: null }));
    return line.send(`GET /puppet/v3/file_metadata/modules/m/${name}?environment=production`, {
      bodies: { response: body },
      ...type('application/json'),
    });
  };
  const fetch = (line: Line, name: string, content: string): Promise<unknown> =>
    line.send(`GET /puppet/v3/file_content/modules/m/${name}?environment=production`, {
      bodies: { response: Buffer.from(content) },
      ...type('application/octet-stream'),
    });

  test('are held against what was promised of them this time', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const recorder = await open(file);
    for (const [certname, promised] of [
      ['one.example', 'hello'],
      ['two.example', 'hello'],
      ['three.example', 'something else'],
    ] as const) {
      const line = agent(recorder, certname).connect();
      await fetch(line, 'unasked', 'hello');
      await promise(line, 'motd', promised);
      await fetch(line, 'motd', 'hello');
      line.close();
    }
    await recorder.close();
    using store = closing(openStore(file, 'bodies'));
    const rows = store.query('SELECT exchange, bytes, sha256, promised_by, verdict FROM v_file_content ORDER BY exchange').rows;
    expect([...rows]).toEqual([
      [1, 5, sha256('hello'), null, 'unchecked'],
      [3, 5, sha256('hello'), 2, 'match'],
      [4, 5, sha256('hello'), null, 'unchecked'],
      [6, 5, sha256('hello'), 5, 'match'],
      [7, 5, sha256('hello'), null, 'unchecked'],
      [9, 5, sha256('hello'), 8, 'mismatch'],
    ]);
  });

  test('one that was broken off is no other content than was promised', async () => {
    using dir = tempDir();
    using store = await captured(dir.file('a.db'), async line => {
      await promise(line, 'motd', 'hello');
      await line.send('GET /puppet/v3/file_content/modules/m/motd?environment=production', {
        bodies: { response: Buffer.from('hel') },
        ...type('application/octet-stream'),
        outcome: { type: 'abandoned' },
      });
      await fetch(line, 'motd', 'hel');
    });
    const rows = store.decoded.rows('file_content', {});
    expect(rows.map(row => [row.complete, row.verdict])).toEqual([
      [false, 'unchecked'],
      [true, 'mismatch'],
    ]);
    expect(store.decoded.rows('decode_note', {}).map(note => note.text)).toEqual(['the answer was broken off']);
    // that says nothing of the bytes: they need not be looked at again when they come again
    expect([...store.query('SELECT settled FROM decoded_body ORDER BY body').rows]).toEqual([[1], [1]]);
  });

  test('no table is read whole for what was promised of one', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    (await captured(file, sendRun)).close();
    using db = closing(new Database(file));
    const plan = db.prepare<[{ body: number; place: string }], { detail: string }>(`EXPLAIN QUERY PLAN ${DECODING_SQL.promise}`);
    const steps = plan.all({ body: 1, place: 'm/motd' }).map(({ detail }) => detail);
    expect(steps.filter(step => step.startsWith('SCAN'))).toEqual([]);
    expect(steps.filter(step => step.includes('file_metadata_row_place'))).toHaveLength(2);
  });

  test('a body that is passed over is done with before the next one is read', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    (
      await captured(file, async line => {
        for (const name of ['a', 'b', 'c']) await fetch(line, name, name);
      })
    ).close();
    using db = closing(new Database(file));
    db.exec("DELETE FROM derived WHERE name = 'bodies'");
    const [first, second] = db.prepare<[], number>('SELECT seq FROM exchange ORDER BY seq').pluck().all();
    const seen: number[] = [];
    const decoding = createBodyDecoding(db, { culprit: first!, busy: at => void seen.push(at) });
    decoding.step(1000); // removes what a decoding that was cut off may have left
    expect(decoding.step(1000)?.at(-1)).toEqual(['decoded', first]);
    expect(seen).not.toContain(second);
  });

  test('and files after one another share the transactions of the writer', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const files = Array.from({ length: 60 }, (_, n) => `f${n}`);
    (
      await captured(file, async line => {
        for (const name of files) await promise(line, name, name);
        for (const name of files) await fetch(line, name, name);
      })
    ).close();
    using db = closing(new Database(file));
    const rows = (): unknown[] =>
      db.prepare('SELECT exchange, sha256, promised_by, verdict FROM file_content ORDER BY exchange').all();
    const before = rows();
    expect(before.length).toBe(60);
    db.exec("DELETE FROM derived WHERE name = 'bodies'; DELETE FROM file_content");
    db.exec("DELETE FROM decoded_body_row WHERE body IN (SELECT response_body FROM exchange WHERE indirection = 'file_content')");
    const decoding = createBodyDecoding(db);
    const apply = createApplyDerived(db);
    const steps: number[] = [];
    for (let writes = decoding.step(1000); writes !== null; writes = decoding.step(1000)) {
      steps.push(writes.length);
      apply({ writes, seq: null, settled: false });
    }
    expect(rows()).toEqual(before);
    // One that removes what a decoding that was cut off may have left; those of metadata, whose rows are there, take none.
    expect(steps.length).toBeLessThan(12);
    expect(Math.max(...steps)).toBeLessThanOrEqual(33);
  });
});

test('every view and column is described in docs/capture.md', async () => {
  using dir = tempDir();
  using store = await captured(dir.file('a.db'), () => Promise.resolve());
  const text = readFileSync(new URL('../../docs/capture.md', import.meta.url), 'utf8');
  // what has another name is a part of a table that is a view by now
  const named = "SELECT name FROM sqlite_schema WHERE type = 'view' AND name GLOB 'v_*' ORDER BY name";
  const views = [...store.query(named).rows].map(([name]) => String(name));
  expect(views.length).toBeGreaterThan(20);
  for (const view of views) {
    const about = text.split(/^## /m).find(part => part.startsWith(`${view}\n`)) ?? '';
    const missing = store.query(`SELECT * FROM ${view}`).columns.filter(column => !about.includes(`\`${column}\``));
    expect([view, missing]).toEqual([view, []]);
  }
});
