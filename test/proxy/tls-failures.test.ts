import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { explainTls } from '../../src/analysis/tls-failures.ts';
import { connectionLine } from '../../src/commands/present.ts';
import type { Connection, Failure } from '../../src/model.ts';
import { toCertname } from '../../src/model.ts';
import { subjectAltName } from '../../src/pki/x509.ts';
import type { Presented } from '../../src/proxy/dial.ts';
import { openUpstream } from '../../src/proxy/upstream.ts';
import { type DemoCa, makeDemoCa, makeKey } from '../peers/ca.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';

/** Handshakes that fail between real TLS peers: each is a row, with words that say what to do. */

const DAY_MS = 86_400_000;

async function failedOnAgentLeg(rig: Rig): Promise<Connection> {
  return eventually(
    () => rig.tape.connections.findLast(one => one.leg === 'agent' && one.closed !== null && (one.error ?? one.refusal) !== null),
    'a failed connection',
  );
}

/** Bytes on a plain connection, then its end. */
function shout(place: { host: string; port: number }, bytes: string | Buffer): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(place.port, place.host, () => void socket.write(bytes));
    socket.on('error', () => undefined);
    socket.on('data', () => socket.end());
    socket.once('close', () => resolve());
    setTimeout(() => socket.end(), 200).unref();
  });
}

/** A client that says by an alert why it does not like a certificate, as Ruby does; Node's only closes. */
function strict(rig: Rig, caPem: string, crlPem: string | null): Promise<void> {
  const file = (name: string, text: string): string => {
    writeFileSync(join(rig.dir, name), text);
    return join(rig.dir, name);
  };
  const { host, port } = rig.proxy.address;
  const args = ['s_client', '-connect', `${host}:${port}`, '-servername', 'puppet.example.com', '-verify_return_error'];
  args.push('-CAfile', file('ca.pem', caPem), ...(crlPem === null ? [] : ['-crl_check', '-CRL', file('crl.pem', crlPem)]));
  return new Promise(resolve => void execFile('openssl', args, () => resolve()));
}

const HELLO_OF_NOBODY = Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x00, 0x20]), Buffer.alloc(32, 0x41)]);

