import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TextTerm } from '../../src/analysis/filter.ts';
import { printFilter } from '../../src/analysis/filter-print.ts';
import { type Asked, type AskedOn, requestFilter } from '../../src/analysis/filter-request.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import { routeOf } from '../../src/decode/route.ts';
import { toCertname } from '../../src/model.ts';
import { tempDir } from '../capture/rig.ts';
import { fc } from '../rig/properties.ts';
import { filters } from './arbitrary.ts';
import { type World, wanted, worldOf } from './naive.ts';

const dir = tempDir();
let store: Store;
let world: World;

beforeAll(() => {
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), dir.file('sample.db'));
  store = openStore(dir.file('sample.db'), 'bodies');
  world = worldOf(store);
});

afterAll(() => {
  store.close();
  dir[Symbol.dispose]();
});

const CONNECTION: AskedOn = {
  peer: '10.0.0.7:4711',
  target: 'puppet.example.com:8140',
  tls: { protocol: 'TLSv1.3', cipher: '', resumed: false, serverName: 'puppet.lab' },
};

function asked(line: string, certname: string | null = 'web1.example'): Asked {
  const [method = '', target = ''] = line.split(' ');
  return {
    certname: certname === null ? null : toCertname(certname),
    route: routeOf(method, target),
    request: {
      method,
      target,
      httpVersion: '1.1',
      fields: [
        ['Content-Type', 'application/json'],
        ['X-Puppet-Version', '8.10.0'],
      ],
    },
  };
}

const asks = (filter: string, line: string, certname?: string | null): boolean => {
  const read = requestFilter(filter);
  if (read.type === 'wrong') throw new Error(read.problem.message);
  return read.asks(asked(line, certname), CONNECTION);
};

const CATALOG = 'POST /puppet/v3/catalog/web1.example?environment=canary';

describe('a filter put to a request', () => {
  test.each([
    ['', true],
    ['~phase catalog', true],
    ['~phase file', false],
    ['~certname web1*', true],
    ['~certname web2*', false],
    ['!~certname *', false],
    ['~env canary', true],
    ['~u *environment=canary', true],
    ['~u /catalog\\/web\\d/', true],
    ['~m POST ~tq json', true],
    ['~m GET | ~tq pson', false],
    ['~hq "x-puppet-version: 8"', true],
    ['~hq x-puppet-version:*7.*', false],
    ['~d puppet.lab', true],
    ['~d puppet.example.com', true],
    ['~d other', false],
    ['~conn 10.0.0.7:', true],
    ['~conn 10.0.0.8', false],
    ['WEB1', true],
    ['motd', false],
    ['!(~phase file | motd)', true],
  ])('%s', (filter, expected) => {
    expect(asks(filter, CATALOG)).toBe(expected);
  });

  test('of an agent without a certname', () => {
    expect(asks('~certname *', CATALOG, null)).toBe(false);
    expect(asks('!~certname *', CATALOG, null)).toBe(true);
  });

  test('means what it means of the exchange in a capture', () => {
    const early = new Set<TextTerm>(['any', 'u', 'm', 'hq', 'tq', 'certname', 'env']);
    const words = [
      'catalog',
      'production',
      '/puppet/v3/',
      'web',
      'lab',
      'PUT',
      'json',
      'x-puppet-version: 7',
      'File',
      'a',
      '%',
      '*',
    ];
    const some = filters(words, term => term.type === 'phase' || (term.type === 'text' && early.has(term.on)));
    fc.assert(
      fc.property(some, filter => {
        const read = requestFilter(printFilter(filter));
        if (read.type === 'wrong') throw new Error(read.problem.message);
        const found = world.exchanges.filter(({ request, certname }) =>
          read.asks({ certname, request, route: routeOf(request.method, request.target) }, CONNECTION),
        );
        expect(found.map(({ id }) => id)).toEqual(wanted(world, filter, 'exchange'));
      }),
      { numRuns: 200 },
    );
  });
});

describe('what is not known so early is a problem with its place', () => {
  test.each([
    ['~phase catalog ~c 500', '~c is not known when a request comes', 'what is known: ~certname'],
    ['~h accept', '~h is not known when a request comes', 'of the request alone it is ~hq'],
    ['!~t json', '~t is not known when a request comes', 'of the request alone it is ~tq'],
    ['~bq facts', '~bq is not known when a request comes', 'what is known'],
    ['(~m PUT | ~e)', '~e is not known when a request comes', 'what is known'],
    ['~conn c5', '~conn with a number is not known when a request comes', 'an address is ~conn 10.0.0.7'],
    ['~run r3', '~run with a number is not known when a request comes', 'what is known'],
    ['~fact os.family=Debian', '~fact is not known when a request comes', 'what is known'],
    ['~nonsense x', '~nonsense is not known', 'the names are'],
  ])('%s', (text, message, hint) => {
    const read = requestFilter(text);
    expect(read).toMatchObject({
      type: 'wrong',
      problem: { message: expect.stringContaining(message), hint: expect.stringContaining(hint) },
    });
  });
});
