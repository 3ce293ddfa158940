import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openStore, type RunRow, type Store } from '../../src/capture/store.ts';
import { createSource } from '../../ui/source.ts';
import { requestsScreen } from '../../ui/views/requests.ts';
import { writePlausible } from '../bench/plausible.ts';
import { openUi, SMALL } from './rig.ts';

/** A capture of many runs, few of which went wrong. */

const dir = mkdtempSync(join(tmpdir(), 'stringtap-problems-'));
const file = join(dir, 'long.db');
writePlausible(file, 40_000);
const store = openStore(file);
afterAll(() => {
  store.close();
  rmSync(dir, { recursive: true, force: true });
});

const wrong = [...store.runs({ reverse: true })].filter(
  row => row.failed > 0 || [...store.findings({ run: row.id, severity: 'error' })].length > 0,
);

test('the next run that went wrong is found however far away it is, and the list is there', async () => {
  let asked = 0;
  const counted: Store = {
    ...store,
    findings(filter) {
      asked += 1;
      return store.findings(filter);
    },
  };
  using ui = openUi(counted, SMALL);
  const last = wrong.at(-1)!;
  const place = [...store.runs({ reverse: true })].findIndex(row => row.id === last.id);
  expect(place, 'beyond the rows that are read at once').toBeGreaterThan(300);
  for (const row of wrong) {
    asked = 0;
    await ui.send('e');
    await ui.shows(`▌ r${row.id} `);
    expect(asked, 'rows that a key looks at').toBeLessThan(150);
  }
  await ui.send('e');
  await ui.shows('no run with a problem below this one');
  await ui.send('j', 'k', 'E');
  await ui.shows(`▌ r${wrong.at(-2)!.id} `);
});

test('what was still to be counted when the screens end begins no thread', async () => {
  const source = createSource(store);
  await source.close();
  expect(() => source.browser()).toThrow('have ended');
});

test('a long list says how long it is, wherever one is in it', async () => {
  using ui = openUi(store, SMALL);
  await ui.shows(`1 of ${[...store.runs()].length} `);
  await ui.send(':');
  await ui.type('requests');
  await ui.shows('1 of 40000 ');
  await ui.send('G');
  await ui.shows(' last of 40000 ');
  await ui.send('k', 'k');
  await ui.shows(' last but 2 of 40000 ');
  for (let page = 0; page < 40; page += 1) await ui.send('\x02');
  await ui.shows(' of 40000 ');
  expect(ui.frame().at(-2)).toMatch(/^ +of 40000 $/);
});

describe('in a list that is sorted or filtered, the next that went wrong is found beyond what was read', () => {
  const failed = (id: number): boolean => wrong.some(row => row.id === id);

  test('runs by another column', async () => {
    using ui = openUi(store, SMALL);
    const bytes = (row: RunRow): number => row.requestBytes + row.responseBytes;
    const sorted = [...store.runs()].sort((a, b) => bytes(b) - bytes(a) || b.id - a.id);
    const places = sorted.flatMap((row, i) => (failed(row.id) && i > 0 ? [i] : []));
    expect(places.at(-1), 'beyond the rows that are read at once').toBeGreaterThan(300);
    await ui.send('o', 'o');
    await ui.shows('by bytes up and down  1 of');
    for (const place of places) {
      await ui.send('e');
      await ui.shows(`▌ r${sorted[place]!.id} `);
    }
    await ui.send('e');
    await ui.shows('no run with a problem below this one');
    // The list goes on from there, in both directions.
    await ui.send('k');
    await ui.shows(`▌ r${sorted[places.at(-1)! - 1]!.id} `);
    await ui.send('j', 'E');
    await ui.shows(`▌ r${sorted[places.at(-2)!]!.id} `);
  });

  test('requests of a filter, in any order', async () => {
    using ui = openUi(store, SMALL, { first: env => requestsScreen(env, { filter: '~phase catalog' }) });
    const catalogs = [...store.exchanges({ phase: 'catalog' })];
    const bad = catalogs.filter(row => (row.status ?? 500) >= 400);
    expect(catalogs.findIndex(row => row.id === bad.at(-1)!.id)).toBeGreaterThan(300);
    await ui.shows('1 of ');
    for (const row of bad.slice(catalogs[0]!.id === bad[0]!.id ? 1 : 0)) {
      await ui.send('e');
      await ui.shows(`▌ e${row.id} `);
    }
    await ui.send('e');
    await ui.shows('no problem behind this row');
    await ui.send('o');
    await ui.shows('by duration  1 of');
    const slowest = catalogs.sort((a, b) => b.endMono - b.startMono - (a.endMono - a.startMono) || b.id - a.id);
    for (const row of slowest.slice(1).filter(({ id }) => bad.some(other => other.id === id))) {
      await ui.send('e');
      await ui.shows(`▌ e${row.id} `);
    }
    await ui.send('e');
    await ui.shows('no problem behind this row');
  });
});