describe('agent leg', () => {
  test.each<[string, string, (rig: Rig) => Promise<unknown>]>([
    ['an agent that does not know our CA', 'agent-does-not-know-our-ca', rig => strict(rig, rig.ca.caPem, null)],
    [
      'an agent without a CRL of our CA',
      'agent-does-not-know-our-ca',
      rig => strict(rig, rig.proxy.trust.bundle().pem, rig.ca.crlPem),
    ],
    [
      'no shared version',
      'no-shared-version',
      async rig => rig.agent({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', tls: { ciphers: 'ALL:@SECLEVEL=0' } }),
    ],
    [
      'no shared cipher',
      'no-shared-cipher',
      async rig => rig.agent({ maxVersion: 'TLSv1.2', tls: { ciphers: 'NULL-SHA256:@SECLEVEL=0' } }),
    ],
    ['plain HTTP', 'plain-http', rig => shout(rig.proxy.address, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    [
      'a file source on this machine, by way of the proxy',
      'local-host-refused',
      rig => shout(rig.proxy.address, 'HEAD http://127.0.0.1:9/x.txt HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n'),
    ],
    ['CONNECT to this machine', 'local-host-refused', rig => shout(rig.proxy.address, 'CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n')],
    ['neither TLS nor HTTP', 'not-http', rig => shout(rig.proxy.address, 'SSH-2.0-scanner\r\n\r\n')],
    ['a broken ClientHello', 'not-tls', rig => shout(rig.proxy.address, HELLO_OF_NOBODY)],
    [
      'an ended certificate of the agent',
      'agent-certificate-refused',
      async rig => {
        const pair = await rig.issue('agent1.example', { notBefore: Date.now() - 3 * DAY_MS, notAfter: Date.now() - DAY_MS });
        (await rig.agent({ pair })).end();
      },
    ],
    [
      'an agent that finds another name on our certificate',
      'agent-finds-another-name',
      async rig => {
        const agent = await rig.agent();
        agent.end();
        await agent.ended;
      },
    ],
  ])('%s', async (_name, cause, go) => {
    await using rig = await makeRig();
    await go(rig).catch(() => undefined);
    const row = await failedOnAgentLeg(rig);
    const words = explainTls(row);
    expect(words?.cause, `error: ${row.error}, refusal: ${row.refusal}`).toBe(cause);
    expect(words?.remedy).not.toBe('');
    expect(connectionLine(row)).toContain(words!.what);
  });

  test('a run that works needs no words, nor does the probe of an agent without a certificate', async () => {
    await using rig = await makeRig();
    const probe = await rig.agent({ pair: null });
    probe.end();
    await probe.ended;
    const agent = await rig.agent();
    agent.write('GET /status/v1/simple HTTP/1.1\r\nHost: x\r\n\r\n');
    await agent.answer();
    agent.end();
    await agent.ended;
    const rows = await eventually(() => {
      const closed = rig.tape.connections.filter(one => one.leg === 'agent' && one.closed !== null);
      return closed.length === 2 && closed;
    });
    expect(rows.map(explainTls)).toEqual([null, null]);
  });
});

test('an agent without keep-alive opens connections only to see that the primary is there: the name is one that it takes', async () => {
  await using rig = await makeRig();
  const asking = await rig.agent();
  asking.write('GET /status/v1/simple HTTP/1.1\r\nHost: x\r\n\r\n');
  await asking.answer();
  asking.end();
  await asking.ended;
  for (const serverName of ['puppet.example.com', 'other.example.com']) {
    const probe = await rig.agent({ serverName });
    probe.end();
    await probe.ended;
  }
  const rows = await eventually(() => {
    const closed = rig.tape.connections.filter(one => one.leg === 'agent' && one.closed !== null);
    return closed.length === 3 && closed;
  });
  expect(rows.map(row => explainTls(row)?.cause ?? null)).toEqual([null, null, 'agent-finds-another-name']);
});

/** What the proxy meets when it connects to `server`; the row of that connection, and the failure of the exchange. */
async function meet(
  ca: DemoCa,
  server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown; close(): unknown },
  identity: Presented | null = null,
): Promise<{ row: Connection; failure: Failure }> {
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
  const tape = memoryTape();
  const upstream = openUpstream({ tape, pool: 'pooled', connectMs: 3000 });
  try {
    const { port } = server.address() as AddressInfo;
    const failure = await new Promise<Failure>((resolve, reject) => {
      upstream.send(
        {
          primary: { host: 'localhost', port, caPem: () => ca.caPem },
          identity,
          agentConnection: tape.connectionId(),
          method: 'GET',
          target: '/status/v1/simple',
          fields: [['Host', `localhost:${port}`]],
          body: null,
          resendable: true,
        },
        {
          onReady: () => undefined,
          onInformation: () => undefined,
          onHead: () => undefined,
          onData: () => true,
          onEnd: () => reject(new Error('it was answered')),
          onFailure: resolve,
        },
      );
    });
    const row = await eventually(() => tape.connections.find(one => one.leg === 'primary' && one.closed !== null));
    return { row, failure };
  } finally {
    await upstream.close();
    server.close();
  }
}

async function material(ca: DemoCa, options: Parameters<DemoCa['issue']>[2] = {}): Promise<TlsOptions> {
  const key = await makeKey('ec');
  return {
    key: key.pem,
    cert: ca.issue('puppet.example.com', key.publicKey, { extensions: [subjectAltName(['localhost'])], ...options }),
  };
}

describe('primary leg', () => {
  test.each<[string, string, (ca: DemoCa) => Promise<TlsOptions>]>([
    [
      'ended',
      'primary-certificate-ended',
      ca => material(ca, { notBefore: Date.now() - 3 * DAY_MS, notAfter: Date.now() - DAY_MS }),
    ],
    ['not valid yet', 'primary-not-yet-valid', ca => material(ca, { notBefore: Date.now() + DAY_MS })],
    ['another name', 'primary-name', ca => material(ca, { extensions: [subjectAltName(['other.example'])] })],
    ['another CA', 'primary-unknown-ca', async () => material(await makeDemoCa('other.example', 'self', 'ec'))],
    [
      'no shared version',
      'primary-no-shared-version',
      async ca => ({ ...(await material(ca)), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
    ],
  ])('%s', async (_name, cause, options) => {
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    const server = createTlsServer(await options(ca));
    server.on('tlsClientError', () => undefined);
    const { row } = await meet(ca, server);
    expect(explainTls(row)?.cause, `error: ${row.error}`).toBe(cause);
  });

  test('no TLS at all', async () => {
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    const server = createTcpServer(socket => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
    });
    const { row } = await meet(ca, server);
    expect(explainTls(row)?.cause, `error: ${row.error}`).toBe('primary-not-tls');
  });

  test('a key that is not the one of its certificate', async () => {
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    const [one, two] = [await makeKey('ec'), await makeKey('ec')];
    const certname = toCertname('agent1.example')!;
    const identity = { certname, keyPem: two.pem, certPem: ca.issue(certname, one.publicKey), fingerprint: 'x' };
    const { row, failure } = await meet(ca, createTlsServer(await material(ca)), identity);
    expect(explainTls(row)?.cause, `error: ${row.error}`).toBe('key-mismatch');
    expect(failure.reason).toBe('internal');
  });

  test.each(['ssl/tls alert certificate unknown', 'sslv3 alert certificate revoked', 'tlsv1 alert unknown ca'])('%s', error => {
    expect(explainTls({ leg: 'primary', error, refusal: null })?.cause).toBe('primary-refuses-identity');
  });
});
