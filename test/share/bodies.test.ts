import { randomBytes } from 'node:crypto';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { dataJson } from '../../src/decode/data-json.ts';
import { bodyOf, parseBody } from '../../src/decode/format.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { createPseudonyms, type Level, type Pseudonyms } from '../../src/decode/pseudonyms.ts';
import { createHiding } from '../../src/decode/secrets.ts';
import { shareBody, shareFields, shareTarget } from '../../src/decode/share-body.ts';
import type { Fields } from '../../src/model.ts';

const names = (level: Level): Pseudonyms => createPseudonyms(level, new Set(['zyxhost.qdomain.example']), randomBytes(32));

function shared(
  type: string,
  body: Uint8Array,
  level: Level = 'full',
  coding: string | null = null,
): { text: string; mime: string | null; json: string; bytes: Uint8Array; replaced: string | null } {
  const fields: Fields = [['Content-Type', type], ...(coding === null ? [] : [['Content-Encoding', coding] as const])];
  const made = shareBody(body, { fields, phase: 'catalog', file: false }, names(level), createHiding());
  if (made.replaced !== null) return { ...made, text: '', json: '' };
  const after = bodyOf(made.bytes, shareFields(fields, made.mime, names(level)), DEFAULT_LIMITS);
  const json = dataJson(parseBody(after, DEFAULT_LIMITS));
  return { ...made, text: Buffer.from(after.bytes).toString('latin1'), json };
}

describe('formats', () => {
  test('MessagePack becomes JSON, and says so', () => {
    const body = Buffer.concat([Buffer.from([0x81, 0xa4]), Buffer.from('name'), Buffer.from([0xa8]), Buffer.from('zwiebeln')]);
    const made = shared('application/x-msgpack', body);
    expect(made.mime).toBe('application/json');
    expect(made.json).toMatch(/^\{"name":"(?!zwiebeln)[a-z]{8}"\}$/);
    expect(shared('application/vnd.puppet.rich+msgpack', body).mime).toBe('application/vnd.puppet.rich+json');
  });

  test('PSON with bytes that are no text, YAML with tags, JSON with keys of all kinds', () => {
    const pson = Buffer.concat([
      Buffer.from('{"name":"zwiebeln","content":"'),
      Buffer.from([0xff, 0xfe, 0x41]),
      Buffer.from('"}'),
    ]);
    const made = shared('text/pson', pson);
    expect(made.json).not.toContain('zwiebeln');
    expect(Buffer.from(made.bytes).includes(Buffer.from([0xff, 0xfe, 0x41]))).toBe(false);
    const yaml = shared(
      'text/yaml',
      Buffer.from('--- !ruby/object:Puppet::Node\nname: zwiebeln\nparameters:\n  owner: !ruby/sym kartoffel\n'),
    );
    expect(yaml.text).not.toContain('zwiebeln');
    const json = shared('application/json', Buffer.from('{"__proto__":"zwiebeln","2":1,"1":12345678901234567890}'));
    expect(json.text).toContain('12345678901234567890');
    expect(Object.keys(JSON.parse(json.text) as object)).toHaveLength(3);
    expect(json.text).not.toContain('zwiebeln');
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('a body that is %s stays so', (coding, pack) => {
    const made = shared('application/json', pack(Buffer.from('{"title":"zwiebeln"}')), 'full', coding);
    expect(made.replaced).toBe(null);
    expect(made.json).toMatch(/^\{"title":"(?!zwiebeln)[a-z]{8}"\}$/);
  });

  test('facts that are uploaded by themselves are facts', () => {
    const body = Buffer.from(
      '{"name":"zwiebeln","values":{"memorysize_mb":98765.43,"boardserialnumber":"running","uptime":"stopped"}}',
    );
    const fields: Fields = [['Content-Type', 'application/json']];
    const { bytes } = shareBody(body, { fields, phase: 'other', file: false }, names('full'), createHiding());
    expect(Buffer.from(bytes).toString()).not.toMatch(/zwiebeln|98765|running|stopped/);
  });

  test('what cannot be read becomes as many other bytes', () => {
    for (const body of [Buffer.from('{"zwiebeln"'), gzipSync('zwiebeln').subarray(0, 20), Buffer.from([0, 1, 2, 3, 255, 254])]) {
      for (const level of ['full', 'moderate', 'low'] as const) {
        const made = shared('application/json', body, level, body[0] === 0x1f ? 'gzip' : null);
        expect(made.replaced).not.toBe(null);
        expect(made.bytes.length).toBe(body.length);
        expect(Buffer.compare(made.bytes, body)).not.toBe(0);
      }
    }
  });

  test('no bytes make it throw, nor take long', () => {
    const types = [
      'application/json',
      'text/pson',
      'text/yaml',
      'application/x-msgpack',
      'application/x-www-form-urlencoded',
      'text/plain',
      'x',
    ];
    const hostile = [
      Buffer.from(`-----BEGIN CERTIFICATE-----\n${randomBytes(3000).toString('base64')}\n-----END CERTIFICATE-----\n`),
      Buffer.from(`facts=${'%25'.repeat(20_000)}&facts_format=pson`),
      Buffer.from('['.repeat(100_000)),
      Buffer.from('1.2.3.'.repeat(30_000)),
      Buffer.from('a:'.repeat(50_000)),
      Buffer.from('a-'.repeat(50_000)),
      Buffer.from('-----BEGIN A-----'.repeat(5000)),
      Buffer.from('ENC[PKCS7,'.repeat(5000)),
      ...Array.from({ length: 40 }, (_, n) => randomBytes(n * 31)),
    ];
    for (const type of types) {
      for (const body of hostile) {
        for (const file of [true, false]) {
          const start = performance.now();
          const fields: Fields = [['Content-Type', type]];
          const made = shareBody(body, { fields, phase: 'catalog', file }, names('full'), createHiding());
          expect(made.bytes).toBeInstanceOf(Uint8Array);
          expect(performance.now() - start, `${type} ${body.subarray(0, 20).toString('latin1')}`).toBeLessThan(3000);
        }
      }
    }
  });
});

test('targets keep their route, and lose the rest', () => {
  const full = names('full');
  const target =
    '/puppet/v3/file_content/modules/zwiebeln/r%C3%BCbe%20x.txt?environment=kartoffel&links=manage&facts=%257B%2522a';
  const made = shareTarget(target, full);
  expect(made).toMatch(/^\/puppet\/v3\/file_content\/modules\/[a-z]{8}\/\S+\.txt\?environment=[a-z]{9}&links=manage&facts=$/);
  for (const word of ['zwiebeln', 'kartoffel', 'be%20x', '%C3%BC']) expect(made).not.toContain(word);
  expect(shareTarget('/puppet-ca/v1/certificate/zyxhost.qdomain.example', names('moderate'))).toMatch(
    /^\/puppet-ca\/v1\/certificate\/(?!zyxhost)[a-z]{7}\.[a-z]{7}\.[a-z]{7}$/,
  );
});
