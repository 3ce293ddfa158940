import { createPublicKey } from 'node:crypto';
import { chmodSync, renameSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Exchange, toCertname } from '../../src/model.ts';
import { openIdentities, removeIdentity } from '../../src/pki/identity.ts';
import { commonName, signCertificate } from '../../src/pki/x509.ts';
import { makeKey } from '../peers/ca.ts';
import { eventually, makeRig, type Pair, type Rig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

/** Ways in that somebody may try. None works, and each leaves a row that says who it was and why not. */

const AGENT1 = toCertname('agent1.example')!;

const CATALOG = (certname: string): string =>
  `GET /puppet/v3/catalog/${encodeURIComponent(certname)}?environment=production HTTP/1.1\r\nHost: puppet.example.com\r\n\r\n`;

/** Nothing of the request reached the primary, and the capture has the exchange with its failure. */
async function refused(rig: Rig, pair: Pair | null, certname: string): Promise<Exchange> {
  const before = rig.primary.seen.length;
  const agent = await rig.agent({ pair });
  agent.write(CATALOG(certname));
  expect(statusOf(await agent.answer())).toBe(403);
  const exchange = await eventually(() => rig.tape.exchanges.at(-1));
  expect(exchange.outcome.type).toBe('failed');
  expect(exchange.primary).toBeNull();
  expect(rig.primary.seen.length).toBe(before);
  return exchange;
}

describe("certificates of the primary's CA with names that are none", () => {
  test.each([
    '..',
    '../identities/agent1.example',
    'agent1.example/../agent2.example',
    'agent1.example\u0000.evil',
    'agent1\r\n.example',
    'AGENT1.EXAMPLE',
    '',
  ])('%j', async name => {
    await using rig = await makeRig();
    await refused(rig, await rig.issue(name), 'agent1.example');
    const row = await rig.connection(one => one.leg === 'agent' && one.refusal !== null, 'a refusal');
    expect(row.certname).toBeNull();
    expect(row.refusal).not.toBe('');
  });
});

test('a certificate of another certname opens nothing of an agent that the proxy can act as', async () => {
  await using rig = await makeRig({ certnames: ['agent1.example', 'agent2.example'] });
  const stranger = await rig.issue('agent3.example');
  const exchange = await refused(rig, stranger, 'agent1.example');
  expect(exchange.certname).toBe('agent3.example');
  expect(exchange.outcome).toEqual({ type: 'failed', failure: { reason: 'no-identity', certname: 'agent3.example' } });
  // With its own certificate agent 2 is agent 2, whatever it asks for.
  const two = await rig.agent({ pair: rig.pair('agent2.example') });
  two.write(CATALOG('agent1.example').replace('Host:', 'X-Client-DN: CN=agent1.example\r\nX-Client-Verify: SUCCESS\r\nHost:'));
  expect(statusOf(await two.answer())).toBe(403);
  const seen = rig.primary.seen.at(-1)!;
  expect(seen.certname).toBe('agent2.example');
  expect(seen.fields.some(([name]) => name.toLowerCase().startsWith('x-client'))).toBe(false);
});

test('a certificate of our own CA is worth nothing once the identity behind it is removed', async () => {
  await using rig = await makeRig({ certnames: [] });
  const { authority } = rig.proxy;
  const [agentKey, proxyKey] = [await makeKey('ec'), await makeKey('ec')];
  const signed = rig.ca.issue('agent1.example', proxyKey.publicKey);
  rig.primary.enter('agent1.example', signed);
  const agentCertPem = await authority.issue({ publicKey: createPublicKey(agentKey.pem), like: signed });
  const identities = openIdentities(join(rig.dir, 'certs', 'identities'));
  identities.store({ certname: AGENT1, keyPem: proxyKey.pem, certPem: signed, agentCertPem });
  const pair = { keyPem: agentKey.pem, certPem: agentCertPem };
  const agent = await rig.agent({ pair });
  agent.write(CATALOG('agent1.example'));
  expect(statusOf(await agent.answer())).not.toBe(403); // it is in order so far, or this test would prove nothing
  expect(rig.primary.seen.at(-1)?.certname).toBe('agent1.example');
  await removeIdentity(identities, authority, AGENT1);
  await new Promise(resolve => setTimeout(resolve, 1100)); // another process's change is noticed within a second
  await refused(rig, pair, 'agent1.example');
  const row = await rig.connection(one => one.refusal !== null, 'a refusal');
  expect(row.peerName).toBe('agent1.example');
});

test('a certificate of a name without end leaves a row of some length only', async () => {
  await using rig = await makeRig();
  const key = await makeKey('ec');
  const name = commonName('x'.repeat(20_000));
  const fields = { serial: Buffer.from([1]), issuer: name, subject: name, extensions: [] };
  const dates = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 3_600_000 };
  const spki = key.publicKey.export({ type: 'spki', format: 'der' });
  const agent = await rig.agent({
    pair: { keyPem: key.pem, certPem: signCertificate({ ...fields, ...dates, spki }, key.privateKey) },
  });
  agent.write('GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(statusOf(await agent.answer())).toBe(403);
  const row = await rig.connection(({ refusal }) => refusal !== null);
  expect(row.peerName).toBe('x'.repeat(300));
});

describe('CONNECT to services of the machine that the proxy runs on', () => {
  test.each(['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1', '[::ffff:127.0.0.1]', '2130706433'])('%s', async host => {
    let reached = 0;
    const service = createServer(socket => {
      reached += 1;
      socket.on('error', () => undefined);
      socket.end('secret');
    });
    await new Promise<void>(resolve => service.listen(0, '::', resolve));
    onTestFinished(() => void service.close());
    const bound = service.address();
    const port = bound !== null && typeof bound === 'object' ? bound.port : 0;
    await using rig = await makeRig();
    const wire = await rig.plain();
    wire.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const head = await wire.until('\r\n\r\n');
    expect(head).not.toContain(' 200 ');
    expect(reached).toBe(0);
    const row = await rig.connection(one => one.leg === 'agent' && one.closed !== null, 'the connection');
    expect(row.error).not.toBeNull();
  });
});

describe('one request inside another', () => {
  test.each([
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n'],
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 60\r\n'],
    ['a folded length', 'Content-Length:\r\n 4\r\n'],
    ['a length with a sign', 'Content-Length: +4\r\n'],
    ['chunks that are none', 'Transfer-Encoding: xchunked\r\n'],
  ])('%s: no second request reaches the primary', async (_name, framing) => {
    await using rig = await makeRig({ certnames: ['agent1.example', 'agent2.example'] });
    const inner = 'GET /puppet/v3/node/agent2.example?environment=production HTTP/1.1\r\nHost: x\r\n\r\n';
    const agent = await rig.agent();
    agent.write(
      `PUT /puppet/v3/report/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\n${framing}\r\n0\r\n\r\n${inner}`,
    );
    await agent.rest().catch(() => undefined);
    agent.end();
    // Another agent's connections are its own: nothing that the first one wrote comes before its request.
    const two = await rig.agent({ pair: rig.pair('agent2.example') });
    two.write('GET /puppet/v3/node/agent2.example?environment=production&n=2 HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(statusOf(await two.answer())).toBe(200);
    const nodes = rig.primary.seen.filter(one => one.target.includes('/node/'));
    expect(nodes.map(one => [one.certname, one.target.endsWith('&n=2')])).toEqual([['agent2.example', true]]);
  });
});

describe('files of ours that others could have changed', () => {
  test('an identity that others may read is not used; the operator reads why', async () => {
    await using rig = await makeRig();
    chmodSync(join(rig.dir, 'certs', 'identities', 'agent1.example.pem'), 0o644);
    await refused(rig, rig.pair('agent1.example'), 'agent1.example');
    await eventually(() => rig.notices.find(line => line.includes('others may read') && line.includes('chmod 600')));
  });

  test('an identity that is a symbolic link is not used', async () => {
    await using rig = await makeRig();
    const file = join(rig.dir, 'certs', 'identities', 'agent1.example.pem');
    renameSync(file, join(rig.dir, 'elsewhere.pem'));
    symlinkSync(join(rig.dir, 'elsewhere.pem'), file);
    await refused(rig, rig.pair('agent1.example'), 'agent1.example');
    await eventually(() => rig.notices.find(line => line.includes('symbolic link')));
  });

  test('a folder of identities that others may write to stops the proxy at its start', async () => {
    await using rig = await makeRig();
    const folder = join(rig.dir, 'certs', 'identities');
    chmodSync(folder, 0o777);
    expect(() => openIdentities(folder)).toThrow('others may write into');
  });
});
