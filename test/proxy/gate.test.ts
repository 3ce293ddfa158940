import { describe, expect, test } from 'vitest';
import type { Certname } from '../../src/model.ts';
import { subjectAltName } from '../../src/pki/x509.ts';
import { admit, isOpen } from '../../src/proxy/gate.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { makeRig, type Pair, type Rig } from '../rig/rig.ts';
import { type Message, statusOf } from '../rig/wire.ts';

const DAY_MS = 86_400_000;
const NODE = '/puppet/v3/node/agent1.example?environment=production';

/** One request over a connection of its own. */
async function ask(rig: Rig, target: string, pair: Pair | null, method = 'GET'): Promise<Message> {
  const agent = await rig.agent({ pair });
  agent.write(`${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
  const answer = await agent.answer(method);
  agent.end();
  return answer;
}

function messageOf({ body }: Message): string {
  return (JSON.parse(body.toString()) as { message: string }).message;
}

/** Requests of this test that reached the primary. */
function reached(rig: Rig): string[] {
  return rig.primary.seen.map(({ method, target }) => `${method} ${target}`).slice(2); // less CA and CRL of the start
}

describe('without a certificate', () => {
  const OPEN = [
    '/puppet-ca/v1/certificate/ca',
    '/puppet-ca/v1/certificate/agent1.example',
    '/puppet-ca/v1/certificate_revocation_list/ca',
    '/puppet-ca/v1/certificate_request/agent1.example',
    '/status/v1/simple/server',
  ];

  test.each(OPEN)('%s goes upstream, as nobody', async target => {
    await using rig = await makeRig();
    await ask(rig, target, null);
    expect(reached(rig)).toEqual([`GET ${target}`]);
    expect(rig.primary.seen.at(-1)!.certname).toBeNull();
  });

  const CLOSED: [method: string, target: string][] = [
    ['GET', NODE],
    ['POST', '/puppet/v3/catalog/agent1.example?environment=production'],
    ['PUT', '/puppet/v3/report/agent1.example?environment=production'],
    ['GET', '/puppet/v3/file_content/plugins/facter/site_role.rb?environment=production'],
    ['POST', '/puppet-ca/v1/certificate_renewal'],
    ['GET', '/puppet-ca/v1/certificate_statuses/all'],
    ['PUT', '/puppet-ca/v1/certificate_status/agent1.example'],
    ['DELETE', '/puppet-ca/v1/certificate_request/agent1.example'],
    ['PUT', '/puppet-ca/v1/certificate/agent1.example'],
    ['GET', '/puppet-ca/v1/certificate/../../../puppet/v3/node/agent1.example'],
    ['GET', '/puppet-ca/v1/certificate/%2e%2e/%2E%2E/x'],
    ['GET', '/puppet-ca/v1/certificate/.%2e/x'],
    ['GET', '/puppet-ca/v1/certificate_request/../certificate_statuses/all'],
    ['GET', '/status/v1/simple/../../puppet/v3/node/agent1.example'],
    ['GET', '/PUPPET-CA/v1/certificate/ca'],
    ['GET', '//puppet-ca/v1/certificate/ca'],
    ['GET', '/'],
  ];

  test('nothing else reaches the primary', async () => {
    await using rig = await makeRig();
    for (const [method, target] of CLOSED) {
      const answer = await ask(rig, target, null, method);
      expect([target, answer.start]).toEqual([target, 'HTTP/1.1 403 No client certificate']);
    }
    expect(reached(rig)).toEqual([]);
    expect(rig.tape.exchanges.map(({ request }) => [request.method, request.target])).toEqual(CLOSED);
    for (const exchange of rig.tape.exchanges) {
      expect(exchange).toMatchObject({
        certname: null,
        primary: null,
        answeredBy: 'proxy',
        outcome: { type: 'failed', failure: { reason: 'no-certificate' } },
      });
    }
  });

  test('a target that does not start with a slash is not forwarded', async () => {
    await using rig = await makeRig();
    const targets = ['http://other.example.com/puppet/v3/x', 'https://puppet.example.com:8140/puppet/v3/x', '*'];
    for (const target of targets) {
      const agent = await rig.agent();
      agent.write(`${target === '*' ? 'OPTIONS' : 'GET'} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect([target, (await agent.answer()).start]).toEqual([target, 'HTTP/1.1 400 Not forwarded']);
    }
    expect(reached(rig)).toEqual([]);
  });
});

