import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encode } from '@msgpack/msgpack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/capture/store.ts';
import { catalogRequest } from '../../src/decode/catalog-request.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { parseMessagePack } from '../../src/decode/msgpack.ts';
import { timeAt } from '../../src/decode/time.ts';
import { type Fresh, freshBody, freshTarget, type RecordedRequest, restamped } from '../../src/replay/agents-fresh.ts';
import { fc } from '../rig/properties.ts';

const OLD = '11111111-2222-3333-4444-555555555555';
const NEW = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const NOW = Date.UTC(2031, 4, 6, 7, 8, 9, 123);

function fresh(more: Partial<Fresh> = {}): Fresh {
  const certname = { from: 'web01.lab', to: 'web01.lab' };
  return { certname, uuids: new Map(), codeIds: new Map(), now: NOW, shiftMs: 0, ...more };
}

let dir = '';
let store: Store;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-fresh-'));
  // A copy: what a newer version derives is written into the file.
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), join(dir, 'sample.db'));
  store = openStore(join(dir, 'sample.db'));
});
afterAll(() => {
  store?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** What real agents sent. */
function recorded(phase: 'catalog' | 'report', certname = 'web01.lab'): RecordedRequest[] {
  return [...store.exchanges({ phase, certname })].map(({ id, method, target }) => {
    const body = Buffer.concat([...store.body(id, 'request')]);
    return { method, target, fields: store.exchange(id)!.request.fields, body };
  });
}

function factsOf(body: Buffer): Record<string, unknown> {
  return JSON.parse(decodeURIComponent(new URLSearchParams(body.toString()).get('facts')!)) as Record<string, unknown>;
}

describe('targets', () => {
  test.each([
    [
      'node',
      'GET',
      '/puppet/v3/node/web01.lab?environment=p&transaction_uuid=OLD',
      '/puppet/v3/node/new.lab?environment=p&transaction_uuid=NEW',
    ],
    ['catalog', 'POST', '/puppet/v3/catalog/web01.lab?environment=p', '/puppet/v3/catalog/new.lab?environment=p'],
    ['report', 'PUT', '/puppet/v3/report/web01.lab?environment=p', '/puppet/v3/report/new.lab?environment=p'],
    ['certificate', 'GET', '/puppet-ca/v1/certificate/web01.lab', '/puppet-ca/v1/certificate/new.lab'],
    ['another certificate', 'GET', '/puppet-ca/v1/certificate/ca', '/puppet-ca/v1/certificate/ca'],
    [
      'a file of that name',
      'GET',
      '/puppet/v3/file_content/hosts/web01.lab?environment=p',
      '/puppet/v3/file_content/hosts/web01.lab?environment=p',
    ],
    [
      'a value',
      'GET',
      '/puppet/v3/file_metadata/a%20b+c&d?certname=web01.lab',
      '/puppet/v3/file_metadata/a%20b+c&d?certname=new.lab',
    ],
    [
      'a code id',
      'GET',
      '/puppet/v3/static_file_content/m/f?code_id=code1&environment=p',
      '/puppet/v3/static_file_content/m/f?code_id=code%3A2&environment=p',
    ],
  ])('%s', (_name, method, target, expected) => {
    const uuids = new Map([[OLD, NEW]]);
    const all = fresh({ certname: { from: 'web01.lab', to: 'new.lab' }, uuids, codeIds: new Map([['code1', 'code:2']]) });
    expect(freshTarget(method, target.replace('OLD', OLD), all)).toBe(expected.replace('NEW', NEW));
  });
});

describe('requests of real agents', () => {
  test('stay byte by byte what they were when nothing is new', () => {
    const all = [...recorded('report'), ...recorded('catalog')];
    expect(all.length).toBeGreaterThan(5);
    for (const request of all) {
      const own = request.target.includes('/catalog/') ? String(factsOf(Buffer.from(request.body!)).timestamp) : null;
      const now = own === null ? NOW : Math.floor(timeAt(own)! + 0.0005);
      expect(freshBody(request, fresh({ now }))!.equals(request.body!)).toBe(true);
    }
  });

  test('a catalog request has a new transaction_uuid, and facts of now; all else is as it was', () => {
    for (const request of recorded('catalog')) {
      const before = Buffer.from(request.body!);
      const uuid = new URLSearchParams(before.toString()).get('transaction_uuid')!;
      const after = freshBody(request, fresh({ uuids: new Map([[uuid, NEW]]) }))!;
      expect(after.length).toBe(before.length);
      const [was, is] = [before, after].map(body => new URLSearchParams(body.toString()));
      expect(is!.get('transaction_uuid')).toBe(NEW);
      for (const [name, value] of was!) if (name !== 'facts' && name !== 'transaction_uuid') expect(is!.get(name)).toBe(value);
      const [old, facts] = [factsOf(before), factsOf(after)];
      expect(Math.floor(timeAt(String(facts.timestamp))! + 0.0005)).toBe(NOW);
      const lives = (one: Record<string, unknown>): number => timeAt(String(one.expiration))! - timeAt(String(one.timestamp))!;
      expect(Math.abs(lives(facts) - lives(old))).toBeLessThan(0.01);
      expect({ ...facts, timestamp: 0, expiration: 0 }).toEqual({ ...old, timestamp: 0, expiration: 0 });
    }
  });

  test('sent as another, facts and report are those of the other', () => {
    const certname = { from: 'web01.lab', to: 'load-0007.example' };
    const [request] = recorded('catalog');
    const body = freshBody(request!, fresh({ certname }))!;
    const asked = catalogRequest({ format: 'form', mime: null, codings: [], bytes: body, truncated: null }, [], DEFAULT_LIMITS);
    expect(asked.facts).toMatchObject({ value: { name: certname.to } });
    expect(factsOf(body)).toMatchObject({ name: certname.to, values: { clientcert: certname.to } });
    const [report] = recorded('report');
    const text = freshBody(report!, fresh({ certname }))!.toString();
    expect(JSON.parse(text)).toMatchObject({ host: certname.to });
    expect(text).not.toContain('"web01.lab"');
  });

  test.each(['json', 'msgpack'])('a report as %s: times go on, ids are new, nothing else', format => {
    for (const request of recorded('report')) {
      const before = JSON.parse(Buffer.from(request.body!).toString()) as Record<string, unknown>;
      const ids = [String(before.transaction_uuid), String(before.catalog_uuid)];
      const shiftMs = 86_400_000;
      const now = timeAt(String(before.time))! + shiftMs + 300;
      const codeIds = new Map([[String(before.code_id), 'code-of-now']]);
      const uuids = new Map([[ids[0]!, NEW], ...(before.catalog_uuid ? [[ids[1]!, OLD] as const] : [])]);
      const sent: RecordedRequest =
        format === 'json' ? request : { ...request, body: encode(before), fields: [['Content-Type', 'application/x-msgpack']] };
      const body = freshBody(sent, fresh({ now, shiftMs, uuids, codeIds }))!;
      const after = (
        format === 'json' ? JSON.parse(body.toString()) : plain(parseMessagePack(body, DEFAULT_LIMITS))
      ) as typeof before;
      expect(after.transaction_uuid).toBe(NEW);
      if (before.catalog_uuid) expect(after.catalog_uuid).toBe(OLD);
      if (before.code_id) expect(after.code_id).toBe('code-of-now');
      expect(timeAt(String(after.time))).toBeCloseTo(timeAt(String(before.time))! + shiftMs, 0);
      for (const [was, is] of times(before, after)) {
        expect(timeAt(is)! - 1).toBeLessThan(now);
        expect(is.length).toBe(was.length);
        expect(timeAt(is)!).toBeCloseTo(Math.min(timeAt(was)! + shiftMs, now), -1);
      }
      expect(timeless(after)).toEqual(timeless(before));
    }
  });
});

/** Maps of a MessagePack body as objects. */
function plain(data: unknown): unknown {
  if (data instanceof Map) return Object.fromEntries([...data].map(([key, value]) => [String(key), plain(value)]));
  return Array.isArray(data) ? data.map(plain) : data;
}

/** Each `time` of both, as they are in order. */
function times(before: unknown, after: unknown): [string, string][] {
  const of = (data: unknown): string[] =>
    typeof data === 'object' && data !== null
      ? Object.entries(data).flatMap(([key, value]) => (key === 'time' && typeof value === 'string' ? [value] : of(value)))
      : [];
  const others = of(after);
  return of(before).map((one, n) => [one, others[n]!]);
}

function timeless(data: unknown): unknown {
  const NOT = new Set(['transaction_uuid', 'catalog_uuid', 'code_id']);
  return JSON.parse(
    JSON.stringify(data, (key, value) =>
      NOT.has(key) || (key === 'time' && typeof value === 'string') ? undefined : (value as unknown),
    ),
  );
}

describe('bodies that are not what they should be', () => {
  test.each([
    ['no facts', 'transaction_uuid=OLD&environment=p', 'transaction_uuid=NEW&environment=p'],
    [
      'facts that are no JSON',
      'facts_format=application%2Fjson&facts=%257Bnope&transaction_uuid=OLD',
      'facts_format=application%2Fjson&facts=%257Bnope&transaction_uuid=NEW',
    ],
    ['escapes that are none', 'facts=%zz%25%2&transaction_uuid=OLD', 'facts=%zz%25%2&transaction_uuid=NEW'],
    ['nothing', '', ''],
  ])('%s', (_name, body, expected) => {
    const request: RecordedRequest = {
      method: 'POST',
      target: '/puppet/v3/catalog/web01.lab?environment=p',
      fields: [['Content-Type', 'application/x-www-form-urlencoded']],
      body: Buffer.from(body.replace('OLD', OLD)),
    };
    expect(freshBody(request, fresh({ uuids: new Map([[OLD, NEW]]) }))!.toString()).toBe(expected.replace('NEW', NEW));
  });

  test('a fact that has the time of the facts keeps it', () => {
    const time = '2026-01-02T03:04:05.678901234+00:00';
    const facts = {
      name: 'web01.lab',
      values: { timestamp: time, deep: [{ timestamp: time }] },
      timestamp: time,
      expiration: time,
    };
    const body = Buffer.from(JSON.stringify(facts));
    const request = {
      method: 'PUT',
      target: '/puppet/v3/facts/web01.lab',
      fields: [['Content-Type', 'application/json']] as const,
      body,
    };
    const after = JSON.parse(freshBody(request, fresh())!.toString()) as typeof facts;
    expect(after.values).toEqual(facts.values);
    expect(after.timestamp).toBe('2031-05-06T07:08:09.123901234+00:00');
  });
});

test('another time is written as the old one was', () => {
  const zone = fc.constantFrom('', 'Z', ' UTC', '+00:00', '-08:00', '+05:30', ' +0200');
  const fraction = fc.constantFrom('', '.1', '.123', '.123456', '.123456789');
  const moment = fc.integer({ min: 0, max: 4e12 });
  fc.assert(
    fc.property(moment, moment, zone, fraction, fc.constantFrom('T', ' '), (was, at, end, digits, separator) => {
      const text = new Date(was).toISOString().slice(0, 19).replace('T', separator) + digits + end;
      const other = restamped(text, timeAt(text)!, at)!;
      expect(other.length).toBe(text.length);
      expect(other.endsWith(end)).toBe(true);
      const precision = digits.length > 3 ? 1 : digits.length > 1 ? 100 : 1000;
      expect(Math.abs(timeAt(other)! - at)).toBeLessThanOrEqual(precision);
    }),
  );
  expect(restamped('yesterday', 0, 0)).toBeNull();
});
