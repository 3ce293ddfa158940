import { describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/analysis/compare.ts';
import type { RunData } from '../../src/analysis/compare-data.ts';
import { compareExchanges } from '../../src/analysis/compare-exchange.ts';
import type { ChangeKind, RunComparison, ValueChange } from '../../src/analysis/compare-result.ts';
import { secrecyOf } from '../../src/analysis/compare-secrets.ts';
import { textDiff } from '../../src/analysis/compare-text.ts';
import { allowance, compareValues } from '../../src/analysis/compare-values.ts';
import type { Rich } from '../../src/decode/rich-data.ts';
import { fixture } from '../decode/rig.ts';
import { fc } from '../rig/properties.ts';
import { type CatalogTold, catalogExchange, exchangeOf, runOf, type Told } from './compare-rig.ts';

const secrecy = secrecyOf(true);
const values = (before: Rich, after: Rich): ValueChange[] => compareValues(before, after, { secrecy, allowance: allowance() });

/** Values of the Puppet language; few different ones, so that many are equal. */
const { rich } = fc.letrec<{ rich: Rich }>(tie => ({
  rich: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Rich>(null, true, false, 0, 1, 1n, 2.5, '', 'a', 'b', 'a\nb\n', '__proto__'),
    fc.array(tie('rich'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.constantFrom('a', 'b', '__proto__', 'constructor', 'x.y', '0'), tie('rich')), { maxLength: 4 })
      .map(entries => new Map(entries)),
    fc.record({ type: fc.constant('Sensitive' as const), value: tie('rich') }),
    fc.record({
      type: fc.constant('Deferred' as const),
      name: fc.constantFrom('f', 'g'),
      arguments: fc.array(tie('rich'), { maxLength: 2 }),
    }),
    fc.record({
      type: fc.constant('Scalar' as const),
      ptype: fc.constantFrom('Regexp', 'Timestamp'),
      text: fc.constantFrom('a', 'b'),
    }),
    fc.record({ type: fc.constant('Default' as const) }),
  ),
}));

const MIRROR: Record<ChangeKind, ChangeKind> = { added: 'removed', removed: 'added', changed: 'changed', reordered: 'reordered' };

/** Changes as they are for the two the other way round, in an order of their own. */
const mirrored = (changes: readonly ValueChange[]): string[] =>
  changes.map(({ path, kind, before, after }) => JSON.stringify([path, MIRROR[kind], after, before])).sort();
const told = (changes: readonly ValueChange[]): string[] =>
  changes.map(({ path, kind, before, after }) => JSON.stringify([path, kind, before, after])).sort();