/** Who comes with what; all of it must be refused. */
const REFUSED: [name: string, make: (rig: Rig) => Promise<Pair>, reason: RegExp][] = [
  [
    'of a CA that nobody knows',
    async () => {
      const other = await makeDemoCa('other.example.com', 'self', 'ec');
      const key = await makeKey('ec');
      return { keyPem: key.pem, certPem: other.issue('agent1.example', key.publicKey) };
    },
    /unknown CA|UNABLE_TO/,
  ],
  [
    'of a CA with the name of the true one',
    async () => {
      const forged = await makeDemoCa('puppet.example.com', 'self', 'ec');
      const key = await makeKey('ec');
      return { keyPem: key.pem, certPem: forged.issue('agent1.example', key.publicKey) };
    },
    /unknown CA|UNABLE_TO|SIGNATURE/,
  ],
  [
    'that has ended',
    rig => rig.issue('agent1.example', { notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS }),
    /expired/,
  ],
  ['that is not valid yet', rig => rig.issue('agent1.example', { notBefore: Date.now() + DAY_MS }), /not valid yet/],
  [
    'that the primary has revoked',
    async rig => {
      const pair = await rig.issue('agent1.example');
      rig.ca.revoke(pair.certPem);
      await ask(rig, '/puppet-ca/v1/certificate_revocation_list/ca', null); // any agent's request refreshes the list
      return pair;
    },
    /revoked by the primary/,
  ],
  ['whose CN is no certname', rig => rig.issue('../agent1.example'), /no Puppet certname/],
  [
    "that is a proxy's own leaf",
    async rig => rig.proxy.authority.leaf(['agent1.example']),
    /not made for TLS clients|enrolment was removed|purpose/i,
  ],
];

test.each(REFUSED)('a certificate %s gets nothing, and the row says why', async (_, make, reason) => {
  await using rig = await makeRig();
  const pair = await make(rig);
  const before = rig.primary.seen.length;
  const answer = await ask(rig, NODE, pair);
  expect(answer.start).toBe('HTTP/1.1 403 Client certificate refused');
  expect(messageOf(answer)).toMatch(reason);
  expect(rig.primary.seen).toHaveLength(before);
  const exchange = rig.tape.exchanges.at(-1)!;
  expect(exchange).toMatchObject({ certname: null, primary: null, outcome: { failure: { reason: 'certificate-refused' } } });
  const row = await rig.connection(({ id, closed }) => id === exchange.agent.connection && closed !== null);
  expect(row).toMatchObject({ certname: null });
  expect(row.refusal).toMatch(reason);
});

test('one without an identity is told how to mend it', async () => {
  await using rig = await makeRig();
  const pair = await rig.issue('stranger.example');
  const answer = await ask(rig, '/puppet/v3/node/stranger.example?environment=production', pair);
  expect(answer.start).toBe('HTTP/1.1 403 No identity for this agent');
  expect(messageOf(answer)).toContain('stringtap identity import');
  expect(rig.tape.exchanges[0]).toMatchObject({
    certname: 'stranger.example',
    outcome: { failure: { reason: 'no-identity', certname: 'stranger.example' } },
  });
  expect(reached(rig)).toEqual([]);
});

test("an agent that asks for another's catalog gets the primary's own 403, unchanged", async () => {
  await using rig = await makeRig({ certnames: ['agent1.example', 'agent2.example'] });
  const target = '/puppet/v3/catalog/agent2.example';
  const answer = await ask(rig, `${target}?environment=production`, rig.pair('agent1.example'), 'POST');
  expect(statusOf(answer)).toBe(403);
  expect(answer.body.toString()).toBe(`Forbidden request: ${target} (method :post). Please see the server logs for details.`);
  expect(answer.fields.map(([name]) => name)).toEqual(['Date', 'X-Puppet-Version', 'Content-Length']);
  expect(rig.primary.seen.at(-1)).toMatchObject({ certname: 'agent1.example', status: 403 });
  expect(rig.tape.exchanges[0]).toMatchObject({ answeredBy: 'primary', outcome: { type: 'answered' } });
});

