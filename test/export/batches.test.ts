import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DecodedKind } from '../../src/capture/decoded-shapes.ts';
import { gzipOf } from '../../src/capture/gzip-form.ts';
import { type ExchangeDetail, openStore } from '../../src/capture/store.ts';
import { contentOf } from '../../src/export/content.ts';
import { select } from '../../src/export/selection.ts';
import { SIDES } from '../../src/model.ts';
import { agent, closing, joined, noise, open } from '../capture/rig.ts';
import { type Folder, folder } from './rig.ts';

/*
 * Exports read exchanges in batches. What they get has to be what is stored of each, wherever a batch ends, whatever else is in it.
 */

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = dir.path('many.db');
});
afterAll(() => dir[Symbol.dispose]());

/** What catalogs have in common makes one the dictionary of the next. */
const SHARED = noise(3000, 1).toString('hex');

const catalog = (n: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      name: 'agent.example',
      version: n,
      resources: [
        { type: 'File', title: `/f${n}`, parameters: { content: `${SHARED}${n}`, password: `secret-of-${n}` }, tags: [] },
      ],
      edges: [],
      classes: ['app'],
    }),
  );

/** As zlib does it: Node's own makes other bytes, which are stored as they are. */
const gzip = (content: Buffer): Buffer => gzipOf(Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), content]));

/** Bodies that are stored in every way: none, alike, by content of gzip, a file that is gzip itself, as they are, large, in chunks. */
const KINDS: ReadonlyArray<(n: number) => { body: Buffer | null; coding?: string; plain?: Buffer }> = [
  () => ({ body: null }),
  n => ({ body: catalog(n) }),
  n => ({ body: gzip(catalog(n)), coding: 'gzip', plain: catalog(n) }),
  n => ({ body: gzip(catalog(n)) }),
  n => ({ body: noise(2000, n) }),
  () => ({ body: Buffer.from('["the same each time"]') }),
  n => ({ body: noise(n % 3 === 0 ? 70_000 : 300_000, n) }),
];

const EXCHANGES = 250;

test('whatever is in a batch, and wherever it ends', async () => {
  const recorder = await open(file);
  const lines = ['one.example', 'two.example'].map(name => agent(recorder, name).connect());
  for (let n = 0; n < EXCHANGES; n++) {
    const { body, coding } = KINDS[n % KINDS.length]!(n);
    await lines[n % 2]!.send(`POST /puppet/v3/catalog/x${n}?environment=production`, {
      fields: [['X-N', String(n)]],
      responseFields: [['Content-Type', 'application/json'], ...(coding ? ([['Content-Encoding', coding]] as const) : [])],
      bodies: body === null ? {} : { response: body },
      trailers: n % 50 === 0 ? [['T', String(n)]] : [],
    });
  }
  for (const line of lines) line.close();
  await recorder.close();
  using store = closing(openStore(file, 'bodies'));

  // the premise: gzip is stored as its content, with its coding and without
  const whole = store.bodies(
    [...store.exchanges()].map(({ id }) => id),
    'response',
  );
  for (const kind of [2, 3])
    expect([...whole].filter(([id, { gunzipped }]) => gunzipped && (id - 1) % KINDS.length === kind)).not.toEqual([]);

  const details = [...store.details()];
  expect(details.map(({ request }) => request.fields)).toEqual(Array.from({ length: EXCHANGES }, (_, n) => [['X-N', String(n)]]));
  expect(details).toEqual([...store.exchanges()].map(({ id }) => store.exchange(id)));

  const both = select(store, [...store.runs()], true);
  expect([...both.exchanges()]).toEqual(details);
  const [, second] = [...store.runs()];
  const ofSecond = details.filter(({ certname }) => certname === 'two.example');
  expect([...select(store, [second!], true).exchanges()]).toEqual(ofSecond);
  expect([...both.exchanges(second)]).toEqual(ofSecond);
  expect([...store.details({ ids: [7, 3, 9999, 5] })].map(({ id }) => id)).toEqual([3, 5, 7]);

  for (const selection of [select(store, null, true), both]) {
    let n = 0;
    for (const exchange of selection.exchanges()) {
      const { body, plain } = KINDS[n % KINDS.length]!(n);
      const content = contentOf(selection, exchange, 'response');
      if (body === null) expect(content).toEqual({ type: 'none' });
      else {
        expect(content).toMatchObject({ type: 'whole', coded: false });
        expect(Buffer.compare(content.type === 'whole' ? content.bytes : Buffer.of(), plain ?? body), `exchange ${n}`).toBe(0);
        expect(Buffer.compare(joined(store.body(exchange.id, 'response')), body)).toBe(0);
      }
      for (const side of SIDES) if (side !== 'response') expect(contentOf(selection, exchange, side)).toEqual({ type: 'none' });
      n += 1;
    }
    expect(n).toBe(EXCHANGES);
  }
});

test('decoded rows of many exchanges are those of each', () => {
  using store = closing(openStore(file, 'bodies'));
  const ids = [...store.exchanges()].map(({ id }) => id);
  const kinds: readonly DecodedKind[] = ['resource', 'body', 'class', 'catalog', 'decode_note', 'edge'];
  for (const reveal of [false, true]) {
    const found = store.decoded.rowsOf(kinds, ids, reveal);
    for (const exchange of ids) {
      const each = kinds.flatMap(kind => {
        const rows = store.decoded.rows(kind, { exchange, reveal });
        return rows.length === 0 ? [] : [[kind, rows] as const];
      });
      expect([...(found.get(exchange) ?? [])]).toEqual(each);
    }
    expect(found.size).toBeGreaterThan(EXCHANGES / 2);
  }
});

test('secrets that are known by the catalog of a run are hidden in all its batches, and in no other run', async () => {
  const own = dir.path('known.db');
  const recorder = await open(own);
  const lines = ['one.example', 'two.example'].map(name => agent(recorder, name).connect());
  const told = Buffer.from(JSON.stringify({ text: 'it is secret-of-1 and secret-of-2' }));
  for (const [n, line] of lines.entries()) {
    for (let i = 0; i < 120; i++) {
      const response = i === 60 ? catalog(n + 1) : told;
      await line.send(i === 60 ? 'POST /puppet/v3/catalog/x' : `GET /puppet/v3/node/x${i}`, {
        bodies: { response },
        responseFields: [['Content-Type', 'application/json']],
      });
    }
    line.close();
  }
  await recorder.close();
  using store = closing(openStore(own, 'bodies'));
  const selection = select(store, null, false);
  const texts = (exchange: ExchangeDetail): string => {
    const content = contentOf(selection, exchange, 'response');
    return content.type === 'whole' ? Buffer.from(content.bytes).toString() : content.type;
  };
  const shown = Map.groupBy(selection.exchanges(), ({ run }) => run);
  expect([...shown.keys()]).toEqual([1, 2]);
  for (const exchange of selection.exchanges()) {
    if (exchange.phase === 'catalog') expect(texts(exchange)).not.toContain('secret-of');
    else
      expect(texts(exchange)).toBe(
        `{"text":"it is ${exchange.run === 1 ? '(hidden) and secret-of-2' : 'secret-of-1 and (hidden)'}"}`,
      );
  }
});
