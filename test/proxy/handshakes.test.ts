import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Connection } from '../../src/model.ts';
import { runDemoAgent } from '../peers/agent.ts';
import { newAgentState } from '../peers/options.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

const NODE = 'GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\n\r\n';

/** `openssl s_client` against the proxy; what it printed. OpenSSL sends alerts where Node only hangs up. */
async function sClient(rig: Rig, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const { host, port } = rig.proxy.address;
  const child = spawn('openssl', ['s_client', '-connect', `${host}:${port}`, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill());
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  child.stdin.end('Q\n');
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, output };
}

function file(name: string, text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

/** The agent's connection, once it is closed. */
function agentRow(rig: Rig): Promise<Connection> {
  return rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null, 'a closed agent connection');
}

describe('a handshake that fails is a row with the reason', () => {
  test('the agent does not know our CA', async () => {
    await using rig = await makeRig();
    await sClient(rig, '-servername', 'puppet.example.com', '-verify_return_error', '-CAfile', file('ca.pem', rig.ca.caPem));
    const row = await agentRow(rig);
    expect(row.error).toMatch(/alert unknown ca/);
    expect(row).toMatchObject({ exchanges: 0, closed: { by: 'agent', cause: 'tls-alert' } });
  });

  test('the agent has the CA but not its CRL', async () => {
    await using rig = await makeRig();
    const ca = file('ca.pem', rig.proxy.trust.bundle().pem);
    await sClient(rig, '-servername', 'puppet.example.com', '-verify_return_error', '-crl_check', '-CAfile', ca);
    const row = await agentRow(rig);
    expect(row.error).toMatch(/alert/);
    expect(row.closed).toMatchObject({ by: 'agent', cause: 'tls-alert' });
  });

  test('with CA and CRL, openssl verifies all of it', async () => {
    await using rig = await makeRig();
    const both = file('both.pem', rig.proxy.trust.bundle().pem + rig.proxy.trust.crlBundle().pem);
    const { output } = await sClient(
      rig,
      ...['-servername', 'puppet.example.com', '-verify_hostname', 'puppet.example.com', '-verify_return_error'],
      ...['-x509_strict', '-crl_check_all', '-CAfile', both],
    );
    expect(output).toContain('Verify return code: 0 (ok)');
    expect(await agentRow(rig)).toMatchObject({ error: null, closed: { by: 'agent', cause: 'end' } });
  });

  test('no version in common', async () => {
    await using rig = await makeRig();
    await sClient(rig, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');
    const row = await agentRow(rig);
    expect(row.error).toMatch(/unsupported protocol/);
    expect(row).toMatchObject({ tls: null, closed: { by: 'proxy', cause: 'tls-failed' } });
  });

  test('no cipher in common', async () => {
    await using rig = await makeRig();
    await sClient(rig, '-tls1_2', '-cipher', 'AES128-GCM-SHA256');
    const row = await agentRow(rig);
    expect(row.error).toMatch(/no shared cipher/);
    expect(row.closed).toMatchObject({ by: 'proxy', cause: 'tls-failed' });
  });

  test('a TLS record that is none', async () => {
    await using rig = await makeRig();
    const wire = await rig.plain();
    wire.write(Buffer.from([0x16, 0x99, 0x99, 0x00, 0x05, 1, 2, 3, 4, 5, 6, 7, 8]));
    await wire.ended;
    const row = await agentRow(rig);
    expect(row.error).toMatch(/wrong version number|record/);
    expect(row.closed).toMatchObject({ by: 'proxy', cause: 'tls-failed' });
  });

  test('a part of a greeting, then the end', async () => {
    await using rig = await makeRig();
    const wire = await rig.plain();
    wire.end(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]));
    const row = await agentRow(rig);
    expect(row).toMatchObject({ tls: null, secureMono: null, closed: { by: 'agent' } });
  });

  test.each([
    ['zeros', Buffer.alloc(100)],
    ['a scan for SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
    ['a scan for RDP', Buffer.from('030000130ee000000000000100080003000000', 'hex')],
    ['noise', Buffer.from(Array.from({ length: 500 }, (_, i) => (i * 37 + 1) & 0xff))],
    ['a HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ])('%s', async (_, bytes) => {
    await using rig = await makeRig();
    const wire = await rig.plain();
    wire.write(bytes);
    await wire.ended;
    const row = await agentRow(rig);
    expect(row).toMatchObject({ via: 'plain', tls: null, exchanges: 0, closed: { by: 'proxy', cause: 'protocol-error' } });
    expect(row.error).toMatch(/HPE_/);
    expect(row.bytesRead).toBe(bytes.length);
    // Others are served as ever.
    const agent = await rig.agent();
    agent.write(NODE);
    expect(statusOf(await agent.answer())).toBe(200);
  });

  test('a connection that says nothing and goes is a row without an error', async () => {
    await using rig = await makeRig();
    (await rig.plain()).end();
    expect(await agentRow(rig)).toMatchObject({ error: null, bytesRead: 0, closed: { by: 'agent', cause: 'end' } });
  });

  test.each(['a b', '-x.example.com', 'x'.repeat(64)])('a server name that is no host name: %j', async serverName => {
    await using rig = await makeRig();
    await expect(rig.agent({ serverName, caPem: null, pair: null })).rejects.toThrow();
    const row = await agentRow(rig);
    expect(row.error).not.toBeNull();
    expect(row.tls).toBeNull();
  });
});

describe('names', () => {
  test.each(['puppet.example.com', 'localhost', 'Puppet', 'compiler-2.example.org', 'under_score.example'])(
    'an agent that asks for %s by SNI gets a leaf for that name',
    async name => {
      await using rig = await makeRig();
      const agent = await rig.agent({ serverName: name });
      const names = (agent.tls.getPeerCertificate().subjectaltname ?? '').split(', ');
      for (const wanted of [name.toLowerCase(), 'puppet.example.com', 'localhost']) expect(names).toContain(`DNS:${wanted}`);
      agent.write(NODE);
      expect(statusOf(await agent.answer())).toBe(200);
      expect(rig.tape.connections.find(({ leg }) => leg === 'agent')?.tls?.serverName).toBe(name);
      // Upstream it is always the name of the primary.
      expect(rig.tape.connections.find(({ leg }) => leg === 'primary')?.tls?.serverName).toBe('localhost');
    },
  );

  test('without SNI the leaf has the address', async () => {
    await using rig = await makeRig();
    const agent = await rig.agent({ serverName: null });
    expect(agent.tls.getPeerCertificate().subjectaltname).toContain('IP Address:127.0.0.1');
    const row = await rig.connection(({ leg, tls }) => leg === 'agent' && tls !== null);
    expect(row.tls!.serverName).toBeNull();
  });

  test.each(['127.0.0.1', '192.0.2.7'])(
    'an agent that sends the address %s as its server name gets a leaf for that',
    async address => {
      await using rig = await makeRig();
      const ca = file('ca.pem', rig.proxy.trust.bundle().pem);
      const verify = ['-verify_ip', address, '-verify_return_error', '-CAfile', ca];
      const { code, output } = await sClient(rig, '-servername', address, ...verify);
      expect(output).toContain('Verify return code: 0 (ok)');
      expect(code).toBe(0);
      expect((await agentRow(rig)).tls?.serverName).toBe(address);
    },
  );

  test('many names at once, each with its own leaf', async () => {
    await using rig = await makeRig();
    const names = Array.from({ length: 20 }, (_, i) => `name${i}.example.com`);
    const agents = await Promise.all(names.map(serverName => rig.agent({ serverName })));
    for (const [i, agent] of agents.entries()) {
      expect(agent.tls.getPeerCertificate().subjectaltname).toContain(`DNS:${names[i]}`);
      expect(agent.tls.getPeerCertificate().subjectaltname).not.toContain(`DNS:${names[(i + 1) % 20]}`);
    }
  });
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('the facts of a connection are on its row, with %s', async version => {
  await using rig = await makeRig();
  const agent = await rig.agent({ minVersion: version, maxVersion: version });
  agent.write(NODE);
  await agent.answer();
  const { localPort } = agent.socket;
  agent.end();
  const row = await agentRow(rig);
  expect(row).toMatchObject({
    via: 'direct',
    peer: `127.0.0.1:${localPort}`,
    target: null,
    peerName: 'agent1.example',
    certname: 'agent1.example',
    refusal: null,
    error: null,
    exchanges: 1,
    tls: { protocol: version, resumed: false, serverName: 'puppet.example.com' },
    closed: { by: 'agent', cause: 'end' },
  });
  expect(row.tls!.cipher).toMatch(/^(TLS_|ECDHE-)/);
  const moments = [row.openedMono, row.connectedMono!, row.secureMono!, row.closed!.mono];
  expect([...moments].sort((a, b) => a - b)).toEqual(moments);
  expect(row.bytesRead).toBeGreaterThan(NODE.length);
  expect(row.bytesWritten).toBeGreaterThan(500);
});

const hasIpv6 = (networkInterfaces().lo ?? []).some(({ address }) => address === '::1');

test.runIf(hasIpv6)('IPv6 on both legs, a fresh run straight and by CONNECT', async () => {
  await using rig = await makeRig({ primary: { host: '::1' }, primaryName: '::1', proxy: { listen: { host: '::1', port: 0 } } });
  const direct = { ...rig.proxy.address, serverName: '::1', via: null };
  const straight = await runDemoAgent({ certname: 'six1.example', place: direct, state: newAgentState(), keyType: 'ec' });
  expect(straight).toMatchObject({ exitCode: 2, error: null });
  const connect = { host: '::1', port: rig.origin.port, serverName: '::1', via: rig.proxy.address };
  const tunnelled = await runDemoAgent({ certname: 'six2.example', place: connect, state: newAgentState(), keyType: 'ec' });
  expect(tunnelled).toMatchObject({ exitCode: 2, error: null });
  expect(rig.primary.seen.at(-1)).toMatchObject({ certname: 'six2.example' });
  expect(rig.primary.seen.at(-1)!.fields).toContainEqual(['host', `[::1]:${rig.origin.port}`]);
  const rows = rig.tape.connections;
  expect(rows.every(({ peer }) => /^\[::1\]:\d+$/.test(peer))).toBe(true);
  expect(rows.find(({ via }) => via === 'connect')?.target).toBe(`[::1]:${rig.origin.port}`);
});

describe('the end of the proxy', () => {
  test('lets the exchange under way finish, and takes no new ones', async () => {
    let go = (): void => undefined;
    const gate = new Promise<void>(resolve => {
      go = resolve;
    });
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst');
        await gate;
        connection.write('-last');
      },
    });
    const busy = await rig.agent();
    const idle = await rig.agent();
    busy.write(NODE);
    await busy.until('first');
    let over = false;
    const closing = rig.proxy.close().then(() => {
      over = true;
    });
    await idle.ended;
    await expect(rig.plain()).rejects.toThrow(/ECONNREFUSED/);
    await pause(100);
    expect(over).toBe(false);
    go();
    expect((await busy.take(5)).toString()).toBe('-last');
    await busy.ended;
    await closing;
    expect((await rig.exchange()).outcome).toEqual({ type: 'answered' });
    expect(rig.tape.connections.map(({ leg, closed }) => [leg, closed?.by, closed?.cause])).toEqual([
      ['agent', 'proxy', 'shutdown'],
      ['agent', 'proxy', 'shutdown'],
      ['primary', 'proxy', 'shutdown'],
    ]);
  });

  test('waits for what is being committed', async () => {
    await using rig = await makeRig();
    const agent = await rig.agent();
    rig.tape.hold();
    agent.write(NODE);
    await rig.exchange();
    const closing = rig.proxy.close();
    await pause(50);
    expect(agent.isEnded).toBe(false);
    rig.tape.release();
    expect(statusOf(await agent.answer())).toBe(200);
    await closing;
  });

  test('with agents that never come to an end of their handshake', async () => {
    await using rig = await makeRig();
    const silent = await rig.plain();
    const half = await rig.plain();
    half.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
    await rig.connection(({ id }) => id === 2);
    await rig.proxy.close();
    await Promise.all([silent.ended, half.ended]);
    expect(rig.tape.connections.map(({ closed }) => closed?.cause)).toEqual(['shutdown', 'shutdown']);
  });

  test('does not wait for what no agent waits for: a CSR that the primary keeps, and whose agent left', async () => {
    let asked = false;
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        asked = true;
      },
    });
    const agent = await rig.agent();
    agent.write('PUT /puppet-ca/v1/certificate_request/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nno');
    await eventually(() => asked);
    agent.destroy();
    await rig.exchange();
    await rig.proxy.close();
    const row = rig.tape.connections.find(({ leg }) => leg === 'primary');
    expect(row?.closed).toMatchObject({ by: 'proxy', cause: 'shutdown' });
  });
});

test('an agent whose certificate ends within a month is told of once', async () => {
  await using rig = await makeRig();
  const day = 86_400_000;
  const notAfter = Date.now() + 9 * day;
  const soon = await rig.issue('agent1.example', { notBefore: Date.now() - day, notAfter });
  const later = await rig.issue('agent1.example', { notBefore: Date.now() - day, notAfter: Date.now() + 40 * day });
  for (const pair of [later, soon, soon]) {
    const agent = await rig.agent({ pair });
    agent.end();
    await agent.ended;
  }
  const ends = new Date(notAfter).toISOString().slice(0, 10);
  expect(rig.notices).toEqual([
    expect.stringContaining(`the certificate of agent1.example ends on ${ends}; puppetserver ca clean`),
  ]);
});
