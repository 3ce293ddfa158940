import { readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type Decoded, decodeExchange } from '../../src/decode/decode.ts';
import type { Fields } from '../../src/model.ts';
import { fc } from '../rig/properties.ts';
import { contentType, exchange, fixture } from './rig.ts';

const FIXTURES = readdirSync(new URL('fixtures', import.meta.url))
  .filter(name => name.endsWith('.body') && !name.startsWith('expected'))
  .map(name => name.slice(0, -'.body'.length));

const TYPES: Record<string, string> = {
  form: 'application/x-www-form-urlencoded',
  json: 'application/json',
  msgpack: 'application/x-msgpack',
  pem: 'text/plain',
  pson: 'text/pson',
  yaml: 'text/yaml',
};

/** The request or answer that a fixture is the body of. */
const TARGETS: readonly (readonly [start: string, method: string, target: string, status: number])[] = [
  ['ca', 'GET', '/puppet-ca/v1/certificate/ca', 200],
  ['crl', 'GET', '/puppet-ca/v1/certificate_revocation_list/ca', 200],
  ['csr', 'PUT', '/puppet-ca/v1/certificate_request/agent.example', 200],
  ['certificate', 'GET', '/puppet-ca/v1/certificate/agent.example', 200],
  ['node', 'GET', '/puppet/v3/node/agent.example', 200],
  ['file_metadatas', 'GET', '/puppet/v3/file_metadatas/plugins', 200],
  ['report', 'PUT', '/puppet/v3/report/agent.example', 200],
  ['old-report', 'PUT', '/puppet/v3/report/agent.example', 200],
  ['error', 'POST', '/puppet/v3/catalog/agent.example', 500],
  ['catalog', 'POST', '/puppet/v3/catalog/agent.example', 200],
  ['old-catalog', 'POST', '/puppet/v3/catalog/agent.example', 200],
  ['facts', 'PUT', '/puppet/v3/facts/agent.example', 200],
];

function place(name: string) {
  // the longest start wins: `catalog` and `ca`
  return TARGETS.filter(([start]) => name.startsWith(start)).sort((a, b) => b[0].length - a[0].length)[0]!;
}

/** The fixture's bytes on every side of its exchange: each decoder of the phase sees them. */
function decode(name: string, body: Uint8Array, fields: Fields): Decoded {
  const [, method, target, status] = place(name);
  const sides = { request: body, response: body, primaryRequest: body, primaryResponse: body };
  return decodeExchange(exchange({ method, target, status, requestFields: fields, responseFields: fields, ...sides }));
}

const fieldsOf = (name: string): Fields => contentType(TYPES[name.split('.').at(-1)!]!);

/** Worst of one decoding: generous in time for a busy machine, strict in memory. */
function measured(run: () => void): void {
  const before = process.memoryUsage();
  const started = performance.now();
  run();
  expect(performance.now() - started).toBeLessThan(20_000);
  const after = process.memoryUsage();
  expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(100_000_000);
}

describe('damage', () => {
  test.each(FIXTURES)('%s, cut at 50 places', name => {
    const body = fixture(name);
    fc.assert(
      fc.property(fc.nat(body.length), length => measured(() => decode(name, body.subarray(0, length), fieldsOf(name)))),
      { numRuns: 50 },
    );
  });

  test.each(FIXTURES)('%s, changed at 50 places', name => {
    const body = fixture(name);
    const change = fc.record({ at: fc.nat(body.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), changes => {
        const damaged = new Uint8Array(body);
        for (const { at, to } of changes) damaged[at] = to;
        measured(() => decode(name, damaged, fieldsOf(name)));
      }),
      { numRuns: 50 },
    );
  });

  test.each(FIXTURES)('%s in gzip, cut and changed', name => {
    const body = new Uint8Array(gzipSync(fixture(name)));
    const fields: Fields = [...fieldsOf(name), ['Content-Encoding', 'gzip']];
    const damage = fc.record({ length: fc.nat(body.length), at: fc.nat(body.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(damage, ({ length, at, to }) => {
        const damaged = new Uint8Array(body);
        damaged[at] = to;
        measured(() => decode(name, damaged.subarray(0, length), fields));
      }),
      { numRuns: 20 },
    );
  });

  test('every fixture in the clothes of every other type', () => {
    for (const name of FIXTURES) {
      for (const type of [
        ...Object.values(TYPES),
        'application/octet-stream',
        'text/html',
        'application/vnd.puppet.rich+json',
        '',
      ]) {
        measured(() => decode(name, fixture(name), contentType(type)));
      }
    }
  });

  test('any bytes in any phase', () => {
    const target = fc.constantFrom(...TARGETS.map(([start]) => start));
    const type = fc.constantFrom(...Object.values(TYPES), 'application/octet-stream', '');
    const coding = fc.constantFrom('identity', 'gzip', 'deflate', 'br', 'zstd', 'gzip, br', 'compress');
    fc.assert(
      fc.property(target, type, coding, fc.uint8Array({ maxLength: 300 }), (name, mime, encoding, body) =>
        measured(() => decode(name, body, [...contentType(mime), ['Content-Encoding', encoding]])),
      ),
      { numRuns: 1000 },
    );
  });
});

test('an exchange without bodies, and one without an answer', () => {
  for (const [, method, target] of TARGETS) {
    for (const status of [null, 200, 304, 404]) {
      const decoded = decodeExchange(exchange({ method, target, status }));
      expect(decoded).toMatchObject({ requestBody: null, responseBody: null });
      expect(decoded.refusal?.status ?? null).toBe(status === 404 ? 404 : null);
    }
  }
});

test('whole fixtures decode: the damage above has something to damage', () => {
  const failed = FIXTURES.filter(name => {
    const decoded = decode(name, fixture(name), fieldsOf(name));
    const parts = Object.values(decoded).filter(
      part => typeof part === 'object' && part !== null && 'value' in part && 'notes' in part,
    );
    return parts.length < 3 && decoded.refusal === null;
  });
  expect(failed).toEqual([]);
});
