import { createHash } from 'node:crypto';
import { gzipSync, inflateRawSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { isDictionary, packedWith, unpacked } from '../../src/capture/compress.ts';
import { deflate } from '../../src/capture/deflate.ts';
import { CaptureError } from '../../src/capture/errors.ts';
import { contentForm, gzipOf } from '../../src/capture/gzip-form.ts';
import { openStore } from '../../src/capture/store.ts';
import type { ExchangeId } from '../../src/model.ts';
import { fc } from '../rig/properties.ts';
import { agent, closing, joined, noise, open, tempDir, until } from './rig.ts';

/** Bytes as they are in bodies: texts that come again, and noise. */
const bytes = fc
  .array(
    fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom('{"name":', 'puppet', '\n', 'a'.repeat(300)).map(Buffer.from)),
    {
      maxLength: 60,
    },
  )
  .map(parts => Buffer.concat(parts));

describe('deflate', () => {
  // made by zlib 1.2.13: compressobj(6, DEFLATED, -15, 8)
  test.each([
    ['nothing', Buffer.alloc(0), '9b4fb24edd6d1d8830e272398263cdbf026b97392cc35387b991dc0248a628f9'],
    ['one byte', Buffer.from('a'), '59fced9a2ff83dabdd7055cf3abd6c12b802e6397b6fba5b8251cdf95d2bc991'],
    ['a few bytes', Buffer.from('{"ok":true}'), '24882e694956f53f9741c03ee48bbea19d500a786e13ebdb95de5cad56504606'],
    ['zeros', Buffer.alloc(300_000), '4dfd593eac6334a737232f5d9384a46cd9460f560fe2097459e0c6a1c752d12b'],
    ['noise, which is stored', noise(100_000, 1), 'db3704eba800532a61f6b6b91fc7f58f4b7b31c3589bfdbad8d0d524a7aae310'],
    [
      'two letters',
      Buffer.from(noise(60_000, 2).map(byte => 97 + (byte & 1))),
      'f477e24b424da0ce4625ed1bb4f02b68ef7920381f143b50d39fdf321af25d36',
    ],
    [
      'skewed bytes',
      Buffer.from(noise(80_000, 4).map(byte => Math.clz32(byte) * 3 + (byte & 3))),
      'f055c3212cbf40b3c677fbe4445c90db18c21cc1b210bc8ed077e28565e04507',
    ],
    [
      'lines of JSON, several windows',
      Buffer.from(
        Array.from({ length: 9000 }, (_, n) =>
          JSON.stringify({ n, title: `File[/etc/conf.d/${(n * 7919) % 1000}]`, ok: n % 3 === 0 }),
        ).join('\n'),
      ),
      '9b1ac58267beab4f209d6249b8950e1d2bce8d9900f5c75ce661032665627ea4',
    ],
    [
      'noise that comes again far away',
      Buffer.concat([noise(4_000, 3), Buffer.alloc(28_000, 'xy'), noise(4_000, 3), Buffer.alloc(70_000, 'z'), noise(4_000, 3)]),
      '27a0c043a950d708c56bbb2a1d0e57266cc4f90356f8380f98ee60aa44f5d1f2',
    ],
  ])('gives the bytes of zlib: %s', (_, input, sha256) => {
    const made = deflate(input);
    expect(createHash('sha256').update(made).digest('hex')).toBe(sha256);
    expect(inflateRawSync(made).equals(input)).toBe(true);
  });

  test('whatever the bytes, they come back', () => {
    fc.assert(
      fc.property(bytes, input => inflateRawSync(deflate(input)).equals(input)),
      { numRuns: 300 },
    );
  });
});

