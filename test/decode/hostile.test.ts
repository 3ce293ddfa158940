import { createGzip } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeExchange } from '../../src/decode/decode.ts';
import { contentType, decodeAs, exchange, reason, value } from './rig.ts';

const CATALOG = '/puppet/v3/catalog/agent.example';
const REPORT = '/puppet/v3/report/agent.example';
const FORM = contentType('application/x-www-form-urlencoded');

/** Runs something that must be refused quickly and without much memory. */
function bounded<T>(limits: { ms: number; megabytes: number }, run: () => T): T {
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const result = run();
  expect(performance.now() - started).toBeLessThan(10 * limits.ms); // the time alone on a machine; tests share theirs
  expect((process.memoryUsage().rss - before) / 1e6).toBeLessThan(limits.megabytes);
  return result;
}

const report = (body: Uint8Array, type: string): string =>
  reason(decodeAs('report', { method: 'PUT', target: REPORT, request: body, requestFields: contentType(type) }).request);

describe('a bomb of 10 GB in 10 MB', () => {
  let bomb: Buffer;

  beforeAll(async () => {
    // Members of a gzip file may follow each other: one of 256 MB, forty times.
    const chunks: Buffer[] = [];
    const gzip = createGzip({ level: 9 });
    gzip.on('data', (chunk: Buffer) => chunks.push(chunk));
    const zeros = Buffer.alloc(16 * 1024 * 1024);
    for (let written = 0; written < 16; written++) await new Promise(resolve => gzip.write(zeros, resolve));
    await new Promise(resolve => gzip.end(resolve));
    bomb = Buffer.concat(Array.from({ length: 40 }, () => Buffer.concat(chunks)));
  });

  test('is stopped at the limit', () => {
    expect(bomb.length).toBeGreaterThan(9_000_000);
    const fields = [...contentType('application/json'), ['Content-Encoding', 'gzip'] as const];
    const why = bounded({ ms: 3000, megabytes: 250 }, () =>
      reason(decodeAs('catalog', { method: 'POST', target: CATALOG, response: bomb, responseFields: fields }).response),
    );
    expect(why).toBe('the decoded body is over 67108864 bytes');
  });

  test('is stopped in every coding of a stack', () => {
    const fields = [['Content-Encoding', 'gzip, gzip'] as const];
    const decoded = decodeAs('file', { target: '/puppet/v3/file_content/m/a', response: bomb, responseFields: fields });
    expect(reason(decoded.response)).toBe('the decoded body is over 67108864 bytes');
  });
});

describe('nesting', () => {
  test.each([
    ['JSON of arrays', '['.repeat(1_000_000), 'application/json', 'JSON nested deeper than 200'],
    ['JSON of hashes', '{"a":'.repeat(1_000_000), 'application/json', 'JSON nested deeper than 200'],
    ['PSON with a byte that is no UTF-8', `${'['.repeat(1_000_000)}\xff`, 'text/pson', 'JSON nested deeper than 200'],
    ['YAML', '- '.repeat(1_000_000), 'text/yaml', 'not YAML at line 1: nesting exceeded maxDepth (200)'],
    ['MessagePack', '\x91'.repeat(1_000_000), 'application/x-msgpack', 'MessagePack nested deeper than 200'],
  ])('a million deep: %s', (_name, text, type, why) => {
    expect(bounded({ ms: 2000, megabytes: 150 }, () => report(Buffer.from(text, 'latin1'), type))).toBe(why);
  });

  test('a million deep: facts in a form', () => {
    const body = Buffer.from(`facts_format=application%2Fjson&facts=${'%255B'.repeat(1_000_000)}`);
    const decoded = decodeAs('catalog', { method: 'POST', target: CATALOG, request: body, requestFields: FORM });
    expect(reason(value(decoded.request).facts)).toBe('JSON nested deeper than 200');
  });

  test('a million deep: DER', () => {
    const der = Buffer.from([0x30, 0x80]);
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.concat(Array.from({ length: 100_000 }, () => der)).toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    const target = '/puppet-ca/v1/certificate_request/a';
    expect(reason(decodeAs('csr', { method: 'PUT', target, request: Buffer.from(pem) }).request)).toBe(
      'DER of indefinite length',
    );
  });
});

