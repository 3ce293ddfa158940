import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Filter, Subject } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import type { Browser } from '../../src/capture/browse.ts';
import type { BrowsedList, BrowsedRows, Cursor, Page, PageRequest } from '../../src/capture/browse-shapes.ts';
import type { ExchangeRow } from '../../src/capture/store.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import { writePlausible } from '../bench/plausible.ts';
import { agent, closing, open, tempDir } from './rig.ts';

const EXCHANGES = 10_000;

const dir = tempDir();
let store: Store;
let browser: Browser;
let all: ExchangeRow[];

beforeAll(() => {
  writePlausible(dir.file('a.db'), EXCHANGES);
  store = openStore(dir.file('a.db'));
  browser = store.browse();
  all = [...store.exchanges()];
});

afterAll(async () => {
  await browser?.close();
  store?.close();
  dir[Symbol.dispose]();
});

function filterOf(text: string, subject: Subject = 'exchange'): Filter | null {
  const parsed = parseFilter(text, subject);
  if (parsed.type === 'wrong') throw new Error(parsed.problem.message);
  return parsed.filter;
}

/** All ids of a list, page by page. */
async function walked<List extends BrowsedList>(request: PageRequest<List>, backwards: boolean): Promise<number[]> {
  const ids: number[] = [];
  let place: Cursor | 'end' | null = backwards ? 'end' : null;
  for (let pages = 0; pages < 100_000; pages++) {
    const at: Partial<PageRequest<List>> = backwards ? { before: place ?? 'end' } : { after: place as Cursor | null };
    const page: Page<BrowsedRows[List]> = await browser.page({ ...request, ...at });
    const found = page.rows.map(row => row.id as number);
    ids[backwards ? 'unshift' : 'push'](...found);
    expect(page.rows.length <= request.limit).toBe(true);
    expect(page.first?.id ?? null).toBe(found[0] ?? null);
    expect(page.last?.id ?? null).toBe(found.at(-1) ?? null);
    if (page.reached === null) return ids;
    place = page.reached;
  }
  throw new Error('the pages have no end');
}

const byTime = (filter: Filter | null): number[] => [...store.exchanges({ match: filter })].map(({ id }) => id);

describe('pages', () => {
  test.each(['', '~c 404', '~phase report', '~e', '~u ntp ~phase file', 'nothing-such', '~run r3', '~b changed'])(
    'of %j are the list, from either end',
    async text => {
      const filter = filterOf(text);
      const expected = byTime(filter);
      expect(await walked({ list: 'exchange', filter, limit: 700 }, false)).toEqual(expected);
      expect(await walked({ list: 'exchange', filter, limit: 700 }, true)).toEqual(expected);
      const newestFirst = { by: 'time', descending: true } as const;
      expect(await walked({ list: 'exchange', filter, limit: 300, sort: newestFirst }, false)).toEqual(expected.toReversed());
      expect(await browser.count({ list: 'exchange', filter })).toBe(expected.length);
    },
  );

  test('of runs and connections', async () => {
    const filter = filterOf('~certname web*', 'run');
    expect(await walked({ list: 'run', filter, limit: 10 }, true)).toEqual(
      [...store.runs({ match: filter })].map(({ id }) => id),
    );
    expect(await walked({ list: 'connection', run: 5, limit: 1 }, false)).toEqual(
      [...store.connections({ run: 5 })].map(({ id }) => id),
    );
    expect(await walked({ list: 'exchange', run: 5, limit: 7 }, true)).toEqual(
      [...store.exchanges({ run: 5 })].map(({ id }) => id),
    );
  });

  test('without time for more end where they are, and go on from there', async () => {
    const filter = filterOf('~c 5xx');
    const expected = byTime(filter);
    expect(await walked({ list: 'exchange', filter, limit: 50, budgetMs: 0 }, true)).toEqual(expected);
    const page = await browser.page({ list: 'exchange', filter, limit: 50, budgetMs: 0, before: 'end' });
    expect(page.reached?.id).toBeGreaterThan(1);
  });

  test.each([
    ['duration', (row: ExchangeRow) => row.endMono - row.startMono],
    ['bytes', (row: ExchangeRow) => row.requestBytes + row.responseBytes],
    ['status', (row: ExchangeRow) => row.status ?? 0],
  ] as const)('sorted by %s, both ways', async (by, key) => {
    const filter = filterOf('~phase catalog | ~c 404');
    const wanted = new Set(byTime(filter));
    const expected = all
      .filter(({ id }) => wanted.has(id))
      .sort((a, b) => key(a) - key(b) || a.id - b.id)
      .map(({ id }) => id);
    for (const backwards of [false, true]) {
      expect(await walked({ list: 'exchange', filter, limit: 90, sort: { by, descending: false } }, backwards)).toEqual(expected);
      expect(await walked({ list: 'exchange', filter, limit: 90, sort: { by, descending: true } }, backwards)).toEqual(
        expected.toReversed(),
      );
    }
  });
});

