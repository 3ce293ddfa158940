import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shareCapture } from '../../src/capture/share.ts';
import { openStore } from '../../src/capture/store.ts';
import { planReplay } from '../../src/replay/agents-plan.ts';
import { recordedAnswers } from '../../src/replay/serve-entries.ts';
import { command } from '../share/command.ts';
import { agent, closing, open, type TempDir, tempDir, until } from './rig.ts';

const NODE = 'GET /puppet/v3/node/web01.lab?environment=production&transaction_uuid=00000000-0000-4000-8000-000000000001';
const PLUGINS = 'GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true';
const CATALOG = 'POST /puppet/v3/catalog/web01.lab?environment=production';
const FILE = 'GET /puppet/v3/file_content/modules/m/motd?environment=production';
const REPORT = 'PUT /puppet/v3/report/web01.lab?environment=production';

const DELAY = 'delay=20s ~phase node ~certname web01.lab';
const ANSWER = 'answer=/home/maria/catalog.json ~phase catalog';
const STATUS = 'status=503 retry-after=5s times=2 ~u motd';
const CUT = 'cut=10 ~phase pluginsync';

let dir: TempDir;
let file: string;
beforeEach(async () => {
  dir = tempDir();
  file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'web01.lab').connect();
  await line.send(NODE, { fault: DELAY, bodies: { response: Buffer.from('{"name":"web01.lab"}') } });
  await line.send(PLUGINS, {
    fault: CUT,
    outcome: { type: 'failed', failure: { reason: 'fault', action: 'cut=10', detail: null } },
    bodies: { response: Buffer.from('[{"path":"') },
  });
  await line.send(CATALOG, { fault: ANSWER, answeredBy: 'proxy', bodies: { response: Buffer.from('{"name":"web01.lab"}') } });
  await line.send(FILE, {
    fault: STATUS,
    answeredBy: 'proxy',
    status: 503,
    outcome: { type: 'failed', failure: { reason: 'fault', action: 'status=503', detail: null } },
  });
  await line.send(REPORT, { bodies: { request: Buffer.from('{"host":"web01.lab","logs":[]}') } });
  line.close();
  await recorder.close();
});
afterEach(() => dir[Symbol.dispose]());

const rules = (path: string): unknown[] => {
  using db = closing(new Database(path, { readonly: true }));
  return db.prepare('SELECT fault FROM v_exchange ORDER BY id').pluck().all();
};

test('the capture says of each exchange which rule it met', () => {
  using store = closing(openStore(file));
  expect([...store.exchanges()].map(({ fault }) => fault)).toEqual([DELAY, CUT, ANSWER, STATUS, null]);
  expect(store.exchange(4)).toMatchObject({ fault: STATUS, failure: { reason: 'fault', action: 'status=503', detail: null } });
  expect(rules(file)).toEqual([DELAY, CUT, ANSWER, STATUS, null]);
});

test('so does everything that reads it', async () => {
  const lists = await command('exchanges', file);
  expect(lists.out[1]).toMatch(/ 200 FAULT /);
  expect(lists.out[4]).toMatch(/ 503 failed FAULT /);
  expect(lists.out[5]).not.toContain('FAULT');
  const json = (await command('exchanges', file, '--json')).out.map(line => JSON.parse(line) as { fault: string | null });
  expect(json.map(({ fault }) => fault)).toEqual([DELAY, CUT, ANSWER, STATUS, null]);
  const page = await command('show', 'e4', file);
  expect(page.out.join('\n')).toMatch(/FAULT +on purpose, by --fault 'status=503 retry-after=5s times=2 ~u motd'/);
  const run = (await command('show', 'r1', file)).out.join('\n');
  expect(run).toContain(`[FAULT ${DELAY}]`);
  expect(run).not.toContain('[fault]');
  const findings = await command('findings', file, '--json');
  const found = findings.out.map(
    line => JSON.parse(line) as { rule: string; severity: string; evidence: { exchanges: string[] } },
  );
  expect(found.filter(({ rule }) => rule === 'faults-injected')).toMatchObject([
    { severity: 'info', evidence: { exchanges: ['e1', 'e2', 'e3', 'e4'] } },
  ]);
  const ids = async (filter: string): Promise<string[]> =>
    (await command('exchanges', file, filter, '--json')).out.map(line => (JSON.parse(line) as { id: string }).id);
  expect(await ids('~fault *')).toEqual(['e1', 'e2', 'e3', 'e4']);
  expect(await ids('!~fault *')).toEqual(['e5']);
  expect(await ids('~fault status=503')).toEqual(['e4']);
  expect((await command('runs', file, '~fault delay', '--json')).out).toHaveLength(1);
  const times = await command('times', file);
  expect(times.err.join()).toContain('4 requests of these met a fault on purpose');
  expect((await command('times', file, '!~fault *')).err).toEqual([]);
});