describe('the content in the place of gzip', () => {
  test('only where the very same bytes can be made again', () => {
    fc.assert(
      fc.property(bytes, input => {
        const form = Buffer.concat([Buffer.from('1f8b0800000000000000', 'hex'), input]);
        const gzip = gzipOf(form);
        expect(contentForm(gzip)?.equals(form)).toBe(true);
        // another zlib, other bytes: then there is no such form, or it is right
        const other = gzipSync(input, { level: 9 });
        const made = contentForm(other);
        return made === null || gzipOf(made).equals(other);
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    ['no gzip', Buffer.from('{"a":1}')],
    ['cut', gzipOf(Buffer.concat([Buffer.from('1f8b0800000000000000', 'hex'), Buffer.from('some text')])).subarray(0, -3)],
    ['with something behind it', Buffer.concat([gzipSync('a'), Buffer.from('b')])],
    ['with a name in its header', Buffer.concat([Buffer.from('1f8b080800000000000061', 'hex'), Buffer.alloc(20)])],
    ['of a gigabyte', gzipSync(Buffer.alloc(4 << 20))],
  ])('not of one that is %s', (_, input) => expect(contentForm(input)).toBeNull());
});

describe('a dictionary', () => {
  const dictionaries = bytes.filter(isDictionary);

  test('whatever the bytes, they come back; with another one they do not', () => {
    fc.assert(
      fc.property(bytes, dictionaries, fc.nat(), (input, dictionary, at) => {
        const made = packedWith(input, dictionary);
        expect(unpacked(made, dictionary).equals(input)).toBe(true);
        const changed = Buffer.from(dictionary);
        changed[at % changed.length]! ^= 0x20;
        const flipped = Buffer.from(made);
        flipped[at % flipped.length]! ^= 0x20;
        for (const [packed, by] of [
          [made, changed],
          [flipped, dictionary],
        ] as const) {
          try {
            if (!unpacked(packed, by).equals(input)) return false;
          } catch {
            // that is what should happen
          }
        }
        return true;
      }),
      { numRuns: 300 },
    );
  });
});

const REPORT = 'PUT /puppet/v3/report/a.lab?environment=production';
const CATALOG = 'POST /puppet/v3/catalog/a.lab?environment=production';
const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

function report(n: number): Buffer {
  const statuses = Array.from({ length: 40 }, (_, i) => [
    `File[/etc/${i}]`,
    { resource_type: 'File', title: `/etc/${i}`, evaluation_time: (i * n) / 1e6, tags: ['file', 'class', 'base'], events: [] },
  ]);
  const time = `2026-11-28T11:${String(n % 60).padStart(2, '0')}:00.123456789+00:00`;
  return Buffer.from(
    JSON.stringify({
      host: 'a.lab',
      transaction_uuid: uuid(n),
      time,
      report_format: 12,
      logs: [],
      metrics: {},
      resource_statuses: Object.fromEntries(statuses),
    }),
  );
}

function catalog(n: number): Buffer {
  const resources = Array.from({ length: 40 }, (_, i) => ({
    type: 'File',
    title: `/etc/${i}`,
    tags: ['file'],
    parameters: { ensure: 'file' },
  }));
  return Buffer.from(
    JSON.stringify({ name: 'a.lab', version: n, catalog_uuid: uuid(n), resources, edges: [], classes: ['base'] }),
  );
}

/** As the primary's zlib makes it. */
function compressed(content: Buffer): Buffer {
  return gzipOf(Buffer.concat([Buffer.from('1f8b0800000000000000', 'hex'), content]));
}

interface Sent {
  id: ExchangeId;
  side: 'request' | 'response';
  bytes: Buffer;
}

/** Runs that are much alike, each with a report and a catalog. */
async function runs(file: string, count: number): Promise<Sent[]> {
  const recorder = await open(file);
  const sent: Sent[] = [];
  for (let n = 1; n <= count; n++) {
    const line = agent(recorder, 'a.lab').connect();
    const answer = compressed(catalog(n));
    const more = { responseFields: [['Content-Encoding', 'gzip'] as const, ['Content-Type', 'application/json'] as const] };
    sent.push({ id: await line.send(CATALOG, { bodies: { response: answer }, ...more }), side: 'response', bytes: answer });
    const told = report(n);
    sent.push({ id: await line.send(REPORT, { bodies: { request: told } }), side: 'request', bytes: told });
    line.close();
  }
  await recorder.close();
  return sent;
}

function expectWhole(file: string, sent: readonly Sent[]): void {
  using store = closing(openStore(file, 'bodies'));
  for (const { id, side, bytes: body } of sent) {
    expect(joined(store.body(id, side)).equals(body)).toBe(true);
    expect(Buffer.from(store.bodyPart(id, side, 100, 50)).equals(body.subarray(100, 150))).toBe(true);
  }
}

function rows(file: string, sql: string): unknown[] {
  using db = closing(new Database(file, { readonly: true }));
  return db.prepare(sql).pluck().all();
}

describe('bodies that are much like an earlier one', () => {
  test('take little, and are read as they were sent', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const sent = await runs(file, 6);
    expectWhole(file, sent);
    expect(rows(file, "SELECT count(*) FROM body WHERE coding = 'packed'")).toEqual([12 - 1]); // a report is the first
    expect(rows(file, 'SELECT count(*) FROM packed WHERE gzip')).toEqual([6]);
    expect(rows(file, 'SELECT max(length(bytes)) FROM packed WHERE dictionary IS NOT NULL')[0]).toBeLessThan(500);
    expect(rows(file, 'SELECT count(*) FROM body_fresh')).toEqual([0]);
    expect(rows(file, 'PRAGMA integrity_check')).toEqual(['ok']);
  });

  test('a dictionary that is missing, or damaged, is said in a line; the rest can be read', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const sent = await runs(file, 3);
    openStore(file, 'bodies').close();
    const last = sent.at(-1)!;
    const dictionary = rows(
      file,
      `SELECT p.dictionary FROM packed p JOIN exchange e ON e.request_body = p.body WHERE e.id = ${last.id}`,
    )[0];
    const tell = (sql: string): string => {
      const db = new Database(file);
      db.exec(sql);
      db.close();
      using store = closing(openStore(file));
      expect(joined(store.body(sent[0]!.id, 'response')).equals(sent[0]!.bytes)).toBe(true);
      try {
        joined(store.body(last.id, 'request'));
        return 'read';
      } catch (error) {
        expect(error).toBeInstanceOf(CaptureError);
        return (error as Error).message;
      }
    };
    const flip = `UPDATE packed SET bytes = CAST(substr(bytes, 1, 99) || x'00ff00ff' || substr(bytes, 104) AS BLOB)`;
    expect(tell(`${flip} WHERE body = ${dictionary}`)).toBe(
      'a body of this capture is damaged: what is stored of it is not what was written',
    );
    expect(tell(`DELETE FROM packed WHERE body = ${dictionary}; DELETE FROM body WHERE id = ${dictionary}`)).toBe(
      'a body of this capture is damaged: the body that it is stored with is missing',
    );
  });

  test('are kept together once there are some of them, and go with the last', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const sent = await runs(file, 17);
    expectWhole(file, sent);
    // of catalogs and of reports; the first of each is the dictionary
    expect(rows(file, 'SELECT bodies FROM block')).toEqual([8, 8, 8, 8]);
    expect(rows(file, 'SELECT count(*) FROM blocked WHERE gzip')).toEqual([16]);
    expect(rows(file, 'SELECT count(*) FROM packed WHERE body IN (SELECT body FROM blocked)')).toEqual([0]);
    expect(rows(file, 'SELECT max(length(bytes)) FROM block')[0]).toBeLessThan(1_200);
    const db = new Database(file);
    db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
    db.close();
    const recorder = await open(file, { retain: { runs: 4 } });
    await until(() => rows(file, 'SELECT sum(bodies) FROM block')[0] === 8);
    await recorder.close();
    expectWhole(file, sent.slice(-8));
    expect(rows(file, 'SELECT count(*) FROM blocked WHERE block IN (SELECT id FROM block)')).toEqual([8]);
    expect(rows(file, 'SELECT count(*) FROM blocked')).toEqual([8]);
    expect(rows(file, 'SELECT bodies FROM block')).toEqual([4, 4]);
    expect(rows(file, 'PRAGMA integrity_check')).toEqual(['ok']);
  });

  test('what was cut by --max-body comes back as far as it was kept', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const recorder = await open(file, { maxBodyBytes: 3_000 });
    const line = agent(recorder, 'a.lab').connect();
    const ids = [
      await line.send(REPORT, { bodies: { request: report(1) } }),
      await line.send(REPORT, { bodies: { request: report(2) } }),
    ];
    line.close();
    await recorder.close();
    using store = closing(openStore(file, 'bodies'));
    for (const [i, id] of ids.entries())
      expect(joined(store.body(id, 'request')).equals(report(i + 1).subarray(0, 3_000))).toBe(true);
    expect(rows(file, "SELECT count(*) FROM body WHERE coding = 'packed'")).toEqual([1]);
  });

  test('--retain keeps the dictionary and the base of what it keeps, and no longer', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const sent = await runs(file, 6);
    openStore(file, 'bodies').close();
    using before = closing(openStore(file));
    const kept = before.decoded.rows('resource_status', { run: 6 });
    expect(kept.length).toBe(40);
    const db = new Database(file);
    db.exec('UPDATE run SET ended_at = ended_at - 3600000 + id');
    db.close();
    const recorder = await open(file, { retain: { runs: 2 } });
    await until(() => rows(file, 'SELECT count(*) FROM run')[0] === 2);
    await until(() => rows(file, 'SELECT count(*) FROM exchange')[0] === 4);
    await recorder.close();
    expectWhole(file, sent.slice(-4));
    using after = closing(openStore(file));
    expect(after.decoded.rows('resource_status', { run: 6 })).toEqual(kept);
    // the dictionaries of the four bodies stay, and nothing else; the same of the lists
    expect(rows(file, 'SELECT count(*) FROM packed WHERE dictionary NOT IN (SELECT id FROM body)')).toEqual([0]);
    expect(
      rows(
        file,
        `SELECT id FROM body WHERE id NOT IN (SELECT request_body FROM exchange WHERE request_body > 0 UNION SELECT response_body FROM exchange WHERE response_body > 0
          UNION SELECT dictionary FROM packed WHERE dictionary > 0)`,
      ),
    ).toEqual([]);
    expect(
      rows(
        file,
        'SELECT DISTINCT id >> 24 FROM resource_status_row WHERE id >> 24 NOT IN (SELECT base FROM list UNION SELECT id FROM list)',
      ),
    ).toEqual([]);
    expect(rows(file, 'SELECT count(*) FROM route WHERE id NOT IN (SELECT route FROM exchange_row)')).toEqual([0]);
    expect(rows(file, 'SELECT count(*) FROM template WHERE id NOT IN (SELECT template FROM field_lines)')).toEqual([0]);
  });
});