describe('a sorted list that is longer than what is put in order at once', () => {
  test.each([
    ['duration', (row: ExchangeRow) => row.endMono - row.startMono],
    ['bytes', (row: ExchangeRow) => row.requestBytes + row.responseBytes],
    ['status', (row: ExchangeRow) => row.status ?? 0],
  ] as const)('by %s is whole, both ways, and turned around anywhere', async (by, key) => {
    const expected = all.toSorted((a, b) => key(a) - key(b) || a.id - b.id).map(({ id }) => id as number);
    const request = { list: 'exchange', limit: 900, sort: { by, descending: false } } as const;
    expect(await walked(request, false)).toEqual(expected);
    const turned = { ...request, sort: { by, descending: true } };
    expect(await walked(turned, true)).toEqual(expected.toReversed());
    const row = all.find(({ id }) => id === expected[5_000])!;
    const place = { key: key(row), id: row.id };
    const after = await browser.page({ ...request, after: place });
    expect(after.rows.map(({ id }) => id)).toEqual(expected.slice(5_001, 5_901));
    const before = await browser.page({ ...request, before: after.first! });
    expect(before.rows.map(({ id }) => id)).toEqual(expected.slice(4_101, 5_001));
    expect((await browser.page({ ...request, after: before.last })).rows).toEqual(after.rows);
  });
});

describe('a filter that asks what exchanges have in common', () => {
  const texts = [
    '~h "content-type: text/pson"',
    '!~hq x-puppet-version:*8.1*',
    '~hs /^Content-Length: 1\\d+$/',
    '~t pson | ~tq form',
    '~d puppet.example.com',
    '!~d *',
    '~conn 10.0.1.',
    '~b changed !~bq facts',
    '~phase catalog (~h pson | ~b "Evaluation Error")',
  ];

  /** A browser of its own: it has learned nothing yet. */
  test.each(texts)('%s counts and walks as it does when each is asked', async text => {
    const own = store.browse();
    try {
      const filter = filterOf(text);
      const wanted = byTime(filter);
      const request = { list: 'exchange', filter } as const;
      for (const _ of ['not known yet', 'known']) expect(await own.count(request)).toBe(wanted.length);
      // One row a page and no time: it goes on, and learns on the way.
      const first = await own.page({ ...request, limit: 1, budgetMs: 0 });
      const found = first.rows.map(({ id }) => id as number);
      for (let place = first.reached; place !== null; ) {
        const page: Page<ExchangeRow> = await own.page({ ...request, after: place, limit: 400, budgetMs: 1 });
        found.push(...page.rows.map(({ id }) => id as number));
        place = page.reached;
      }
      expect(found).toEqual(wanted);
    } finally {
      await own.close();
    }
  });

  test.each(['~h "content-type: text/pson"', '~b changed', '~d puppet*'])('%s of runs is the same', async text => {
    const filter = filterOf(text, 'run');
    const wanted = [...store.runs({ match: filter })].length;
    for (const _ of ['not known yet', 'known']) expect(await browser.count({ list: 'run', filter })).toBe(wanted);
  });
});