test('a HAR and back has it', async () => {
  const [har, again] = [dir.file('out.har'), dir.file('again.db')];
  expect((await command('export', 'r1', file, '--format', 'har', '-o', har)).code).toBe(0);
  expect((await command('import', har, '--capture', again)).code).toBe(0);
  expect(rules(again)).toEqual([DELAY, CUT, ANSWER, STATUS, null]);
  using store = closing(openStore(again));
  expect(store.exchange(4)?.failure).toEqual({ reason: 'fault', action: 'status=503', detail: null });
});

test('what is shared keeps the action, and not whom it was for', () => {
  using store = closing(openStore(file, 'bodies'));
  shareCapture(store, null, dir.file('shared.db'), 'full');
  expect(rules(dir.file('shared.db'))).toEqual(['delay=20s', 'cut=10', 'answer', 'status=503', null]);
});

test('what --retain deletes is gone', async () => {
  {
    using db = closing(new Database(file));
    db.exec('UPDATE run SET ended_at = ended_at - 3600000');
  }
  const recorder = await open(file, { retain: { runs: 1 } });
  for (const n of [2, 3]) {
    const line = agent(recorder, 'web01.lab').connect();
    await line.send(`${NODE.slice(0, -1)}${n}`, { fault: DELAY });
    await line.send(REPORT, { bodies: { request: Buffer.from('{"host":"web01.lab","logs":[]}') } });
    line.close();
  }
  const left = (): unknown[] => {
    using db = closing(new Database(file, { readonly: true }));
    return db.prepare('SELECT exchange FROM fault ORDER BY 1').pluck().all();
  };
  await until(() => !left().includes(4));
  expect(left().every(id => Number(id) > 5)).toBe(true);
  await recorder.close();
});

describe('what was made by a fault is not taken for the primary’s', () => {
  test('served is what only came later', () => {
    using store = closing(openStore(file, 'bodies'));
    const { book, unusable } = recordedAnswers(store, [...store.runs()]);
    expect(book.entries.map(({ exchange }) => exchange)).toEqual([1, 5]);
    expect(unusable).toEqual([2, 3, 4].map(exchange => ({ exchange, why: 'what it got was a fault on purpose' })));
  });

  test('replayed it is sent, and its answer compared with nothing', () => {
    using store = closing(openStore(file, 'bodies'));
    const plan = planReplay(store, [...store.runs()], { writes: new Set(), renamed: false });
    const sent = plan.runs[0]!.steps.flatMap(step => (step.type === 'send' ? [step.request] : []));
    expect(sent.map(({ exchange, compared }) => [exchange, compared])).toEqual([
      [1, true],
      [2, false],
      [3, false],
      [4, false],
      [5, true],
    ]);
    // The capture's rig gives a primary's status to all of them, but for what never got there.
    expect(sent[0]).toMatchObject({ status: 200, omitted: null });
  });

  test('compared with another exchange it differs in that', async () => {
    const { out } = await command('diff', `${file}:e1`, `${file}:e3`, '--json');
    expect(out.join()).toContain('"fault"');
    const runs = await command('diff', `${file}:r1`, `${file}:r1`);
    expect(runs.err.join()).toContain('r1 met a fault on purpose in 4 requests');
  });
});
