import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openIdentities } from '../../src/pki/identity.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { startHeaderPrimary } from '../rig/header-primary.ts';
import type { Accepted } from '../rig/raw.ts';
import { makeRig, type Rig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

const NODE = 'GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: localhost\r\n\r\n';

async function ask(rig: Rig): Promise<number> {
  const agent = await rig.agent();
  agent.write(NODE);
  const status = statusOf(await agent.answer());
  agent.end();
  return status;
}

function asked(rig: Rig): string[] {
  return rig.primary.seen.map(({ target }) => target.split('?', 1)[0]!).filter(target => !target.startsWith('/puppet-ca/'));
}

function looks(rig: Rig): number {
  return rig.primary.seen.filter(({ target }) => target.includes('certificate_revocation_list')).length;
}

test('a certname that was revoked gets nothing over the connection that was opened before', async () => {
  await using rig = await makeRig({ proxy: { standingMs: 0 } });
  expect(await ask(rig)).toBe(200);
  rig.primary.revoke('agent1.example');
  const before = asked(rig).length;
  expect(await ask(rig)).toBe(502);
  expect(asked(rig)).toHaveLength(before);
});

test('one that was not goes on with the pooled connection, after one look at the revocation list', async () => {
  await using rig = await makeRig({ proxy: { standingMs: 0 } });
  expect(await ask(rig)).toBe(200);
  const before = looks(rig);
  expect(await ask(rig)).toBe(200);
  expect(looks(rig)).toBe(before + 1);
  await rig.exchange(2);
  expect(rig.tape.exchanges[1]!.primary).toEqual({ connection: rig.tape.exchanges[0]!.primary!.connection, ordinal: 2 });
});

test('a handshake that is young enough speaks for itself', async () => {
  await using rig = await makeRig({ proxy: { standingMs: 60_000 } });
  expect(await ask(rig)).toBe(200);
  const before = looks(rig);
  expect(await ask(rig)).toBe(200);
  expect(looks(rig)).toBe(before);
});

test('pipelined requests wait together', async () => {
  await using rig = await makeRig({ proxy: { standingMs: 0 } });
  expect(await ask(rig)).toBe(200);
  rig.primary.revoke('agent1.example');
  const before = asked(rig).length;
  const agent = await rig.agent();
  agent.write(NODE + NODE);
  expect(statusOf(await agent.answer())).toBe(502);
  expect(statusOf(await agent.answer())).toBe(502);
  expect(asked(rig)).toHaveLength(before);
});

test('a revocation list that breaks off says nothing: the agent is answered over a new connection', async () => {
  const raw = async (connection: Accepted): Promise<void> => {
    while (!connection.isEnded) {
      const { start } = await connection.request();
      if (start.includes('/certificate_revocation_list/')) {
        connection.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n-----BEGIN X509 CRL-----');
        return;
      }
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  };
  await using rig = await makeRig({ raw, proxy: { standingMs: 0 } });
  expect(await ask(rig)).toBe(200);
  expect(await ask(rig)).toBe(200);
  const [first, second] = [await rig.exchange(1), await rig.exchange(2)];
  expect(second.primary?.connection).not.toBe(first.primary?.connection);
});

test('a revocation list that cannot be had is not asked for with every agent: each has a handshake of its own', async () => {
  let asked = 0;
  const raw = async (connection: Accepted): Promise<void> => {
    while (!connection.isEnded) {
      const { start } = await connection.request();
      const isList = start.includes('/certificate_revocation_list/');
      asked += isList ? 1 : 0;
      connection.write(`HTTP/1.1 ${isList ? '500 No' : '200 OK'}\r\nContent-Length: 2\r\n\r\nok`);
    }
  };
  await using rig = await makeRig({ raw, proxy: { standingMs: 0 } });
  for (const n of [1, 2, 3, 4]) {
    expect(await ask(rig)).toBe(200);
    await rig.exchange(n);
  }
  expect(asked).toBe(1);
  expect(new Set(rig.tape.exchanges.map(one => one.primary?.connection)).size).toBe(4);
});

test('each primary that a connection reaches is looked at: the one for reports, too', async () => {
  const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
  await using main = await startHeaderPrimary(false, ca);
  await using reports = await startHeaderPrimary(false, ca);
  const report = [{ host: 'localhost', port: reports.port }];
  await using rig = await makeRig({
    proxy: { primary: { host: 'localhost', port: main.port }, services: { ca: [], report, fileserver: [] }, standingMs: 0 },
  });
  const key = await makeKey('ec');
  const pair = { keyPem: key.pem, certPem: ca.issue('agent1.example', key.publicKey) };
  openIdentities(join(rig.dir, 'certs', 'identities'))
    .of(rig.proxy.trust)
    .importPair(pair.keyPem, pair.certPem);
  const run = async (): Promise<void> => {
    const agent = await rig.agent({ pair, serverName: null });
    for (const text of [NODE, 'PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n']) {
      agent.write(text);
      await agent.answer();
    }
    agent.end();
  };
  await run();
  ca.revoke(pair.certPem);
  await run();
  const [, before, , after] = rig.tape.exchanges.map(({ primary }) => primary!.connection);
  expect(reports.seen).toHaveLength(2);
  expect(after).not.toBe(before); // the primary was asked again whom it lets in
});
