import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, open, tempDir } from './rig.ts';

test('of more facts than anybody has, the first become rows, and it is said', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('a.db'));
  const line = agent(recorder, 'agent.example').connect();
  const values = Object.fromEntries(Array.from({ length: 20_100 }, (_, n) => [`fact_${n}`, n]));
  const facts = encodeURIComponent(encodeURIComponent(JSON.stringify({ name: 'agent.example', values })));
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: { request: Buffer.from(`facts_format=application%2Fjson&facts=${facts}`) },
    fields: [['Content-Type', 'application/x-www-form-urlencoded']],
  });
  line.close();
  await recorder.close();
  using store = closing(openStore(dir.file('a.db'), 'bodies'));
  const { decoded } = store;
  expect(decoded.rows('catalog_request', {})).toMatchObject([{ facts: 20_100, topLevelFacts: 20_100 }]);
  expect(decoded.count('fact', {})).toBe(20_000);
  expect(decoded.rows('decode_note', {})).toMatchObject([
    { error: false, side: 'request', text: 'of 20100 facts the first 20000 are rows' },
  ]);
});
