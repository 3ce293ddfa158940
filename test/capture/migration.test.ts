import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { APPLICATION_ID } from '../../src/capture/migrations.ts';
import { MIGRATIONS } from '../../src/capture/schema.ts';
import { openStore } from '../../src/capture/store.ts';
import type { ExchangeId } from '../../src/model.ts';
import { closing, joined, open, tempDir } from './rig.ts';

const LINES = JSON.stringify([
  ['Date', 'Sat, 28 Nov 2026 11:18:44 GMT'],
  ['Content-Type', 'application/json'],
]);

const report = (n: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      host: 'a.lab',
      report_format: 12,
      logs: Array.from({ length: 30 }, (_, i) => ({
        level: 'notice',
        message: `line ${i}`,
        source: 'Puppet',
        tags: [],
        time: `2026-11-28T11:0${n}:00.${100 + i}Z`,
      })),
    }),
  );

/** A capture as version 5 wrote it, with two runs of a report each. */
function ofVersion5(file: string): void {
  using db = closing(new Database(file));
  db.pragma('auto_vacuum = INCREMENTAL');
  db.pragma(`application_id = ${APPLICATION_ID}`);
  for (const { sql } of MIGRATIONS.slice(0, 5)) db.exec(sql);
  db.pragma('user_version = 5');
  db.exec(`INSERT INTO recording (first_seq, started_at, started_mono, ended_at, version, pool, primaries, listen, durability)
    VALUES (1, 1795864600000, 10.25, 1795864700000, '0.1.0', 'pooled', '["puppet.lab:8140"]', '127.0.0.1:8140', 'commit')`);
  db.prepare('INSERT INTO fields (id, lines) VALUES (1, ?)').run(LINES);
  const body = db.prepare(
    'INSERT INTO body (id, sha256, size, kept, stored, coding, cut, bytes) VALUES (?, ?, ?, ?, ?, ?, NULL, ?)',
  );
  const exchange =
    db.prepare(`INSERT INTO exchange (id, recording, seq, certname, phase, indirection, key, environment, agent_connection, agent_ordinal,
    resent, answered_by, method, target, request_http_version, status, reason, started_at, start_mono, request_end_mono, end_mono,
    request_bytes, response_bytes, outcome, request_fields, response_fields, request_body)
    VALUES (?, 1, ?, 'a.lab', 'report', 'report', 'a.lab', 'production', ?, 1, 0, 'primary', 'PUT', '/puppet/v3/report/a.lab?environment=production',
      '1.1', 200, 'OK', ?, ?, ?, ?, ?, 0, 'answered', 1, 1, ?)`);
  for (const n of [1, 2]) {
    const bytes = report(n);
    const stored = n === 1 ? bytes : zstdCompressSync(bytes);
    const sha256 = createHash('sha256').update(bytes).digest();
    body.run(n, sha256, bytes.length, bytes.length, stored.length, n === 1 ? 'identity' : 'zstd', stored);
    const mono = n * 1000 + 0.123456;
    exchange.run(n, n, n, 1795864600000 + n * 20_000, mono, mono + 0.5, mono + 1.75, bytes.length, n);
  }
}

test('a capture of version 5 is what it was, and goes on', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  ofVersion5(file);
  {
    using store = closing(openStore(file, 'bodies'));
    for (const n of [1, 2]) {
      const exchange = store.exchange(n as ExchangeId)!;
      expect(exchange).toMatchObject({ phase: 'report', method: 'PUT', status: 200, certname: 'a.lab', outcome: 'answered' });
      expect(exchange.timing).toMatchObject({
        startMono: n * 1000 + 0.123456,
        requestEndMono: n * 1000 + 0.623456,
        firstByteMono: null,
        endMono: n * 1000 + 1.873456,
      });
      expect(JSON.stringify(exchange.response?.fields)).toBe(LINES);
      expect(joined(store.body(exchange.id, 'request')).equals(report(n))).toBe(true);
      const lines = store.decoded.rows('log_line', { exchange: exchange.id });
      expect(lines.map(line => [line.n, line.message, line.at])).toEqual(
        Array.from({ length: 30 }, (_, i) => [i + 1, `line ${i}`, `2026-11-28T11:0${n}:00.${100 + i}Z`]),
      );
    }
    expect([...store.query('SELECT coding FROM body WHERE id = 2').rows]).toEqual([['packed']]);
    expect(store.decoded.search('"line 7"').map(hit => hit.exchange)).toEqual([1, 2]);
  }
  // a proxy goes on with it: numbers continue
  const recorder = await open(file);
  expect(recorder.exchangeId()).toBe(3);
  await recorder.close();
});

