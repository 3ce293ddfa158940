import { expect, test } from 'vitest';
import { withoutSecrets } from '../../src/capture/hidden-store.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, open, tempDir } from './rig.ts';

const PHRASE = 'correct horse battery staple with many more words than any snippet has of them in one line';
const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${'MIIEkeykeykey/abc+\n'.repeat(30)}-----END RSA PRIVATE KEY-----`;
const EYAML = `ENC[PKCS7,${'MIIBeyamleyaml+abc/'.repeat(20)}]`;

const json = (data: unknown): Buffer => Buffer.from(JSON.stringify(data));

async function capture(file: string): Promise<void> {
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  const jsonType = [['Content-Type', 'application/json']] as const;
  const catalog = {
    name: 'agent.example',
    resources: [
      { type: 'Notify', title: 'sensitive', parameters: { message: PHRASE }, sensitive_parameters: ['message'] },
      { type: 'Db', title: 'named', parameters: { note: 'zebra', db_password: 'named-of-parameter' } },
    ],
    edges: [],
    classes: [],
  };
  const facts = { name: 'agent.example', values: { db_password: 'named-of-fact', plain: 'quagga' }, timestamp: '2026-01-01' };
  const form = `environment=production&facts_format=application%2Fjson&facts=${encodeURIComponent(encodeURIComponent(JSON.stringify(facts)))}`;
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: { request: Buffer.from(form), response: json(catalog) },
    fields: [['Content-Type', 'application/x-www-form-urlencoded']],
    responseFields: jsonType,
  });
  await line.send('GET /of-another-kind?token=of-the-query', {
    bodies: { response: json({ animal: 'okapi', token: 'named-of-body' }) },
    responseFields: jsonType,
  });
  const log = (message: string): object => ({
    level: 'notice',
    message,
    source: 'Puppet',
    tags: [],
    time: '2026-01-01T00:00:00Z',
  });
  await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
    bodies: {
      request: json({
        host: 'agent.example',
        time: '2026-01-01T00:00:00Z',
        report_format: 12,
        status: 'changed',
        logs: [log(`gnu ${PHRASE}`), log(`${PHRASE} tapir`), log(`ibex ${KEY} tahr`), log(`yak ${EYAML} saola`)],
        metrics: {},
        resource_statuses: {},
      }),
    },
    fields: jsonType,
  });
  line.close();
  await recorder.close();
}

test('a snippet shows no part of a secret, however near the words are to it', async () => {
  using dir = tempDir();
  await capture(dir.file('a.db'));
  using opened = closing(openStore(dir.file('a.db'), 'bodies'));
  const { decoded } = withoutSecrets(opened);
  const found = (terms: string): string[] => decoded.search(terms).map(({ place, snippet }) => `${place}: ${snippet}`);
  expect(found('gnu')).toEqual(['Puppet: \u0001gnu\u0002 (hidden)']);
  expect(found('tapir')).toEqual(['Puppet: (hidden) \u0001tapir\u0002']);
  expect(found('ibex')).toEqual(['Puppet: \u0001ibex\u0002 (private key) tahr']);
  expect(found('tahr')).toEqual(['Puppet: ibex (private key) \u0001tahr\u0002']);
  expect(found('saola')).toEqual(['Puppet: yak (hidden) \u0001saola\u0002']);
  expect(found('zebra')).toEqual(['Db[named]: {"note":"\u0001zebra\u0002","db_password":"(hidden)"}']);
  expect(found('named-of-fact')).toEqual(['db_password: (hidden)']);
  expect(found('okapi')).toEqual(['/of-another-kind?token=(hidden): {"animal":"\u0001okapi\u0002","token":"(hidden)"}']);
  for (const words of ['battery', 'named-of-fact', 'named-of-parameter', 'named-of-body', 'MIIEkeykeykey'])
    expect(found(words).join('\n'), words).not.toMatch(/battery|named-of|MIIE/);
});
