import { expect, test } from 'vitest';
import { hidingFor, withoutSecrets } from '../../src/capture/hidden-store.ts';
import { openStore } from '../../src/capture/store.ts';
import { hideInText } from '../../src/decode/secrets.ts';
import type { Fields } from '../../src/model.ts';
import { fixture } from '../decode/rig.ts';
import { agent, open, tempDir } from './rig.ts';

const SECRET = 'hunter2-of-the-lab';
const JSON_TYPE: Fields = [['Content-Type', 'application/json']];

test('secrets of a catalog are hidden also from a reader who looked at the run before it had one', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  const opened = openStore(file);
  try {
    const store = withoutSecrets(opened);
    const hiding = hidingFor(opened);
    const line = agent(recorder, 'agent.example').connect();
    const sent = { fields: JSON_TYPE, responseFields: JSON_TYPE };
    await line.send('GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true', {
      ...sent,
      bodies: { response: fixture('file_metadatas.json') },
    });
    await expect.poll(() => store.decoded.rows('file_metadata', { run: 1 }).length, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(hideInText(SECRET, hiding(1))).toBe(SECRET);

    const catalog = Buffer.from(fixture('catalog.rich.json')).toString().replaceAll('s3cret', SECRET);
    await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
      bodies: { response: Buffer.from(catalog) },
      responseFields: [['Content-Type', 'application/vnd.puppet.rich+json']],
    });
    const report = JSON.parse(Buffer.from(fixture('report.json')).toString()) as { logs: { message: string }[] };
    report.logs[0]!.message = `the password is ${SECRET}`;
    await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
      ...sent,
      bodies: { request: Buffer.from(JSON.stringify(report)) },
    });
    await expect.poll(() => store.decoded.rows('log_line', { run: 1 }).length, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(store.decoded.rows('log_line', { run: 1 })[0]?.message).toBe('the password is (hidden)');
    expect(hideInText(SECRET, hiding(1))).toBe('(hidden)');
    const snippets = (terms: string): string[] => store.decoded.search(terms, { in: 'logs' }).map(hit => hit.snippet);
    expect(snippets('hunter2')).toEqual(['the password is (hidden)']);
    expect(snippets('password is')[0]).toBe('the \u0001password\u0002 \u0001is\u0002 (hidden)');
  } finally {
    opened.close();
    await recorder.close();
  }
});