test('dot segments of a certified agent go to the primary as they are', async () => {
  await using rig = await makeRig();
  const target = '/puppet/v3/node/agent1.example/../agent2.example?environment=production';
  const answer = await ask(rig, target, rig.pair('agent1.example'));
  expect(statusOf(answer)).toBe(403);
  expect(rig.primary.seen.at(-1)!.target).toBe(target);
});

test('a certificate proves its CN, and none of the other names that it carries', async () => {
  await using rig = await makeRig({ certnames: ['agent1.example', 'agent2.example'] });
  const pair = await rig.issue('agent1.example', { extensions: [subjectAltName(['agent2.example', 'puppet.example.com'])] });
  const answer = await ask(rig, '/puppet/v3/node/agent2.example?environment=production', pair);
  expect(statusOf(answer)).toBe(403);
  expect(rig.primary.seen.at(-1)).toMatchObject({ certname: 'agent1.example', status: 403 });
});

describe('the rule itself', () => {
  const certname = 'agent1.example' as Certname;
  const someone = (name: Certname): { name: Certname } => ({ name });
  const nobody = (): null => null;

  test.each([
    [{ certname, refusal: null }, NODE, someone, { admitted: true, identity: { name: certname } }],
    [{ certname, refusal: null }, '/puppet-ca/v1/certificate/ca', nobody, { admitted: true, identity: null }],
    [{ certname, refusal: null }, NODE, nobody, { admitted: false, failure: { reason: 'no-identity', certname } }],
    [
      { certname: null, refusal: 'x' },
      NODE,
      someone,
      { admitted: false, failure: { reason: 'certificate-refused', detail: 'x' } },
    ],
    [{ certname: null, refusal: 'x' }, '/puppet-ca/v1/certificate/ca', someone, { admitted: true, identity: null }],
    [{ certname: null, refusal: null }, NODE, someone, { admitted: false, failure: { reason: 'no-certificate' } }],
  ] as const)('%o for %s', (standing, target, identityOf, expected) => {
    expect(admit(standing, 'GET', target, identityOf)).toEqual(expected);
  });

  test.each([
    ['GET', '/puppet-ca/v1/certificate/ca', true],
    ['GET', '/puppet-ca/v1/certificate/ca?x=/../y', true],
    ['GET', '/puppet-ca/v1/certificate/a..b.example', true],
    ['PUT', '/puppet-ca/v1/certificate_request/a', true],
    ['POST', '/puppet-ca/v1/certificate_request/a', false],
    ['HEAD', '/puppet-ca/v1/certificate/ca', false],
    ['GET', '/puppet-ca/v1/certificate/..', false],
    ['GET', '/puppet-ca/v1/certificate/.', false],
    ['GET', '/puppet-ca/v1/certificate/..?x', false],
    ['GET', '/puppet-ca/v1/certificate/..\\x', false],
    ['GET', '/puppet-ca/v1/certificate/..;a=b/x', false],
    ['GET', '/puppet-ca/v1/certificate/..%2f..%2Fx', false],
    ['GET', '/puppet-ca/v1/certificate/..%5cx', false],
    ['GET', '/status/v1/services', true],
    ['GET', '/status/v1/services/server?level=debug', true],
    ['GET', '/puppet-ca/v1/certificate_revocation_list/ca/x', true],
    ['GET', '/puppet-ca/v1/certificate_revocation_list/cab', false],
    ['GET', '/puppet-ca/v1/certificate/%252e%252e/x', true],
    ['GET', '/puppet-ca/v1/certificate_status/a', false],
    ['GET', '/puppet-ca/v1/certificate_requests', false],
    ['GET', '/status/v1/services-secret', false],
    ['GET', '/status/v1/simplest', false],
  ])('%s %s is open: %s', (method, target, open) => {
    expect(isOpen(method, target)).toBe(open);
  });
});
