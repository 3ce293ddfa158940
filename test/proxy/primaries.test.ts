import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openIdentities } from '../../src/pki/identity.ts';
import { type AgentRun, runDemoAgent } from '../peers/agent.ts';
import { makeKey } from '../peers/ca.ts';
import { type AgentState, newAgentState } from '../peers/options.ts';
import { startDemoPrimary } from '../peers/primary.ts';
import { makeRig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

const NODE = (certname: string): string =>
  `GET /puppet/v3/node/${certname}?environment=production HTTP/1.1\r\nHost: puppet.example.com\r\n\r\n`;

describe('several primaries with CAs of their own', () => {
  test('CONNECT chooses; each sees its own agents as themselves', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec' });
    await using rig = await makeRig({ proxy: { others: [{ host: 'localhost', port: second.port }] } });
    const key = await makeKey('ec');
    const certPem = second.ca.issue('agent2.example', key.publicKey);
    second.enter('agent2.example', certPem);
    openIdentities(join(rig.dir, 'certs', 'identities')).importPair(key.pem, certPem);

    const one = await rig.agent({ socket: await rig.tunnel(`localhost:${rig.primary.port}`) });
    one.write(NODE('agent1.example'));
    expect(statusOf(await one.answer())).toBe(200);
    const two = await rig.agent({
      socket: await rig.tunnel(`localhost:${second.port}`),
      pair: { keyPem: key.pem, certPem },
      serverName: 'localhost',
    });
    two.write(NODE('agent2.example'));
    expect(statusOf(await two.answer())).toBe(200);
    const nodes = (primary: { seen: readonly { target: string; certname: string | null }[] }): (string | null)[] =>
      primary.seen.filter(({ target }) => target.includes('/node/')).map(({ certname }) => certname);
    expect(nodes(rig.primary)).toEqual(['agent1.example']);
    expect(nodes(second)).toEqual(['agent2.example']);
  });

  test('without CONNECT, the server name of the handshake chooses; a name of nobody is the first', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec', host: '127.0.0.1' });
    await using rig = await makeRig({
      primaryName: '127.0.0.1',
      certnames: ['agent1.example'],
      proxy: { others: [{ host: 'localhost', port: second.port }] },
    });
    const key = await makeKey('ec');
    const certPem = second.ca.issue('agent2.example', key.publicKey);
    second.enter('agent2.example', certPem);
    openIdentities(join(rig.dir, 'certs', 'identities')).importPair(key.pem, certPem);
    const asked = async (serverName: string | null, certname: string): Promise<number> => {
      const pair = certname === 'agent2.example' ? { keyPem: key.pem, certPem } : rig.pair(certname);
      const agent = await rig.agent({ serverName, pair });
      agent.write(NODE(certname));
      return statusOf(await agent.answer());
    };
    const seen = (primary: { seen: readonly { target: string }[] }): number =>
      primary.seen.filter(({ target }) => target.includes('/node/')).length;
    expect(await asked('LOCALHOST', 'agent2.example')).toBe(200);
    expect([seen(rig.primary), seen(second)]).toEqual([0, 1]);
    expect(await asked('puppet.example.com', 'agent1.example')).toBe(200);
    expect(await asked(null, 'agent1.example')).toBe(200);
    expect([seen(rig.primary), seen(second)]).toEqual([2, 1]);
    // Each CA speaks for its own: the name chooses who judges, too.
    expect(await asked('localhost', 'agent1.example')).toBe(403);
    expect(await asked('puppet.example.com', 'agent2.example')).toBe(403);
  });

  test('a name with the dot of the root is that name, by CONNECT and in the handshake', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec' });
    await using rig = await makeRig({ proxy: { others: [{ host: 'localhost', port: second.port }] } });
    const agent = await rig.agent({ socket: await rig.tunnel(`puppet.example.com.:${rig.primary.port}`) });
    agent.write(NODE('agent1.example'));
    expect(statusOf(await agent.answer())).toBe(200);
    const bare = await rig.agent({ pair: null, caPem: null, crlPem: null, serverName: 'localhost.' });
    bare.write('GET /puppet-ca/v1/certificate/ca HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await bare.answer()).body.toString()).toContain(rig.ca.caPem);
  });

  test('a certname that one primary signed is nobody at the other', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec' });
    await using rig = await makeRig({ proxy: { others: [{ host: 'localhost', port: second.port }] } });
    const key = await makeKey('ec');
    const pair = { keyPem: key.pem, certPem: second.ca.issue('agent1.example', key.publicKey) };
    const agent = await rig.agent({ socket: await rig.tunnel(`localhost:${rig.primary.port}`), pair });
    agent.write(NODE('agent1.example'));
    expect(statusOf(await agent.answer())).toBe(403);
    expect(rig.tape.exchanges.at(-1)).toMatchObject({ primary: null, outcome: { failure: { reason: 'certificate-refused' } } });
    const row = await rig.connection(one => one.refusal !== null, 'a refusal');
    expect(row.refusal).toBe('issued by an unknown CA');
  });

  test('a certname that enrols at both has an identity for each, and none acts as the other', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec' });
    await using rig = await makeRig({ certnames: [], proxy: { others: [{ host: 'localhost', port: second.port }] } });
    const certname = 'fresh1.example';
    const ports = [rig.primary.port, second.port] as const;
    const run = (state: AgentState, port: number): Promise<AgentRun> => {
      const place = { host: 'localhost', port, serverName: 'localhost', via: rig.proxy.address };
      return runDemoAgent({ certname, place, state, keyType: 'ec' });
    };
    const states = [newAgentState(), newAgentState()] as const;
    expect(await run(states[0], ports[0])).toMatchObject({ exitCode: 2, error: null });
    expect(await run(states[1], ports[1])).toMatchObject({ exitCode: 2, error: null });
    expect(await run(states[0], ports[0])).toMatchObject({ exitCode: 0, error: null });
    expect(await run(states[1], ports[1])).toMatchObject({ exitCode: 0, error: null });
    // Nor does the agent that one of them knows get in at the other by that name.
    for (const [n, port] of [ports[1], ports[0]].entries()) {
      const state = states[n]!;
      const pair = { keyPem: state.key!.pem, certPem: state.certPem! };
      const crossed = await rig.agent({ socket: await rig.tunnel(`localhost:${port}`), pair, serverName: 'localhost' });
      crossed.write(NODE(certname));
      expect(statusOf(await crossed.answer())).toBe(403);
      expect(rig.tape.exchanges.at(-1)).toMatchObject({ primary: null, outcome: { failure: { reason: 'certificate-refused' } } });
    }
    expect(openIdentities(join(rig.dir, 'certs', 'identities')).list()).toHaveLength(2);
  });

  test('the same agent enrols at both with one key: each signs a CSR of its own', async () => {
    await using second = await startDemoPrimary({ keyType: 'ec', autosign: false });
    await using rig = await makeRig({
      certnames: [],
      primary: { autosign: false },
      proxy: { others: [{ host: 'localhost', port: second.port }] },
    });
    const certname = 'fresh1.example';
    const state = newAgentState();
    const enrolAt = async (primary: typeof second, signed: boolean): Promise<string | null> => {
      const place = { host: 'localhost', port: primary.port, serverName: 'localhost', via: rig.proxy.address };
      if (signed) primary.sign(certname);
      state.certPem = null;
      state.caPem = null;
      const { error } = await runDemoAgent({ certname, place, state, keyType: 'ec' });
      return error;
    };
    expect(await enrolAt(rig.primary, false)).toContain('no certificate found');
    expect(await enrolAt(second, false)).toContain('no certificate found');
    expect(await enrolAt(rig.primary, true)).toBeNull();
    expect(await enrolAt(second, true)).toBeNull();
    expect(openIdentities(join(rig.dir, 'certs', 'identities')).list()).toHaveLength(2);
  });

  test('one that is down is said, and the others work', async () => {
    const down = await startDemoPrimary({ keyType: 'ec' });
    await down[Symbol.asyncDispose]();
    await using rig = await makeRig({ proxy: { others: [{ host: 'localhost', port: down.port }] } });
    expect(rig.notices).toEqual([
      expect.stringMatching(/^cannot get the CA of the primary at .*; what goes there is tunnelled unread$/),
    ]);
    const agent = await rig.agent();
    agent.write(NODE('agent1.example'));
    expect(statusOf(await agent.answer())).toBe(200);
  });
});
