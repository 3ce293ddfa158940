import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { explainFailure, explainTls } from '../../src/analysis/tls-failures.ts';
import type { ConnectionId, Failure } from '../../src/model.ts';
import { type ProxyOptions, type RunningProxy, startProxy } from '../../src/proxy/proxy.ts';
import { openUpstream } from '../../src/proxy/upstream.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { type HeaderPrimary, startHeaderPrimary } from '../rig/header-primary.ts';
import { dial, startRawPrimary } from '../rig/raw.ts';
import { eventually } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { type Message, statusOf } from '../rig/wire.ts';

/** The certificate of the primary itself, and the lists that speak of it. */

const HOUR_MS = 3_600_000;

interface Scene extends AsyncDisposable {
  primary: HeaderPrimary;
  tape: ReturnType<typeof memoryTape>;
  start(more?: Partial<ProxyOptions>): Promise<RunningProxy>;
  /** One request over a new connection of the agent. */
  ask(proxy: RunningProxy): Promise<Message>;
}

async function makeScene(): Promise<Scene> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-vetting-'));
  const primary = await startHeaderPrimary(false);
  const tape = memoryTape();
  const running: RunningProxy[] = [];
  const key = await makeKey('ec');
  const pair = { keyPem: key.pem, certPem: primary.ca.issue('agent1.example', key.publicKey) };
  return {
    primary,
    tape,
    async start(more = {}) {
      const proxy = await startProxy({
        listen: { host: '127.0.0.1', port: 0 },
        primary: { host: 'localhost', port: primary.port },
        certsDir: join(dir, 'certs'),
        names: [],
        pool: 'pooled',
        connectOnlyPrimary: false,
        caPem: null,
        caFingerprint: null,
        identity: 'headers',
        standingMs: 0,
        tape,
        onNotice: () => undefined,
        ...more,
      });
      running.push(proxy);
      return proxy;
    },
    async ask(proxy) {
      const agent = await dial({ ...proxy.address, serverName: 'localhost', caPem: proxy.trust.bundle().pem, pair });
      agent.write('GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const answer = await agent.answer();
      agent.destroy();
      return answer;
    },
    async [Symbol.asyncDispose]() {
      for (const proxy of running) await proxy.close();
      await primary[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

describe('on first contact', () => {
  test('a revoked primary is not started with', async () => {
    await using scene = await makeScene();
    scene.primary.ca.revoke(scene.primary.certPem);
    await expect(scene.start()).rejects.toThrow(/^the primary at localhost:\d+ cannot be used: certificate revoked$/);
  });

  test('nor one whose CRL has ended, unless CRLs are not looked at', async () => {
    await using scene = await makeScene();
    scene.primary.ca.relist(Date.now() - HOUR_MS);
    await expect(scene.start()).rejects.toThrow(/cannot be used: CRL has expired$/);
    await expect(scene.start({ revocation: 'leaf' })).rejects.toThrow(/cannot be used: CRL has expired$/);
    await scene.start({ revocation: 'false' });
  });
});

describe('later', () => {
  test('a primary that was revoked gets nothing more, over a pooled connection either; the row says why', async () => {
    await using scene = await makeScene();
    const proxy = await scene.start();
    expect(statusOf(await scene.ask(proxy))).toBe(200);
    expect(statusOf(await scene.ask(proxy))).toBe(200);
    const used = scene.tape.exchanges.map(one => one.primary);
    expect(used[1]).toEqual({ connection: used[0]?.connection, ordinal: 2 });

    scene.primary.ca.revoke(scene.primary.certPem);
    const refused = await scene.ask(proxy);
    expect(statusOf(refused)).toBe(502);
    expect(refused.body.toString()).toContain('did not verify: certificate revoked (CERT_REVOKED)');
    expect(scene.primary.seen).toHaveLength(2);
    const { outcome } = scene.tape.exchanges.at(-1)!;
    expect(outcome.type === 'failed' && explainFailure(outcome.failure)?.cause).toBe('primary-revoked');
    const row = scene.tape.connections.findLast(one => one.leg === 'primary');
    expect(row?.closed).toMatchObject({ by: 'proxy', cause: 'tls-failed' });
    expect(explainTls(row!)?.cause).toBe('primary-revoked');
  });

  test('a list that ends and was signed anew is read before anybody is refused', async () => {
    await using scene = await makeScene();
    // Long enough for a start on a machine that is busy.
    const ends = Date.now() + 5000;
    scene.primary.ca.relist(ends);
    const proxy = await scene.start({ identity: 'certificate', standingMs: 60_000 });
    await new Promise(resolve => setTimeout(resolve, ends + 100 - Date.now()));
    scene.primary.ca.relist(Date.now() + HOUR_MS);
    // Nobody's identity is known: an open path.
    const agent = await dial({ ...proxy.address, serverName: 'localhost', caPem: proxy.trust.bundle().pem });
    agent.write('GET /status/v1/simple HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(statusOf(await agent.answer())).toBe(403); // the primary's own answer
    expect(scene.primary.seen).toHaveLength(1);
    agent.destroy();
  });
});

test.each([
  ['refused', Object.assign(new Error('certificate revoked'), { code: 'CERT_REVOKED' }), 'primary-untrusted'],
  ['good', null, 'primary-closed'],
])(
  'a primary that leaves while its certificate is looked at, which then is %s, fails the request',
  async (_, verdict, reason) => {
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    await using primary = await startRawPrimary(ca);
    const tape = memoryTape();
    primary.script = connection => connection.end();
    const upstream = openUpstream({ tape, pool: 'pooled' });
    const closed = (): boolean => tape.connections.some(one => one.closed !== null);
    const vet = async (): Promise<Error | null> => {
      await eventually(closed, 'the end of the connection');
      return verdict;
    };
    const failure = await new Promise<Failure>((resolve, reject) => {
      const place = { host: 'localhost', port: primary.port, caPem: () => ca.caPem, vet };
      const call = {
        primary: place,
        identity: null,
        agentConnection: 1 as ConnectionId,
        fields: [],
        body: null,
        resendable: false,
      };
      const never = (): never => {
        reject(new Error('it went through'));
        throw new Error('it went through');
      };
      upstream.send(
        { ...call, method: 'GET', target: '/' },
        { onReady: never, onInformation: never, onHead: never, onData: never, onEnd: never, onFailure: resolve },
      );
    });
    expect(failure.reason).toBe(reason);
    await upstream.close();
  },
);