describe('values', () => {
  test('a value does not differ from a copy of itself, and only from what is not equal', () => {
    fc.assert(
      fc.property(rich, value => {
        expect(values(value, structuredClone(value))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('what differs is the same from both sides', () => {
    fc.assert(
      fc.property(rich, rich, (one, other) => {
        expect(told(values(other, one))).toEqual(mirrored(values(one, other)));
      }),
      { numRuns: 1000 },
    );
  });

  test('hashes that lack nothing of each other have no difference: every difference is told', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), fc.dictionary(fc.string(), fc.integer()), (one, other) => {
        const differ = new Set([...Object.keys(one), ...Object.keys(other)].filter(key => one[key] !== other[key]));
        const paths = values(new Map(Object.entries(one)), new Map(Object.entries(other))).map(({ path }) => path[0]);
        expect(paths.sort()).toEqual([...differ].sort());
      }),
    );
  });

  test('no more is told than may be, and the rest is counted', () => {
    const many = (text: string): Rich => new Map(Array.from({ length: 100 }, (_, n) => [String(n), text]));
    const left = allowance(30);
    expect(compareValues(many('a'), many('b'), { secrecy, allowance: left })).toHaveLength(30);
    expect(left.omitted).toBe(70);
  });
});

/** Bodies of real agents and primaries, in all formats. */
const EXCHANGES: Told[] = [
  [
    'catalog',
    'catalog-request.form',
    'application/x-www-form-urlencoded',
    'catalog.rich.json',
    'application/vnd.puppet.rich+json',
  ],
  ['catalog', 'catalog-request-binary.form', 'application/x-www-form-urlencoded', 'catalog-binary.pson', 'text/pson'],
  [
    'catalog',
    'catalog-request.form',
    'application/x-www-form-urlencoded',
    'catalog.rich.msgpack',
    'application/vnd.puppet.rich+msgpack',
  ],
  ['catalog', 'catalog-request.form', 'application/x-www-form-urlencoded', 'catalog.yaml', 'text/yaml'],
  ['report', 'report.json', 'application/json', null, ''],
  ['report', 'report.yaml', 'text/yaml', null, ''],
  ['report', 'old-report-4.pson', 'text/pson', null, ''],
  ['node', null, '', 'node.json', 'application/json'],
  ['file_metadatas/plugins', null, '', 'file_metadatas.json', 'application/json'],
].map(([indirection, request, requestType, response, responseType]) => ({
  method: request === null ? 'GET' : 'POST',
  target: `/puppet/v3/${indirection}${indirection!.includes('/') ? '' : '/agent.example'}?environment=production`,
  request: request ? fixture(request) : null,
  requestType: requestType!,
  response: response ? fixture(response) : null,
  responseType: responseType!,
}));
const PKI: Told[] = [
  { target: '/puppet-ca/v1/certificate/ca', response: fixture('ca.pem'), responseType: 'text/plain' },
  { target: '/puppet-ca/v1/certificate_revocation_list/ca', response: fixture('crl.pem'), responseType: 'text/plain' },
  {
    method: 'PUT',
    target: '/puppet-ca/v1/certificate_request/agent.example',
    request: fixture('csr-rsa.pem'),
    requestType: 'text/plain',
  },
];

/** Another object with the same bytes but for a blank that says nothing: no digest tells that they are equal. */
function rewritten(run: RunData): RunData {
  const exchanges = run.exchanges.map(one => {
    const body = (given: typeof one.request): typeof one.request =>
      given === null ? null : { ...given, sha256: `other ${given.sha256}` };
    return { ...one, request: body(one.request), response: body(one.response) };
  });
  return { ...run, exchanges };
}

/** The kinds of everything that differs. */
function shape(comparison: RunComparison, mirror: boolean): unknown {
  const changes = (list: readonly ValueChange[]): string[] => (mirror ? mirrored(list) : told(list));
  const kind = (of: ChangeKind): ChangeKind => (mirror ? MIRROR[of] : of);
  const { catalog, facts, report, files, counts, exchanges, run, node } = comparison;
  return {
    counts,
    run: changes(run),
    node: node && changes(node),
    facts: facts && changes(facts.changes),
    resources: catalog?.resources.map(one => [kind(one.kind), one.type, one.title, ...changes(one.changes)].join(' ')).sort(),
    edges: catalog?.edges.map(one => [kind(one.kind), one.source, one.target].join(' ')).sort(),
    files: files.map(one => [kind(one.kind), one.path, one.content?.type, ...changes(one.metadata)].join(' ')).sort(),
    report: report && [...changes(report.fields), ...changes(report.resources)],
    events: report?.events.map(one => [kind(one.kind), one.resource, one.property].join(' ')).sort(),
    logs: report?.logs.map(one => [kind(one.kind), one.message, one.count].join(' ')).sort(),
    only: mirror ? [exchanges.onlyB.length, exchanges.onlyA.length] : [exchanges.onlyA.length, exchanges.onlyB.length],
  };
}

describe('runs of real bodies', () => {
  const runs = EXCHANGES.map((_, n) => runOf([...PKI, ...EXCHANGES.filter((__, at) => at !== n)]));

  test('none differs from itself', () => {
    for (const run of runs) {
      expect(compareRuns(run, run).same).toBe(true);
      expect(compareRuns(run, rewritten(run)), JSON.stringify(compareRuns(run, rewritten(run)).counts)).toMatchObject({
        same: true,
      });
    }
  });

  test('what differs is the same from both sides', () => {
    for (const [n, one] of runs.entries()) {
      const other = runs[(n + 1) % runs.length]!;
      expect(shape(compareRuns(other, one), false)).toEqual(shape(compareRuns(one, other), true));
    }
  });
});

describe('hostile bodies', () => {
  test('whatever the bytes are, nothing is thrown, and a body does not differ from itself', () => {
    const target = fc.constantFrom(
      ...EXCHANGES.map(one => one.target),
      ...PKI.map(one => one.target),
      '/puppet/v3/file_bucket_file/md5/x/y',
      '/puppet/v3/file_content/m/x',
      '/other',
      '',
    );
    const type = fc.constantFrom(
      'application/json',
      'text/pson',
      'application/x-msgpack',
      'text/yaml',
      'text/plain',
      '',
      'application/x-www-form-urlencoded',
    );
    const torn = fc
      .tuple(
        fc.constantFrom('catalog.rich.json', 'report.json', 'catalog.msgpack', 'node.json', 'catalog-request.form', 'crl.pem'),
        fc.nat(),
        fc.nat(255),
      )
      .map(([name, at, byte]) => {
        const bytes = fixture(name);
        bytes[at % bytes.length] = byte;
        return bytes.subarray(0, at % 3 === 0 ? at % bytes.length : bytes.length);
      });
    const json = fc.json().map(text => new TextEncoder().encode(text));
    const body = fc.oneof(fc.uint8Array({ maxLength: 200 }), torn, json);
    const exchange = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD'),
      target,
      request: body,
      response: body,
      type,
      status: fc.constantFrom(200, 404, 500, null),
    });
    const made = ({ type: of, ...given }: Told & { type: string }): Told => ({ ...given, requestType: of, responseType: of });
    fc.assert(
      fc.property(exchange, exchange, (one, other) => {
        const [a, b] = [exchangeOf(made(one)), exchangeOf(made({ ...other, method: one.method, target: one.target }))];
        JSON.stringify(compareExchanges(a, b));
        const same = {
          ...a,
          request: a.request && { ...a.request, sha256: 'x' },
          response: a.response && { ...a.response, sha256: 'y' },
        };
        expect(compareExchanges(a, same).parts).toEqual([]);
        JSON.stringify(compareRuns(runOf([made(one)]), runOf([made(other)])));
      }),
      { numRuns: 400 },
    );
  });

  test('a key named __proto__ is a key', () => {
    const catalog = (value: string): Told => ({
      ...catalogExchange({ resources: [] }),
      response: `{"resources":[{"type":"File","title":"__proto__","parameters":{"__proto__":{"x":"${value}"}}}],"edges":[]}`,
    });
    const { catalog: found } = compareRuns(runOf([catalog('a')]), runOf([catalog('b')]));
    expect(found!.resources[0]!.changes).toMatchObject([{ path: ['parameters', '__proto__', 'x'], before: 'a', after: 'b' }]);
    const { catalog: added } = compareRuns(runOf([catalogExchange({ resources: [] })]), runOf([catalog('b')]));
    expect(JSON.stringify(added)).toContain('__proto__');
    expect(({} as { x?: string }).x).toBeUndefined();
  });

  test('texts with nothing in common, and very long ones, take bounded time and room', () => {
    const text = (word: string, lines: number): string => Array.from({ length: lines }, (_, n) => `${word} ${n}\n`).join('');
    const began = process.cpuUsage();
    expect(textDiff(text('a', 50_000), text('b', 50_000), secrecy)).toMatchObject({ hunks: [], addedLines: 50_000 });
    expect(textDiff('x'.repeat(3e6), 'y'.repeat(3e6), secrecy).hunks).toEqual([]);
    const many = textDiff(text('a', 1500), '', secrecy);
    expect(many.omittedLines).toBe(500);
    expect(many.removedLines).toBe(1500);
    // a catalog full of such texts
    const [one, other] = [text('a', 3000), text('b', 3000)];
    for (let n = 0; n < 300; n++) textDiff(one, other, secrecy);
    expect(cpuMs(began)).toBeLessThan(8000);
  });
});

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

