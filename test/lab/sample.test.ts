import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/capture/store.ts';
import { leaks } from './sample-leaks.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

let dir = '';
let file = '';
let store: Store;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-sample-test-'));
  file = join(dir, 'sample.db');
  copyFileSync(SAMPLE, file); // reading may bring it up to date
  store = openStore(file, 'bodies');
});

afterAll(() => {
  store.close();
  rmSync(dir, { recursive: true, force: true });
});

test('the sample tells its story: seven runs of two agents', () => {
  const runs = [...store.runs()].map(({ id, certname, end }) => {
    const [report] = store.decoded.rows('report', { run: id });
    return `${certname} ${end} ${report?.status}`;
  });
  const [web, db] = ['web01.lab report', 'db01.lab report'];
  const statuses = [`${web} changed`, `${web} unchanged`, `${db} changed`, `${web} failed`, `${web} failed`, `${db} unchanged`];
  expect(runs).toEqual([...statuses, `${web} changed`]);
  expect(store.decoded.rows('resource_status', { run: 4 }).filter(({ failed }) => failed)).toHaveLength(1);
  expect(store.decoded.rows('refusal', { run: 5 }).map(({ error }) => error)).toEqual([expect.stringContaining('role::webb')]);
  expect(store.losses()).toEqual([]);
});

test('one of its runs has slow facts: 3 s between pluginsync and the catalog request', () => {
  const exchanges = [...store.exchanges({ run: 6 })];
  const catalog = exchanges.findIndex(({ phase }) => phase === 'catalog');
  expect(exchanges[catalog]!.startMono - exchanges[catalog - 1]!.endMono).toBeGreaterThan(3000);
});

test('it is small, and says nothing of the machine that recorded it', () => {
  expect(statSync(SAMPLE).size).toBeLessThan(2_000_000);
  // What `npm run lab:sample` looks for is of its own machine; these no machine's sample may have.
  const folder = (name: string): string => `/${name}/`;
  const words = { home: folder('home'), root: folder('root'), temporary: folder('tmp'), key: 'PRIVATE KEY' };
  expect(leaks(file, words)).toEqual([]);
  // The search finds what is there: in tables, in bodies, in facts that are encoded twice.
  expect(leaks(file, { certname: 'web01.lab' }).length).toBeGreaterThan(50);
  expect(leaks(file, { fact: '"macaddress":"00:00:5e:00:53:21"' }).filter(place => place.endsWith('"'))).not.toEqual([]);
  expect(readFileSync(SAMPLE).subarray(0, 15).toString()).toBe('SQLite format 3');
});