describe('a long search', () => {
  const everywhere = '!~b "no body has this"';

  test('is cancelled, and what comes after it is answered', async () => {
    const abort = new AbortController();
    const counting = browser.count({ list: 'exchange', filter: filterOf(everywhere) }, undefined, abort.signal);
    const rejected = expect(counting).rejects.toMatchObject({ name: 'AbortError' });
    await browser.page({ list: 'exchange', limit: 3 }); // the count has begun
    abort.abort();
    await rejected;
    expect((await browser.page({ list: 'exchange', limit: 3 })).rows).toHaveLength(3);
    await expect(browser.count({ list: 'exchange' }, undefined, AbortSignal.abort())).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  test('lets pages go before it, and tells how far it is', async () => {
    const parts: number[] = [];
    const order: string[] = [];
    const counting = browser
      .count({ list: 'exchange', filter: filterOf(everywhere) }, ({ part }) => parts.push(part))
      .then(count => {
        order.push('count');
        return count;
      });
    await browser.page({ list: 'exchange', filter: filterOf('~c 404'), limit: 20 }).then(() => order.push('page'));
    expect(await counting).toBe(EXCHANGES);
    expect(order).toEqual(['page', 'count']);
    expect(parts.every((part, i) => part > (parts[i - 1] ?? 0) && part <= 1)).toBe(true);
  });

  test('does not hold up the thread that asked', async () => {
    const before = process.threadCpuUsage();
    await browser.count({ list: 'exchange', filter: filterOf('!~b "nor this"') });
    const used = process.threadCpuUsage(before);
    expect((used.user + used.system) / 1_000).toBeLessThan(100);
  });
});

test('a capture that is being written is read as far as it is', async () => {
  const file = dir.file('live.db');
  const recorder = await open(file);
  const line = agent(recorder, 'web01.lab').connect();
  await line.send('GET /puppet/v3/node/web01.lab?environment=production');
  using live = closing(openStore(file));
  const other = live.browse();
  const bySize = { list: 'exchange', limit: 5, sort: { by: 'bytes', descending: true } } as const;
  expect((await other.page(bySize)).rows).toHaveLength(1);
  const body = Buffer.alloc(5_000, 'x');
  const id = await line.send('GET /puppet/v3/catalog/web01.lab?environment=production', { bodies: { response: body } });
  expect((await other.page({ list: 'exchange', filter: filterOf('~b xxx'), before: 'end', limit: 5 })).rows).toMatchObject([
    { id },
  ]);
  expect((await other.page(bySize)).rows.map(row => row.responseBytes)).toEqual([5_000, 0]);
  expect(await other.count({ list: 'exchange' })).toBe(2);
  await other.close();
  await recorder.close();
});

describe('what cannot be answered', () => {
  test('is refused in words', async () => {
    const bad = (request: object): Promise<unknown> => browser.page(request as PageRequest<'exchange'>);
    await expect(bad({ list: 'sqlite_master', limit: 5 })).rejects.toThrow('there is no such list');
    await expect(bad({ list: 'exchange', limit: 0 })).rejects.toThrow('a page has 1 to 1000 rows');
    await expect(bad({ list: 'exchange', limit: 5, sort: { by: 'failed', descending: true } })).rejects.toThrow(
      'not sorted by failed',
    );
  });

  test('is rejected when the browser is closed', async () => {
    const other = store.browse();
    const pending = other.count({ list: 'exchange', filter: filterOf('!~b "not this"') });
    const rejected = expect(pending).rejects.toThrow('the capture is closed');
    await other.close();
    await rejected;
    await expect(other.page({ list: 'run', limit: 1 })).rejects.toThrow('the capture is closed');
  });
});
