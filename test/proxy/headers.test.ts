import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toCertname } from '../../src/model.ts';
import type { Authority } from '../../src/pki/authority.ts';
import { type Identity, identityOf } from '../../src/pki/identity-file.ts';
import { type ProxyOptions, startProxy } from '../../src/proxy/proxy.ts';
import { makeKey } from '../peers/ca.ts';
import { type HeaderPrimary, startHeaderPrimary } from '../rig/header-primary.ts';
import { type Dialled, dial } from '../rig/raw.ts';
import type { Pair } from '../rig/rig.ts';
import { type MemoryTape, memoryTape } from '../rig/tape.ts';
import { statusOf } from '../rig/wire.ts';

/** Agents that are named to the primary in X-Client-* fields. */

interface HeaderRig extends AsyncDisposable {
  primary: HeaderPrimary;
  tape: MemoryTape;
  notices: string[];
  authority: Authority;
  issue(certname: string): Promise<Pair>;
  agent(pair: Pair | null): Promise<Dialled>;
}

async function makeHeaderRig(plain: boolean, more: Partial<ProxyOptions> = {}): Promise<HeaderRig> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-headers-'));
  const primary = await startHeaderPrimary(plain);
  const tape = memoryTape();
  const notices: string[] = [];
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: { host: 'localhost', port: primary.port, plain },
    certsDir: join(dir, 'certs'),
    names: [],
    pool: 'pooled',
    connectOnlyPrimary: false,
    caPem: null,
    caFingerprint: null,
    identity: 'headers',
    tape,
    onNotice: line => void notices.push(line),
    ...more,
  });
  const wires: Dialled[] = [];
  return {
    primary,
    tape,
    notices,
    authority: proxy.authority,
    async issue(certname) {
      const key = await makeKey('ec');
      return { keyPem: key.pem, certPem: primary.ca.issue(certname, key.publicKey) };
    },
    async agent(pair) {
      const { pem } = proxy.trust.bundle();
      const wire = await dial({ ...proxy.address, serverName: 'localhost', caPem: pem, pair });
      wires.push(wire);
      return wire;
    },
    async [Symbol.asyncDispose]() {
      for (const wire of wires) wire.destroy();
      await proxy.close();
      await primary[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const node = (certname: string, ...lines: string[]): string =>
  [`GET /puppet/v3/node/${certname}?environment=production HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n');

describe.each([
  ['over TLS', false],
  ['over plain HTTP', true],
])('%s', (_way, plain) => {
  test('the primary reads who it is; what the agent says of itself is dropped', async () => {
    await using rig = await makeHeaderRig(plain);
    const agent = await rig.agent(await rig.issue('agent1.example'));
    const lies = ['X-Client-Verify: SUCCESS', 'x-client-dn: CN=agent2.example', 'X-CLIENT-CERT: none', 'X-Client-Anything: 1'];
    agent.write(node('agent1.example', ...lies));
    expect(statusOf(await agent.answer())).toBe(200);
    const [seen] = rig.primary.seen;
    expect(seen).toMatchObject({ name: 'agent1.example', subject: 'CN=agent1.example', tlsCertificate: false });
    expect(seen?.lines.map(line => line.split(':', 1)[0])).toEqual(['X-Client-Verify', 'X-Client-DN', 'X-Client-Cert']);
    const row = rig.tape.connections.find(one => one.leg === 'primary');
    expect(row).toMatchObject({ certname: 'agent1.example', via: plain ? 'plain' : 'direct' });
    expect(row?.tls === null).toBe(plain);
  });

  test('two agents share no connection to the primary', async () => {
    await using rig = await makeHeaderRig(plain);
    for (const name of ['agent1.example', 'agent2.example', 'agent1.example']) {
      const agent = await rig.agent(await rig.issue(name));
      agent.write(node(name));
      expect(statusOf(await agent.answer())).toBe(200);
      agent.end();
    }
    expect(rig.primary.seen.map(({ name }) => name)).toEqual(['agent1.example', 'agent2.example', 'agent1.example']);
    const rows = rig.tape.connections.filter(one => one.leg === 'primary');
    expect(new Set(rows.map(one => one.certname)).size).toBe(2);
    for (const row of rows) expect(['agent1.example', 'agent2.example']).toContain(row.certname);
  });

  test('without a certificate nobody is named, and open paths are', async () => {
    await using rig = await makeHeaderRig(plain);
    const agent = await rig.agent(null);
    agent.write(node('agent1.example', 'X-Client-Verify: SUCCESS', 'X-Client-DN: CN=agent1.example'));
    expect(statusOf(await agent.answer())).toBe(403);
    agent.write(
      'GET /status/v1/simple HTTP/1.1\r\nHost: localhost\r\nX-Client-Verify: SUCCESS\r\nX-Client-DN: CN=agent1.example\r\n\r\n',
    );
    await agent.answer();
    expect(rig.primary.seen.map(({ target, lines }) => ({ target, lines }))).toEqual([
      { target: '/status/v1/simple', lines: [] },
    ]);
  });

  test('a certname that was revoked is refused by us, within the age of the list, on an open connection too', async () => {
    await using rig = await makeHeaderRig(plain, { standingMs: 0 });
    const pair = await rig.issue('agent1.example');
    const agent = await rig.agent(pair);
    agent.write(node('agent1.example'));
    expect(statusOf(await agent.answer())).toBe(200);
    rig.primary.ca.revoke(pair.certPem);
    agent.write(node('agent1.example'));
    const refused = await agent.answer();
    expect(statusOf(refused)).toBe(403);
    expect(refused.body.toString()).toContain('revoked by the primary');
    const again = await rig.agent(pair);
    again.write(node('agent1.example'));
    expect(statusOf(await again.answer())).toBe(403);
    expect(rig.primary.seen).toHaveLength(1);
    expect(rig.tape.exchanges.at(-1)).toMatchObject({ primary: null, outcome: { failure: { reason: 'certificate-refused' } } });
  });

  test('with no list to judge by nobody is named', async () => {
    await using rig = await makeHeaderRig(plain, { standingMs: 0 });
    rig.primary.givesCrl = false;
    const agent = await rig.agent(await rig.issue('agent1.example'));
    agent.write(node('agent1.example'));
    const refused = await agent.answer();
    expect(statusOf(refused)).toBe(403);
    expect(refused.body.toString()).toContain('the primary gives no revocation list');
    expect(rig.primary.seen).toEqual([]);
  });
});

test('a list that is young enough is not asked for again', async () => {
  await using rig = await makeHeaderRig(false, { standingMs: 60_000 });
  const pair = await rig.issue('agent1.example');
  const agent = await rig.agent(pair);
  agent.write(node('agent1.example'));
  expect(statusOf(await agent.answer())).toBe(200);
  rig.primary.givesCrl = false;
  agent.write(node('agent1.example'));
  expect(statusOf(await agent.answer())).toBe(200);
});

test('a connection of an agent whose enrolment was removed is named to the primary no more', async () => {
  let enrolled: Identity | null = null;
  await using rig = await makeHeaderRig(false, { identities: { get: () => enrolled } });
  const signed = await rig.issue('agent1.example');
  const key = await makeKey('ec');
  const agentCertPem = await rig.authority.issue({ publicKey: createPublicKey(key.pem), like: signed.certPem });
  enrolled = identityOf({ certname: toCertname('agent1.example')!, ...signed, agentCertPem });
  const agent = await rig.agent({ keyPem: key.pem, certPem: agentCertPem });
  agent.write(node('agent1.example'));
  expect(statusOf(await agent.answer())).toBe(200);
  enrolled = null;
  agent.write(node('agent1.example'));
  expect((await agent.answer()).start).toBe('HTTP/1.1 403 Client certificate refused');
  expect(rig.primary.seen.map(({ name }) => name)).toEqual(['agent1.example']);
});