/** A capture as version 6 wrote it: rows that have since been taken apart, and words that can be searched. */
function ofVersion6(file: string): void {
  ofVersion5(file);
  using db = closing(new Database(file));
  db.exec(MIGRATIONS[5]!.sql);
  db.pragma('user_version = 6');
  db.exec(`INSERT INTO run (id, recording, certname, started_at, ended_at, "end", exchanges, failed, agent_connections, primary_connections, request_bytes,
      response_bytes, judged) VALUES (1, 1, 'a.lab', 1, 2, 'report', 2, 0, 1, 0, 1, 1, 1);
    INSERT INTO run_exchange (exchange, run, n) VALUES (1, 1, 1), (2, 1, 2);
    INSERT INTO derived (name, seq, settled) VALUES ('runs', 2, 1), ('bodies', 2, 1);
    INSERT INTO report (exchange, format, host, at, status, noop, transaction_uuid, code_id, processors)
      VALUES (1, 12, 'a.lab', 1795864600000.5, 'changed', 0, 'aa-bb', NULL, '["store"]'), (2, 12, 'a.lab', NULL, 'changed', 0, NULL, NULL, '["store"]');
    INSERT INTO refusal (exchange, status, message, "column") VALUES (1, 404, 'no such [1, null]', 3), (2, 404, 'no such [1, null]', NULL);
    INSERT INTO decoded_body (body, exchange, format, mime, codings, bytes, sha256, settled)
      VALUES (1, 1, 'json', NULL, '["gzip"]', 7, x'00ff', 0), (2, 2, 'json', NULL, NULL, 7, NULL, 0);
    INSERT INTO catalog (exchange, version, tags, resources, edges, classes, metadata) VALUES (2, '007', '[]', 1, 2, 3, 4);
    INSERT INTO catalog_request (exchange, checksum_types, static_catalog) VALUES (2, '[]', 1);
    INSERT INTO list (id, owner, kind, base, count) VALUES (1, 2, 1, 1, 1);
    INSERT INTO fact_row (id, path, type, value, bytes) VALUES ((1 << 24) + 1, 'os.name', 'string', 'Debian', 6);
    INSERT INTO body_text (body, text) VALUES (1, 'words of a body')`);
}

test('a capture of version 6 says the same, word for word', () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  ofVersion6(file);
  const all = (): Record<string, unknown> => {
    using db = closing(new Database(file, { readonly: true }));
    const views = db.prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'view' AND name GLOB 'v_*'").pluck().all();
    return Object.fromEntries(views.map(view => [view, db.prepare(`SELECT * FROM ${view}`).safeIntegers(true).all()]));
  };
  const before = all();
  // a column of a later version
  for (const row of before.v_exchange as Record<string, unknown>[]) row.fault = null;
  expect(Object.values(before).filter(rows => (rows as unknown[]).length > 0).length).toBe(8);
  using store = closing(openStore(file));
  expect(all()).toEqual(before);
  expect([...store.query('SELECT count(*) FROM same').rows]).toEqual([[7]]);
  expect(store.decoded.search('debian').map(hit => hit.exchange)).toEqual([2]);
  expect(store.decoded.search('words').map(hit => hit.exchange)).toEqual([1]);
  for (const n of [1, 2]) expect(joined(store.body(n as ExchangeId, 'request')).equals(report(n))).toBe(true);
});
