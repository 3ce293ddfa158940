import { copyFileSync, readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lockCapture } from '../../src/capture/lock.ts';
import { agent, open } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { type Folder, folder, sample } from './rig.ts';

let dir: Folder;

beforeAll(() => {
  dir = folder();
});
afterAll(() => dir[Symbol.dispose]());

async function lines(capture: string, ...runs: string[]): Promise<Record<string, unknown>[]> {
  const out = dir.path('out.jsonl');
  const { code, err } = await stringtap('export', ...runs, '--capture', capture, '--format', 'jsonl', '-o', out);
  expect([code, err]).toEqual([0, []]);
  return readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);
}

test('JSON lines: recordings, runs, connections, then exchanges with what was decoded, in the shapes of --json', async () => {
  const file = sample(dir);
  const all = await lines(file, 'r2');
  const of = (type: string) => all.filter(line => line.type === type);
  expect(all.map(line => line.type)).toEqual([...all.map(line => line.type)].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b)));
  expect(of('run')).toMatchObject([{ id: 'r2', certname: 'web01.lab', exchanges: 7 }]);
  expect(of('exchange')).toHaveLength(7);
  const listed = (await stringtap('exchanges', file, '--run', 'r2', '--json')).out.map(
    line => JSON.parse(line) as Record<string, unknown>,
  );
  for (const [n, { problem: _, ...row }] of listed.entries()) expect(of('exchange')[n]).toMatchObject(row);
  const catalog = of('exchange').find(line => line.phase === 'catalog') as {
    decoded: Record<string, unknown[]>;
    bodies: object[];
  };
  expect(Object.keys(catalog.decoded)).toEqual(
    expect.arrayContaining(['catalogRequest', 'fact', 'catalog', 'resource', 'edge', 'class', 'body']),
  );
  expect(catalog.bodies[0]).toMatchObject({ side: 'request', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
});

const ORDER: unknown[] = ['recording', 'run', 'connection', 'exchange'];

test('show and search hide what is a secret by its name; --reveal shows it', async () => {
  const own = dir.path('named.db');
  const recorder = await open(own);
  const line = agent(recorder, 'agent.example').connect();
  const parameters = { password: 'hunter22-hunter22', rotate: 'ENC[PKCS7,MIIBeQYJKoZIhvcNAQcDoIIBajCCAWYCAQAx]', uid: '1000' };
  const catalog = {
    name: 'agent.example',
    resources: [{ type: 'User', title: 'app', parameters, tags: [] }],
    edges: [],
    classes: [],
  };
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: { response: Buffer.from(JSON.stringify(catalog)) },
    responseFields: [['Content-Type', 'application/json']],
  });
  const report = {
    host: 'agent.example',
    logs: [{ level: 'err', message: 'useradd -p hunter22-hunter22 failed', source: 'Puppet' }],
  };
  await line.send('PUT /puppet/v3/report/agent.example', {
    bodies: { request: Buffer.from(JSON.stringify(report)) },
    fields: [['Content-Type', 'application/json']],
  });
  line.close();
  await recorder.close();
  const shown = async (...args: string[]) => (await stringtap(...args, own)).out.join('\n');
  const ways = [
    ['show', 'e1'],
    ['show', 'r1', 'resources'],
    ['show', 'r1', 'logs'],
    ['show', 'e1', '--body', 'response'],
    ['show', 'e1', '--json'],
    ['search', 'useradd'],
  ];
  for (const way of ways) {
    const text = await shown(...way);
    expect(text.length, way.join(' ')).toBeGreaterThan(20);
    expect(text, way.join(' ')).not.toMatch(/hunter22|MIIBeQ/);
  }
  expect(await shown('show', 'r1', 'resources')).toContain('password => (hidden), rotate => (hidden), uid => 1000');
  for (const way of ways.slice(1, 5)) expect(await shown(...way, '--reveal'), way.join(' ')).toContain('hunter22');
});

test('the event loop turns while a capture is exported: what read its bodies is freed', async () => {
  const own = dir.path('turns.db');
  const recorder = await open(own);
  const line = agent(recorder, 'agent.example').connect();
  for (let n = 0; n < 4; n++) await line.send(`GET /other/${n}?${'x'.repeat(100_000)}`);
  line.close();
  await recorder.close();
  let turns = 0;
  const seen = new Set<number>();
  const timer = setInterval(() => turns++, 0);
  const io = { out: () => undefined, err: () => undefined, chatter: () => undefined, write: () => void seen.add(turns) };
  const { main } = await import('../../src/cli.ts');
  await main(['node', 'stringtap', 'export', own, '--format', 'har'], {
    ...{ ...io, stdoutIsTerminal: false, columns: 80, env: {}, exitCode: 0 },
  });
  clearInterval(timer);
  expect(seen.size).toBeGreaterThan(2);
});

test('who exports what is not decoded yet reads that not all of its secrets are known', async () => {
  const file = dir.path('live.db');
  copyFileSync(sample(dir), file);
  const db = new Database(file);
  db.exec("UPDATE derived SET seq = seq - 2 WHERE name = 'bodies'");
  db.close();
  // As a proxy that writes it.
  const lock = lockCapture(file, 0);
  try {
    const said = async (...words: string[]) =>
      (await stringtap('export', '--capture', file, '--format', 'jsonl', '-o', dir.path('late.jsonl'), ...words)).err;
    const late = [expect.stringMatching(/^stringtap: \d+ exchanges? not decoded yet: /), expect.stringMatching(/^hint: /)];
    expect(await said()).toEqual(late);
    expect(await said('r7')).toEqual(late);
    expect(await said('r6')).toEqual([]);
    expect(await said('r7', '--reveal')).toEqual([]);
  } finally {
    lock?.release();
  }
});
