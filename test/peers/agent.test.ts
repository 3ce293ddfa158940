import { expect, test } from 'vitest';
import { runDemoAgent } from './agent.ts';
import { newAgentState } from './options.ts';
import { startDemoPrimary } from './primary.ts';

/** The embedded agent against the embedded primary: what PUPPET's agents and primaries do, seen from both ends. */

const CERTNAME = 'demo1.example';

async function started(options: Parameters<typeof startDemoPrimary>[0] = {}) {
  const primary = await startDemoPrimary({ keyType: 'ec', ...options });
  const place = { host: '127.0.0.1', port: primary.port, serverName: 'puppet.example.com', via: null };
  return { primary, agent: { certname: CERTNAME, place, keyType: 'ec' as const, state: newAgentState() } };
}

test.each(['self', 'chain'] as const)('a first run has five connections, a second one; with a CA of the kind %s', async ca => {
  const { primary, agent } = await started({ ca });
  await using _primary = primary;
  const first = await runDemoAgent(agent);
  expect(first).toMatchObject({ exitCode: 2, error: null, changed: 5 });
  expect(primary.connections.total).toBe(5);
  const paths = first.steps.map(
    ({ line, method, target }) => `${line} ${method} ${target.split('?')[0]!.split('/').slice(0, 5).join('/')}`,
  );
  expect(paths.slice(0, 6)).toEqual([
    'ca GET /puppet-ca/v1/certificate/ca',
    'crl GET /puppet-ca/v1/certificate_revocation_list/ca',
    `csr PUT /puppet-ca/v1/certificate_request/${CERTNAME}`,
    `csr GET /puppet-ca/v1/certificate/${CERTNAME}`,
    `main GET /puppet/v3/node/${CERTNAME}`,
    'main GET /puppet/v3/file_metadatas/plugins',
  ]);
  expect(paths.at(-1)).toBe(`main PUT /puppet/v3/report/${CERTNAME}`);
  const before = primary.seen.length;
  const second = await runDemoAgent(agent);
  expect(second).toMatchObject({ exitCode: 0, error: null, changed: 0 });
  expect(primary.connections.total).toBe(6);
  expect(primary.seen.slice(before).every(({ certname }) => certname === CERTNAME)).toBe(true);
  expect(second.steps.some(({ target }) => /certificate|node|file_content/.test(target))).toBe(false);
});

test('the fields of a request are in the order of Puppet', async () => {
  const { primary, agent } = await started();
  await using _primary = primary;
  await runDemoAgent(agent);
  const names = (target: RegExp): string[] => primary.seen.find(one => target.test(one.target))!.fields.map(([name]) => name);
  expect(names(/catalog/)).toEqual([
    ...['X-Puppet-Version', 'User-Agent', 'Accept', 'Content-Type', 'Accept-Encoding', 'Host', 'Content-Length'],
  ]);
  expect(names(/node/)).toEqual(['X-Puppet-Version', 'User-Agent', 'Accept', 'Accept-Encoding', 'Host']);
});

test('a run without changes to make, a noop run and a catalog that does not compile', async () => {
  const { primary, agent } = await started();
  await using _primary = primary;
  expect(await runDemoAgent({ ...agent, noop: true })).toMatchObject({ exitCode: 0, changed: 0 });
  primary.failing.add(CERTNAME);
  const failed = await runDemoAgent(agent);
  expect(failed.exitCode).toBe(1);
  expect(failed.error).toMatch(/^Error 500 on SERVER: Server Error: Evaluation Error/);
  const report = failed.steps.at(-1)!;
  expect([report.method, report.reply.status]).toEqual(['PUT', 200]);
  expect(JSON.parse(primary.seen.at(-1)!.body.toString())).toMatchObject({ status: 'failed', report_format: 12 });
});

test('a certname may ask for itself only', async () => {
  const { primary, agent } = await started();
  await using _primary = primary;
  await runDemoAgent(agent);
  const other = await runDemoAgent({ ...agent, certname: 'demo2.example' });
  expect(other.exitCode).toBe(1);
  const refused = other.steps.find(({ target }) => target.includes('/catalog/'))!.reply;
  expect(refused).toMatchObject({ status: 403, type: '' });
  expect(refused.body.toString()).toBe(
    'Forbidden request: /puppet/v3/catalog/demo2.example (method :post). Please see the server logs for details.',
  );
});

test('a revoked agent gets no further than its handshake', async () => {
  const { primary, agent } = await started();
  await using _primary = primary;
  await runDemoAgent(agent);
  primary.revoke(CERTNAME);
  expect(await runDemoAgent(agent)).toMatchObject({ exitCode: 1, steps: [] });
});