describe('claims and multiplication', () => {
  test('YAML of a billion laughs', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 30; level++)
      lines.push(
        `a${level}: &a${level} [${Array(10)
          .fill(`*a${level - 1}`)
          .join(', ')}]`,
      );
    lines.push('logs: *a29');
    const why = bounded({ ms: 1000, megabytes: 100 }, () => report(Buffer.from(lines.join('\n')), 'text/yaml'));
    expect(why).toBe('YAML whose aliases make more than 2000000 values');
  });

  test('YAML of wide laughs, where no level is deep', () => {
    const list = `&l [${'x,'.repeat(50_000)}]`;
    const body = `logs: ${list}\nresource_statuses:\n${Array.from({ length: 5000 }, (_, at) => `  r${at}: {tags: *l}`).join('\n')}`;
    const why = bounded({ ms: 3000, megabytes: 200 }, () => report(Buffer.from(body), 'text/yaml'));
    expect(why).toBe('YAML whose aliases make more than 2000000 values');
  });

  test('MessagePack that claims 4 billion values', () => {
    const body = Buffer.from([0x81, 0xa4, ...Buffer.from('logs'), 0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    expect(bounded({ ms: 200, megabytes: 50 }, () => report(body, 'application/x-msgpack'))).toBe(
      'MessagePack claims 4294967295 values at byte 11, 3 bytes are left',
    );
  });

  test('JSON of more values than the limit', () => {
    const body = Buffer.from(`[${'{},'.repeat(3_000_000)}{}]`);
    expect(bounded({ ms: 2000, megabytes: 150 }, () => report(body, 'application/json'))).toBe(
      'JSON with more than 2000000 values',
    );
  });

  test('fact paths that share a long name', () => {
    const facts = JSON.stringify({ values: { ['n'.repeat(100_000)]: Array(10_000).fill(1) } });
    const body = Buffer.from(`facts=${encodeURIComponent(encodeURIComponent(facts))}&facts_format=application/json`);
    const decoded = decodeAs('catalog', { method: 'POST', target: CATALOG, request: body, requestFields: FORM });
    expect(reason(value(decoded.request).facts)).toBe('the paths of the facts are longer than a body may be');
  });
});

describe('sizes', () => {
  test('100 MB of one string', () => {
    const body = Buffer.alloc(100 * 1024 * 1024, 0x61);
    body[0] = 0x22;
    body[body.length - 1] = 0x22;
    expect(bounded({ ms: 2000, megabytes: 50 }, () => report(body, 'application/json'))).toBe(
      'the decoded body is over 67108864 bytes',
    );
  });

  test('a CSR with an OID of 64 kB', () => {
    const wrap = (tag: number, ...parts: Uint8Array[]): Buffer => {
      const content = Buffer.concat(parts);
      const header = Buffer.alloc(6);
      header.writeUInt16BE((tag << 8) | 0x84);
      header.writeUInt32BE(content.length, 2);
      return Buffer.concat([header, content]);
    };
    const oid = wrap(6, Buffer.concat([Buffer.alloc(65_535, 0xff), Buffer.of(0)]));
    const name = wrap(0x30, wrap(0x31, wrap(0x30, oid, wrap(0x0c, Buffer.from('x')))));
    const algorithm = wrap(0x30, wrap(6, Buffer.from('2a864886f70d01010b', 'hex')));
    const csr = wrap(0x30, wrap(0x30, wrap(2, Buffer.of(0)), name, wrap(0x30), wrap(0xa0)), algorithm, wrap(3, Buffer.of(0)));
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${csr.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    const target = '/puppet-ca/v1/certificate_request/a';
    const why = bounded({ ms: 200, megabytes: 50 }, () =>
      reason(decodeAs('csr', { method: 'PUT', target, request: Buffer.from(pem) }).request),
    );
    expect(why).toBe('an attribute of the subject is an OID of 65536 bytes, limit 128');
  });

  test('a bundle of nothing but beginnings', () => {
    const body = Buffer.from('-----BEGIN CERTIFICATE-----\n'.repeat(500_000));
    const decoded = bounded({ ms: 3000, megabytes: 250 }, () =>
      decodeAs('ca', { target: '/puppet-ca/v1/certificate/ca', response: body }),
    );
    expect(reason(decoded.response)).toMatch(/^a bundle of more than 10000 PEM blocks$/);
  });

  test.each([
    ['places', '(file: /a, line: 1) '],
    ['half places', '(file: '],
    ['references', 'A['],
    ['names', 'A::'],
    ['old places', ' at /a:'],
  ])('an error message of a megabyte of %s', (_name, unit) => {
    const body = Buffer.from(unit.repeat(1_000_000 / unit.length));
    const decoded = bounded({ ms: 2000, megabytes: 150 }, () =>
      decodeExchange(
        exchange({ method: 'POST', target: CATALOG, status: 500, response: body, responseFields: contentType('text/plain') }),
      ),
    );
    expect(decoded.refusal!.message!.length).toBeLessThanOrEqual(65536);
  });
});

test('special keys are data in every decoder, and no prototype changes', () => {
  const special = '{"__proto__":{"polluted":1,"resources":[]},"constructor":{"prototype":{"polluted":1}},"toString":1}';
  const catalog = `{"resources":[{"type":"A","title":"b","parameters":${special}}],"metadata":{"__proto__":{"path":"x"}}}`;
  const decoded = value(
    decodeAs('catalog', {
      method: 'POST',
      target: CATALOG,
      response: Buffer.from(catalog),
      responseFields: contentType('application/json'),
    }).response,
  );
  expect([...decoded.resources[0]!.parameters.keys()]).toEqual(['__proto__', 'constructor', 'toString']);
  expect(decoded.metadata).toMatchObject([{ resource: '__proto__', metadata: { path: 'x' } }]);
  const empty = decodeAs('catalog', {
    method: 'POST',
    target: CATALOG,
    response: Buffer.from(special),
    responseFields: contentType('application/json'),
  });
  expect(reason(empty.response)).toBe('a catalog without resources');
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
});
