import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Filter, Term } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import { printFilter } from '../../src/analysis/filter-print.ts';
import { termInfo } from '../../src/analysis/filter-terms.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { fc } from '../rig/properties.ts';
import { filters } from './arbitrary.ts';
import { type World, wanted, worldOf } from './naive.ts';

const LISTS = ['exchange', 'run', 'connection'] as const;
type List = (typeof LISTS)[number];

const dir = tempDir();
const sample = dir.file('sample.db');
const hostile = dir.file('hostile.db');
let stores: Store[];
let worlds: World[];

beforeAll(async () => {
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), sample);
  await writeHostile(hostile);
  stores = [sample, hostile].map(file => openStore(file, 'bodies'));
  worlds = stores.map(worldOf);
});

afterAll(() => {
  for (const store of stores ?? []) store.close();
  dir[Symbol.dispose]();
});

/** Values that are syntax somewhere on the way: of LIKE, of JSON, of the filter language. */
async function writeHostile(file: string): Promise<void> {
  const recorder = await open(file);
  const line = agent(recorder, 'web01.lab').connect('10.0.0.7:4711');
  const other = agent(recorder, 'db_01.lab').connect('[::1]:4711');
  const text = 'Ä "quoted", 100% of a_b\\c ["x","y"] É';
  await line.send('GET /puppet/v3/node/web01.lab?environment=production&transaction_uuid=11111111-2222-4333-8444-555555555555', {
    responseFields: [
      ['Content-Type', 'application/json; charset="utf-8"'],
      ['X-Odd', text],
      ['X', ''],
      ['X', ': a: : b: : : : : : '],
      ['content-type', 'text/%'],
    ],
    bodies: { response: Buffer.from(text) },
  });
  await line.send(`GET /puppet/v3/file_content/modules/%25/a_b%22,%22?environment=${encodeURIComponent('prod%_')}`, {
    status: 404,
    fault: 'delay=5s ~u "a_b 100%" | motd',
    responseFields: [
      ['Content-Encoding', 'gzip'],
      ['Connection', 'close'],
    ],
    bodies: { response: gzipSync('packed MOTD inside, ÄÖ') },
  });
  await other.send('PUT /puppet/v3/report/db_01.lab?environment=production', {
    status: 500,
    bodies: { request: Buffer.from([0xff, 0xfe, 0x41, 0x00, 0x42]), response: gzipSync('not said to be packed') },
  });
  await other.send('GET /puppet/v3/catalog/db_01.lab?environment=STAGING', { status: null, outcome: { type: 'abandoned' } });
  await line.send('GET /else', {
    certname: null,
    responseFields: [['Content-Encoding', 'gzip']],
    bodies: { response: Buffer.from('no gzip') },
  });
  line.close();
  other.close('proxy', 'idle-timeout');
  await recorder.close();
}

const WORDS = [
  '/puppet/v3/catalog', 'file_content', 'production', 'environment', 'web01.lab', 'WEB', 'lab', 'PUT', 'motd', 'ntp', 'json', 'text/',
  'application/json', 'content-type: ', 'Content-Type: text/plain', 'accept', 'x-puppet-version: 7', ': ', ': : : : : : ', 'X: : a: : b: ', 'e:', ' a', 'connection: close',
  'File[', 'os.family=', 'kernel', 'Debian', 'error', '127.0.0.1', '10.0.0', '::1', 'puppet', '%', '_', 'a_b', '100%', '"', '\\', '","',
  '["', 'Ä', 'é', 'É "', 'packed', 'MOTD', 'delay=', '\ufffd', '11111111-2222', 'catalog', 'null', 'X: ', 'odd: Ä', '7.23', 'e',
]; // biome-ignore format: a list of words

function ids(store: Store, list: List, match: Filter): number[] {
  if (list === 'run') return [...store.runs({ match })].map(({ id }) => id);
  return list === 'exchange'
    ? [...store.exchanges({ match })].map(({ id }) => id)
    : [...store.connections({ match })].map(({ id }) => id);
}