describe('size', () => {
  /** A catalog as large as the largest sites have. */
  function large(mode: string, count = 10_000): CatalogTold {
    const resources = Array.from({ length: count }, (_, n) => ({
      type: 'File',
      title: `/srv/app/file-${n}`,
      parameters: {
        ensure: 'file',
        owner: 'root',
        mode: n % 10 === 0 ? mode : '0644',
        content: `line ${n}\nmode ${mode}\n`,
        require: ['Class[app]'],
      },
      tags: ['file', 'app', `app${n}`],
      file: '/etc/puppetlabs/code/environments/production/modules/app/manifests/init.pp',
      line: n,
    }));
    return { resources, edges: resources.map(({ title }) => ['Class[App]', `File[${title}]`] as const) };
  }

  test('catalogs of 10,000 resources that all differ are compared in under 2 s', () => {
    const facts = (n: number) => Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`fact_${at}`, `value ${at} ${n}`]));
    const a = runOf([catalogExchange(large('0600'), facts(1))]);
    const b = runOf([catalogExchange(large('0640'), facts(2))]);
    const began = process.cpuUsage();
    const { catalog } = compareRuns(a, b);
    expect(cpuMs(began)).toBeLessThan(3000);
    expect(catalog!.resources).toHaveLength(10_000);
  });
});
