import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { redacting } from '../../src/capture/redacting.ts';
import { openStore } from '../../src/capture/store.ts';
import { type BodyTap, type ExchangeId, type Fields, SIDES, type Side } from '../../src/model.ts';
import { agent, closing, joined, noise, open, tempDir } from './rig.ts';

const SECRET = 'h0rse-battery-9';
const NAMED = 'st4ple-token-77';
const JSON_TYPE: Fields = [['Content-Type', 'application/json']];
const GZIPPED: Fields = [...JSON_TYPE, ['Content-Encoding', 'gzip']];

const catalog = JSON.stringify({
  name: 'a.lab',
  version: '1',
  environment: 'production',
  resources: [
    {
      type: 'File',
      title: '/srv/app.conf',
      tags: [],
      exported: false,
      parameters: { content: { __ptype: 'Sensitive', __pvalue: SECRET }, api_token: NAMED, mode: '0600' },
    },
  ],
  edges: [],
  classes: [],
});
const report = JSON.stringify({
  host: 'a.lab',
  status: 'changed',
  logs: [{ level: 'notice', message: `content changed to ${SECRET}` }],
});

test('--redact-at-capture: no secret reaches the file, in no body, field or target; the rest is as it was', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const tape = redacting(recorder);
  const line = agent(Object.assign(Object.create(recorder) as typeof recorder, tape), 'a.lab').connect();
  const plain = Buffer.from('nothing to hide here\n');
  const binary = noise(100_000, 3);
  await line.send('POST /puppet/v3/catalog/a.lab?environment=production', {
    bodies: { response: [gzipSync(catalog).subarray(0, 40), gzipSync(catalog).subarray(40)] },
    responseFields: GZIPPED,
    fields: [
      ['Authorization', `Bearer ${NAMED}`],
      ['Accept', 'application/json'],
    ],
  });
  await line.send('PUT /puppet/v3/report/a.lab?environment=production', {
    bodies: { request: Buffer.from(report) },
    fields: JSON_TYPE,
  });
  await line.send(`GET /puppet/v3/file_content/modules/m/a?environment=production&token=${NAMED}`, {
    bodies: { response: plain },
  });
  const kept = await line.send('GET /puppet/v3/file_content/modules/m/b?environment=production', {
    bodies: { response: binary },
  });
  const large = await line.send('GET /puppet/v3/file_content/modules/m/c?environment=production', {
    bodies: { response: Buffer.alloc(9 << 20, `${SECRET} `) },
  });
  const broken = await line.send('POST /puppet/v3/catalog/a.lab?environment=production', {
    bodies: { response: Buffer.from(`{"resources": [{"password": "${SECRET}"`) },
    responseFields: JSON_TYPE,
  });
  line.close();
  await recorder.close();

  using store = closing(openStore(file, 'bodies'));
  const rows = [...store.exchanges()];
  expect(rows).toHaveLength(6);
  const texts = rows.flatMap(({ id }) =>
    SIDES.map(side => {
      const bytes = joined(store.body(id, side));
      return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('latin1');
    }),
  );
  const heads = rows.map(({ id }) => JSON.stringify(store.exchange(id)));
  for (const secret of [SECRET, NAMED]) {
    for (const text of [...texts, ...heads, readFileSync(file, 'latin1')]) expect(text.includes(secret)).toBe(false);
  }
  // What is hidden leaves the rest: it is decoded as ever.
  expect(texts.join('\n')).toContain('/srv/app.conf');
  expect(store.decoded.rows('resource', { run: 1 }).map(row => row.title)).toEqual(['/srv/app.conf']);
  expect(texts).toContain(plain.toString('latin1'));
  expect(joined(store.body(kept, 'response')).equals(binary)).toBe(true);
  // Too large to be held, or not to be read: nothing is stored, and the count of what passed is true.
  for (const id of [large, broken]) expect(joined(store.body(id, 'response'))).toHaveLength(0);
  expect(store.exchange(large)?.responseBytes).toBe(9 << 20);
  expect(tape.redacted).toEqual({ changed: 2, leftOut: 2 });
});

test('an upload that goes on after its answer takes no room from what comes later', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const tape = redacting(recorder);
  const taps: BodyTap[] = [];
  const watched = Object.assign(Object.create(recorder) as typeof recorder, tape, {
    tap(exchange: ExchangeId, side: Side): BodyTap {
      const tap = tape.tap(exchange, side);
      taps.push(tap);
      return tap;
    },
  });
  const line = agent(watched, 'a.lab').connect();
  const target = '/puppet/v3/file_bucket_file/sha256/ab//var/log/large?environment=production';
  for (let n = 0; n < 10; n += 1) {
    const refused = await line.send(`PUT ${target}`, { bodies: { request: Buffer.from('begins') }, status: 403 });
    const late = [...taps.splice(0), tape.tap(refused, 'request')];
    for (const tap of late) tap.write(Buffer.alloc(4 << 20, 'late '));
  }
  const kept = await line.send('GET /puppet/v3/file_content/modules/m/a?environment=production', {
    bodies: { response: Buffer.from('hello') },
  });
  line.close();
  await recorder.close();
  using store = closing(openStore(file, 'bodies'));
  expect(joined(store.body(kept, 'response')).toString()).toBe('hello');
  expect(tape.redacted.leftOut).toBe(0);
});

test('what is read out of a target holds no secret either', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const tape = redacting(recorder);
  const line = agent(Object.assign(Object.create(recorder) as typeof recorder, tape), 'a.lab').connect();
  await line.send('POST /puppet/v3/catalog/a.lab?environment=production', {
    bodies: { response: Buffer.from(catalog) },
    responseFields: JSON_TYPE,
  });
  const id = await line.send(`GET /puppet/v3/file_content/modules/m/${SECRET}.conf?environment=production`);
  const escaped = encodeURIComponent(SECRET).replaceAll('-', '%2D');
  const other = await line.send(`GET /puppet/v3/file_content/modules/m/${escaped}.conf?environment=production&what=a+${escaped}`);
  line.close();
  await recorder.close();
  using store = closing(openStore(file, 'bodies'));
  expect(store.exchange(other)).toMatchObject({
    target: '/puppet/v3/file_content/modules/m/(hidden).conf?environment=production&what=a%2B(hidden)',
    key: 'modules/m/(hidden).conf',
  });
  expect(store.exchange(id)).toMatchObject({ key: 'modules/m/(hidden).conf', environment: 'production', phase: 'file' });
  expect(readFileSync(file, 'latin1').includes(SECRET)).toBe(false);
});
