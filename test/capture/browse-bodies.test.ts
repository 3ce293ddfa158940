import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { createBodyList } from '../../src/capture/browse-bodies.ts';
import { openForReading } from '../../src/capture/database.ts';
import { gzipOf } from '../../src/capture/gzip-form.ts';
import { openStore } from '../../src/capture/store.ts';
import type { ExchangeId } from '../../src/model.ts';
import { agent, closing, joined, noise, open, tempDir } from './rig.ts';

const REPORT = 'PUT /puppet/v3/report/a.lab?environment=production';
const CATALOG = 'POST /puppet/v3/catalog/a.lab?environment=production';
const GZIP = { responseFields: [['Content-Encoding', 'x-gzip'] as const] };

function report(n: number): Buffer {
  const lines = Array.from({ length: 60 }, (_, i) => `{"resource":"File[/etc/${i}]","changed":${(i * n) % 7 === 0}}`);
  return Buffer.from(`report-${n}. ${lines.join('\n')}`);
}

/** As the primary's zlib makes it: it is stored by its content. */
function compressed(content: Buffer): Buffer {
  return gzipOf(Buffer.concat([Buffer.from('1f8b0800000000000000', 'hex'), content]));
}

test('the bodies of a capture are asked once each, by what they hold, whatever they are stored as', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const sent: { id: ExchangeId; side: 'request' | 'response'; coded: boolean }[] = [];
  const recorder = await open(file, { maxBodyBytes: 8 << 20 });
  const line = agent(recorder, 'a.lab').connect();
  const send = async (first: string, side: 'request' | 'response', body: Buffer, more: object = {}): Promise<void> => {
    sent.push({ id: await line.send(first, { bodies: { [side]: body }, ...more }), side, coded: 'responseFields' in more });
  };
  for (let n = 1; n <= 12; n++) {
    await send(REPORT, 'request', report(n));
    await send(CATALOG, 'response', compressed(Buffer.from(`{"catalog":${n},${report(n)}}`)), GZIP);
    await send('GET /puppet/v3/file_content/a?', 'response', compressed(report(n + 100)));
  }
  await send(REPORT, 'request', report(3));
  await send('GET /puppet/v3/file_content/b?', 'response', Buffer.from('report-1. in a few bytes'));
  await send('GET /puppet/v3/file_content/c?', 'response', Buffer.concat([noise(200_000, 1), report(70)]));
  await send('GET /puppet/v3/file_content/d?', 'response', Buffer.concat([noise(4 << 20, 2), report(71)]));
  line.close();
  await recorder.close();
  openStore(file, 'bodies').close();

  using store = closing(openStore(file));
  const plainOf = ({ id, side, coded }: (typeof sent)[number]): Buffer => {
    const bytes = joined(store.body(id, side));
    return coded ? gunzipSync(bytes) : bytes;
  };
  using db = closing(openForReading(file));
  const kinds = db.prepare(`SELECT DISTINCT coding || ' ' || ifnull(p.gzip, '') || ' ' || ifnull(q.gzip, '')
    FROM body b LEFT JOIN packed p ON p.body = b.id LEFT JOIN blocked q ON q.body = b.id`);
  const stored = ['packed 0 ', 'packed 1 ', 'packed  1', 'chunks  ', 'identity 0 '];
  expect(kinds.pluck().all()).toEqual(expect.arrayContaining(stored));
  const bodyId = { request: 'request_body', response: 'response_body' };
  const list = createBodyList(db);
  const parts = [...list.extend()];
  expect(parts.at(-1)).toBe(1);
  expect(list.length).toBe(sent.length - 1); // one report comes twice
  for (const text of ['report-1.', 'report-3.', 'catalog":9', 'report-104.', 'report-70.', 'report-71.', 'nothing has this']) {
    const expected = new Set(
      sent
        .filter(each => plainOf(each).includes(text))
        .map(({ id, side }) => db.prepare(`SELECT ${bodyId[side]} FROM exchange WHERE id = ?`).pluck().get(id)),
    );
    const found: number[] = [];
    let asked = 0;
    for (let place = 0; place < list.length; ) {
      const { yes, next } = list.ask(place, plain => {
        asked++;
        return plain.includes(text);
      });
      expect(next).toBeGreaterThan(place);
      found.push(...yes);
      place = next;
    }
    expect({ text, found: new Set(found) }).toEqual({ text, found: expected });
    expect([found.length, asked]).toEqual([expected.size, list.length]);
  }
});

test('what came later is added, and nothing else', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send(REPORT, { bodies: { request: report(1) } });
  using store = closing(openStore(file));
  using db = closing(openForReading(file));
  const list = createBodyList(db);
  expect([[...list.extend()].length, list.length]).toEqual([1, 1]);
  await line.send(REPORT, { bodies: { request: report(1) } });
  await line.send(REPORT, { bodies: { request: report(2), response: Buffer.from('["ok"]') } });
  for (const _ of list.extend());
  expect(list.length).toBe(3);
  const asked: string[] = [];
  list.ask(1, plain => asked.push(plain.toString()) === 0);
  expect(asked.map(text => text.slice(0, 9)).sort()).toEqual(['["ok"]', 'report-2.']);
  expect([...list.extend()]).toEqual([]);
  expect([...store.exchanges()]).toHaveLength(3);
  line.close();
  await recorder.close();
});
