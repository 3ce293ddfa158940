import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runDemoAgent } from '../peers/agent.ts';
import { newAgentState } from '../peers/options.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';
import { rows, startProxyCommand, stringtap } from './stringtap.ts';

let dir: string;
let primary: DemoPrimary;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-fault-'));
  primary = await startDemoPrimary({ keyType: 'ec' });
});
afterAll(async () => {
  await primary[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const at = (port: number) => ({ host: '127.0.0.1', port, serverName: 'localhost', via: null });

test('a proxy with rules says them at its start, and of each exchange that met one', async () => {
  const proxy = await startProxyCommand(
    dir,
    ...['--primary', `localhost:${primary.port}`, '--certs', 'certs', '--capture', 'one.db'],
    ...['--fault', 'status=503 times=1 ~phase catalog', '--fault', 'delay=10ms ~phase node'],
  );
  const agent = { certname: 'met.example', place: at(proxy.port), state: newAgentState(), keyType: 'ec' as const };
  const failed = await runDemoAgent(agent);
  expect(failed.error).toContain('503');
  expect((await runDemoAgent(agent)).error).toBeNull();
  proxy.signal('SIGINT');
  const { stdout, code } = await proxy.ended;
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^FAULTS {7}agents get answers.*\n {13}status=503 times=1 ~phase catalog\n {13}delay=10ms ~phase node$/m,
  );
  expect(stdout).toMatch(
    / catalog +POST 503! .*\/puppet\/v3\/catalog\/met\.example {2}\[FAULT status=503 times=1 ~phase catalog\]$/m,
  );
  const faults = await rows(dir, 'exchanges', 'one.db', '~fault *');
  expect(faults.map(({ phase, fault, status }) => [phase, fault, status])).toEqual([
    ['node', 'delay=10ms ~phase node', 200],
    ['catalog', 'status=503 times=1 ~phase catalog', 503],
    // The next run.
    ['node', 'delay=10ms ~phase node', 200],
  ]);
});

test('Ctrl-C does not wait for a delay, nor for an agent that is never answered', async () => {
  const proxy = await startProxyCommand(
    dir,
    ...['--primary', `localhost:${primary.port}`, '--certs', 'certs', '--capture', 'two.db'],
    ...['--fault', 'delay=10m ~phase ca', '--fault', 'stall ~phase crl'],
  );
  const ask = async (path: string): Promise<ReturnType<typeof request>> => {
    const asked = request({ ...at(proxy.port), path, rejectUnauthorized: false, agent: false });
    asked.end();
    await once(asked, 'finish');
    return asked;
  };
  const ca = await ask('/puppet-ca/v1/certificate/ca');
  const crl = await ask('/puppet-ca/v1/certificate_revocation_list/ca');
  const answered = once(ca, 'response');
  const broken = once(crl, 'error');
  // Whoever is answered now came after these two.
  const [other] = await once(await ask('/puppet/v3/node/x'), 'response');
  expect(other.resume().statusCode).toBe(403);
  proxy.signal('SIGINT');
  const [[response], [error]] = await Promise.all([answered, broken]);
  expect(response.statusCode).toBe(200);
  response.resume();
  expect(error.code).toBe('ECONNRESET'); // Node's word for an end without an answer
  expect((await proxy.ended).code).toBe(0);
  const left = await rows(dir, 'exchanges', 'two.db');
  expect(left.map(({ phase, outcome, fault }) => [phase, outcome, fault])).toEqual(
    expect.arrayContaining([
      ['ca', 'answered', 'delay=600s ~phase ca'],
      ['crl', 'failed', 'stall ~phase crl'],
    ]),
  );
});

test.each([
  [
    'delay=20s ~c 500',
    /^stringtap: --fault 'delay=20s ~c 500': ~c is not known when a request comes \(~c 500\)\nhint: what is known: ~certname/,
  ],
  ['dealy=20s', /^stringtap: --fault 'dealy=20s': dealy=20s is no action\nhint: the actions: delay=20s/],
])('a wrong rule is refused before anything starts: %s', async (rule, says) => {
  const { code, stderr, stdout } = await stringtap(dir, 'proxy', '--primary', 'localhost:1', '--fault', rule);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(says);
});