function filterOf(text: string, list: List): Filter {
  const parsed = parseFilter(text, list);
  if (parsed.type === 'wrong' || parsed.filter === null) throw new Error(`${text} is no filter`);
  return parsed.filter;
}

/** Whether the parser lets this term through for the list. */
function asks(term: Term, list: List): boolean {
  const name =
    term.type === 'text'
      ? term.on
      : term.type === 'ids'
        ? term.of
        : term.type === 'flag'
          ? term.flag
          : term.type === 'phase'
            ? 'phase'
            : 'c';
  return name === 'any' || (termInfo(name)?.subjects.includes(list) ?? false);
}

describe.each(LISTS)('a filter on %s rows', list => {
  test('gives in SQL what it means', () => {
    let matched = 0;
    fc.assert(
      fc.property(
        filters(WORDS, term => asks(term, list)),
        filter => {
          stores.forEach((store, i) => {
            const expected = wanted(worlds[i]!, filter, list);
            if (expected.length > 0) matched++;
            expect({ filter: printFilter(filter), ids: ids(store, list, filter) }).toEqual({
              filter: printFilter(filter),
              ids: expected,
            });
          });
        },
      ),
      { numRuns: 300 },
    );
    expect(matched).toBeGreaterThan(100);
  });

  test('each word with each name gives in SQL what it means', () => {
    for (const word of WORDS) {
      for (const on of ['any', 'u', 'h', 'hs', 't', 'ts', 'b', 'certname', 'env', 'd', 'res', 'fact', 'run', 'conn'] as const) {
        const filter: Filter = { type: 'text', on, pattern: { type: 'text', pieces: [word] }, at: 0, end: 0 };
        if (!asks(filter, list)) continue;
        stores.forEach((store, i) => {
          expect({ on, word, ids: ids(store, list, filter) }).toEqual({ on, word, ids: wanted(worlds[i]!, filter, list) });
        });
      }
    }
  });
});

describe('what people ask', () => {
  const cases: Array<[text: string, list: List, count: number]> = [
    ['~c 404', 'exchange', 1],
    ['~e', 'exchange', 2],
    ['~q', 'exchange', 1],
    ['~b "packed motd"', 'exchange', 1],
    ['~b packed', 'exchange', 1],
    ['~b packed*inside', 'exchange', 1],
    ['~hs "connection: close"', 'exchange', 1],
    ['~env prod%_', 'exchange', 1],
    ['~u a_b', 'exchange', 1],
    ['~conn 10.0.0.7', 'exchange', 3],
    ['!~certname *', 'exchange', 1],
    ['~c 5xx', 'run', 1],
    ['!~c 5xx', 'run', 2],
    ['~run 11111111-2222-4', 'run', 1],
    ['~certname web*', 'connection', 1],
  ];
  test.each(cases)('%s of %ss', (text, list, count) => {
    expect(ids(stores[1]!, list, filterOf(text, list))).toHaveLength(count);
  });

  test('the text of a filter is never SQL', () => {
    for (const text of [
      '~u "\' OR 1=1 --"',
      "~certname \"x') OR ('1'='1\"",
      '~b "%"',
      '~u "?"',
      '~res "\'); DROP TABLE run; --"',
    ]) {
      for (const list of LISTS) {
        const parsed = parseFilter(text, list);
        if (parsed.type === 'wrong' || parsed.filter === null) continue;
        expect(ids(stores[1]!, list, parsed.filter)).toEqual(wanted(worlds[1]!, parsed.filter, list));
      }
    }
  });

  test('a regex that would backtrack for ever ends', () => {
    const began = performance.now();
    ids(stores[0]!, 'exchange', filterOf('~b /(x+x+)+y/ | ~u /(.*a){12}b/ | ~h /^(([a-z])+.)+[A-Z]([a-z])+$/', 'exchange'));
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
