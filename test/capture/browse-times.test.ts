import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Filter } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import {
  foldTimes,
  type GroupTimes,
  groupOf,
  sortTimes,
  TIMES_BY,
  TIMES_SORTS,
  type TimesBy,
  usualSort,
} from '../../src/analysis/times.ts';
import type { Browser } from '../../src/capture/browse.ts';
import { type ExchangeRow, openStore, type Store } from '../../src/capture/store.ts';
import { writePlausible } from '../bench/plausible.ts';
import { agent, open, tempDir } from './rig.ts';

const dir = tempDir();
let store: Store;
let browser: Browser;
let all: ExchangeRow[];

beforeAll(() => {
  writePlausible(dir.file('a.db'), 5_000);
  store = openStore(dir.file('a.db'));
  browser = store.browse();
  all = [...store.exchanges()];
});

afterAll(async () => {
  await browser?.close();
  store?.close();
  dir[Symbol.dispose]();
});

function filterOf(text: string): Filter | null {
  const parsed = parseFilter(text, 'exchange');
  if (parsed.type === 'wrong') throw new Error(parsed.problem.message);
  return parsed.filter;
}

/** The figures of `stringtap times`. */
function expected(rows: readonly ExchangeRow[], by: TimesBy): GroupTimes[] {
  const groups = [...foldTimes(rows, row => groupOf(row, by))].map(([group, times]) => ({ ...times, group }));
  return sortTimes(groups, by, usualSort(by));
}

const close = (times: GroupTimes): object => ({ ...times, totalMs: expect.closeTo(times.totalMs, 6) as number });
const wanted = (by: TimesBy) => ({ by, sort: usualSort(by), limit: 100_000 });

describe('times', () => {
  test.each(TIMES_BY)('by %s are those of the list of exchanges, and each group has its exchanges', async by => {
    const found = await browser.times(wanted(by));
    const groups = expected(all, by);
    expect(found.rows).toEqual(groups.map(close));
    expect(found).toMatchObject({ groups: groups.length, requests: all.length });
    expect(found.totalMs).toBeCloseTo(
      groups.reduce((sum, { totalMs }) => sum + totalMs, 0),
      4,
    );
    for (const { group } of groups.slice(0, 5)) {
      const request = { list: 'exchange', groups: [{ by, name: group }] } as const;
      const ids = all.filter(row => groupOf(row, by) === group).map(({ id }) => id);
      expect(await browser.count(request)).toBe(ids.length);
      expect((await browser.page({ ...request, limit: 1_000 })).rows.map(({ id }) => id)).toEqual(ids.slice(0, 1_000));
    }
  });

  test('of what a filter wants, and of what is in groups besides', async () => {
    const filter = filterOf('~phase catalog | ~c 404');
    const rows = [...store.exchanges({ match: filter })];
    expect((await browser.times({ ...wanted('certname'), filter })).rows).toEqual(expected(rows, 'certname').map(close));
    const name = expected(rows, 'certname')[0]!.group;
    const own = rows.filter(row => row.certname === name);
    const groups = [{ by: 'certname', name }] as const;
    expect((await browser.times({ ...wanted('phase'), filter, groups })).rows).toEqual(expected(own, 'phase').map(close));
    expect(await browser.times({ ...wanted('phase'), filter: filterOf('nothing-such') })).toEqual({
      ...{ rows: [], groups: 0, requests: 0, totalMs: 0 },
    });
  });

  test('the first groups of an order come first, and it is said how many there are', async () => {
    const groups = expected(all, 'request');
    for (const by of TIMES_SORTS) {
      const sort = { by, descending: true };
      const found = await browser.times({ by: 'request', sort, limit: 3 });
      expect(found.rows.map(({ group }) => group)).toEqual(
        sortTimes(groups, 'request', sort)
          .slice(0, 3)
          .map(({ group }) => group),
      );
      expect(found.groups).toBe(groups.length);
    }
  });

  test('that take long tell how far they are, and can be stopped', async () => {
    const own = store.browse();
    try {
      const filter = filterOf('!~b "no body has this"');
      const abort = new AbortController();
      const parts: number[] = [];
      const timing = own.times(
        { ...wanted('phase'), filter },
        ({ part }) => {
          parts.push(part);
          abort.abort();
        },
        abort.signal,
      );
      await expect(timing).rejects.toMatchObject({ name: 'AbortError' });
      expect(parts[0]).toBeGreaterThan(0);
      // What was looked at before it was stopped is not counted twice.
      expect((await own.times({ ...wanted('phase'), filter })).rows).toEqual(expected(all, 'phase').map(close));
    } finally {
      await own.close();
    }
  });
});

test('a capture that grows is looked at again where it has to be', async () => {
  const recorder = await open(dir.file('live.db'));
  const live = openStore(dir.file('live.db'));
  const own = live.browse();
  try {
    const line = agent(recorder, 'agent1.example').connect();
    for (let round = 1; round <= 3; round += 1) {
      await line.send('GET /puppet/v3/node/agent1.example?environment=production');
      await line.send(`GET /puppet/v3/file_metadata/modules/m/file${round}?environment=production`);
      const rows = [...live.exchanges()];
      expect(rows).toHaveLength(2 * round);
      for (const by of TIMES_BY.filter(name => name !== 'run'))
        expect((await own.times(wanted(by))).rows, by).toEqual(expected(rows, by).map(close));
    }
  } finally {
    await own.close();
    live.close();
    await recorder.close();
  }
  // Runs are known some time after their exchanges.
  const ended = openStore(dir.file('live.db'));
  const after = ended.browse();
  expect((await after.times(wanted('run'))).rows).toEqual(expected([...ended.exchanges()], 'run').map(close));
  await after.close();
  ended.close();
});
