import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Certname, Exchange, Failure } from '../../src/model.ts';
import { nothing } from '../../src/pki/der.ts';
import { extension, subjectAltName } from '../../src/pki/x509.ts';
import { answerTo, failureOf, reasonOf } from '../../src/proxy/failure.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import type { Script } from '../rig/raw.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { fieldIn, statusOf } from '../rig/wire.ts';

const TARGET = '/puppet/v3/status/x?environment=production';
const GET = `GET ${TARGET} HTTP/1.1\r\nHost: x\r\n\r\n`;
const idle: Script = () => undefined;

/** Something else listens where the primary was. */
async function instead(rig: Rig, server: Server): Promise<void> {
  await rig.raw.stop();
  const sockets = new Set<Socket>();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>(resolve => server.listen(rig.origin.port, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/** One request, whose answer must be one of ours; the agent's connection stays. */
async function refused(rig: Rig): Promise<{ start: string; message: string; kind: string; exchange: Exchange }> {
  const agent = await rig.agent();
  agent.write(GET);
  const answer = await agent.answer();
  const body = JSON.parse(answer.body.toString()) as { message: string; issue_kind: string };
  expect(body.message).not.toContain('\n');
  expect(fieldIn(answer, 'content-type')).toBe('application/json;charset=utf-8');
  expect(fieldIn(answer, 'retry-after')).toBeNull();
  const exchange = await rig.exchange();
  expect(exchange).toMatchObject({ answeredBy: 'proxy', primaryStatus: null, response: { status: statusOf(answer) } });
  expect(rig.tape.body(exchange.id, 'response')?.bytes).toEqual(answer.body);
  agent.write(GET);
  expect((await agent.answer()).start).toBe(answer.start);
  return { start: answer.start, message: body.message, kind: body.issue_kind, exchange };
}

async function tlsServer(
  names: readonly string[],
  ca = makeDemoCa('puppet.example.com', 'self', 'ec'),
  notAfter?: number,
): Promise<Server> {
  const key = await makeKey('ec');
  const cert = (await ca).issue('puppet.example.com', key.publicKey, {
    extensions: [subjectAltName(names)],
    ...(notAfter !== undefined && { notAfter, notBefore: notAfter - 86_400_000 }),
  });
  return createTlsServer({ key: key.pem, cert });
}

describe('a primary that cannot be used', () => {
  test('is down', async () => {
    await using rig = await makeRig({ raw: idle });
    await rig.raw.stop();
    const { start, message, kind, exchange } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary unreachable');
    expect(message).toBe(`stringtap: cannot connect to the primary at localhost:${rig.origin.port}: ECONNREFUSED`);
    expect(kind).toBe('STRINGTAP_PRIMARY_UNREACHABLE');
    expect(exchange.outcome).toMatchObject({ failure: { reason: 'primary-unreachable', code: 'ECONNREFUSED' } });
    const row = await rig.connection(({ leg, error }) => leg === 'primary' && error !== null);
    expect(row.error).toMatch(/ECONNREFUSED/);
    expect(row.closed).not.toBeNull();
  });

  test('speaks plain HTTP', async () => {
    await using rig = await makeRig({ raw: idle });
    await instead(rig, createHttpServer());
    const { start, exchange } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary unreachable');
    expect(exchange.outcome).toMatchObject({
      failure: { reason: 'primary-unreachable', code: expect.stringMatching(/wrong version number|packet length too long/) },
    });
  });

  test('closes within the handshake', async () => {
    await using rig = await makeRig({ raw: idle });
    await instead(
      rig,
      createServer(socket => socket.once('data', () => socket.end())),
    );
    const { start } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary closed the connection');
  });

  test('never answers the handshake', async () => {
    await using rig = await makeRig({ raw: idle, proxy: { connectMs: 200 } });
    await instead(rig, createServer());
    const { start, message } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary unreachable');
    expect(message).toMatch(/ETIMEDOUT$/);
  });

  test('has a certificate of another CA', async () => {
    await using rig = await makeRig({ raw: idle });
    await instead(rig, await tlsServer(['localhost']));
    const { start, kind, exchange } = await refused(rig);
    expect([start, kind]).toEqual(['HTTP/1.1 502 Primary not trusted', 'STRINGTAP_PRIMARY_UNTRUSTED']);
    expect(exchange.primary).toBeNull();
  });

  test('has a certificate for another name', async () => {
    await using rig = await makeRig({ raw: idle });
    await instead(rig, await tlsServer(['other.example.com'], Promise.resolve(rig.ca)));
    const { start, message } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary not trusted');
    expect(message).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID/);
  });

  test('has a certificate that has ended', async () => {
    await using rig = await makeRig({ raw: idle });
    await instead(rig, await tlsServer(['localhost'], Promise.resolve(rig.ca), Date.now() - 1000));
    const { start, message } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary not trusted');
    expect(message).toMatch(/CERT_HAS_EXPIRED/);
  });

  test('has a certificate that demands what nobody knows', async () => {
    await using rig = await makeRig({ raw: idle });
    const key = await makeKey('ec');
    const extensions = [subjectAltName(['localhost']), extension('1.2.3.4', true, nothing())];
    const cert = rig.ca.issue('puppet.example.com', key.publicKey, { extensions });
    await instead(rig, createTlsServer({ key: key.pem, cert }));
    const { start, message } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary not trusted');
    expect(message).toContain('unhandled critical extension (UNSPECIFIED)');
    const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'proxy', cause: 'tls-failed' });
  });

  test('does not like our certificate: openssl s_server that wants one of another CA', async () => {
    await using rig = await makeRig({ raw: idle });
    await rig.raw.stop();
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-test-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    const key = await makeKey('ec');
    const server = rig.ca.issue('puppet.example.com', key.publicKey, { extensions: [subjectAltName(['localhost'])] });
    const other = await makeDemoCa('other.example.com', 'self', 'ec');
    const process = spawn(
      'openssl',
      [
        ...[
          's_server',
          '-accept',
          `127.0.0.1:${rig.origin.port}`,
          '-key',
          file('key.pem', key.pem),
          '-cert',
          file('cert.pem', server),
        ],
        ...['-Verify', '1', '-verify_return_error', '-CAfile', file('ca.pem', other.caPem), '-www'],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    onTestFinished(() => void process.kill());
    let said = '';
    process.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually(() => said.includes('ACCEPT'), 'openssl s_server listens');
    const { start, message, exchange } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary rejected the certificate');
    expect(message).toMatch(/^stringtap: the primary rejected the certificate of agent1\.example \(.*alert unknown ca\)/);
    expect(exchange.outcome).toMatchObject({ failure: { reason: 'primary-rejected-identity', certname: 'agent1.example' } });
    const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'primary', cause: 'tls-alert' });
  });
});

describe('a primary that does not answer as it should', () => {
  test('thinks for too long', async () => {
    await using rig = await makeRig({ raw: async connection => void (await connection.request()), proxy: { answerMs: 300 } });
    const { start, message, exchange } = await refused(rig);
    expect(start).toBe('HTTP/1.1 504 Primary timed out');
    expect(message).toMatch(/^stringtap: no answer from the primary at localhost:\d+ in 0 s$/);
    expect(exchange.outcome).toMatchObject({ failure: { reason: 'primary-timeout', afterMs: 300 } });
    await rig.raw.accepted[0]!.ended;
  });

  test('stops within its body', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly');
      },
      proxy: { answerMs: 300 },
    });
    const agent = await rig.agent();
    agent.write(GET);
    await agent.until('only');
    await agent.ended;
    expect((await rig.exchange()).outcome).toMatchObject({ failure: { reason: 'primary-timeout' } });
  });

  test.each([
    ['ends', (socket: Socket) => void socket.end()],
    ['is cut', (socket: Socket) => void socket.destroy()],
  ])('its connection %s before any answer', async (_, how) => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        how(connection.socket);
      },
    });
    const { start, exchange } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary closed the connection');
    expect(exchange.outcome).toMatchObject({ failure: { reason: 'primary-closed', partial: false } });
    expect(exchange).toMatchObject({ primary: { ordinal: 1 }, resent: 0 });
  });

  test.each(['SSH-2.0-OpenSSH_9.2\r\n', 'HTTP/1.1 2xx OK\r\n\r\n', 'HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n'])(
    'says %j',
    async text => {
      await using rig = await makeRig({
        raw: async connection => {
          await connection.request();
          connection.write(text);
        },
      });
      const { start, exchange } = await refused(rig);
      expect(start).toBe('HTTP/1.1 502 Primary does not speak HTTP');
      expect(exchange.outcome).toMatchObject({ failure: { reason: 'primary-protocol' } });
    },
  );

  test('sends a head without end', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write(`HTTP/1.1 200 OK\r\n${`X-Big: ${'x'.repeat(1000)}\r\n`.repeat(400)}\r\n`);
      },
    });
    const { start } = await refused(rig);
    expect(start).toBe('HTTP/1.1 502 Primary does not speak HTTP');
  });

  test('is not resent what it may have taken: a plain POST', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        await connection.request();
        connection.destroy();
      },
    });
    const agent = await rig.agent();
    const post = 'POST /puppet/v3/other HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx';
    agent.write(post);
    expect(statusOf(await agent.answer())).toBe(200);
    agent.write(post);
    expect((await agent.answer()).start).toBe('HTTP/1.1 502 Primary closed the connection');
    expect(rig.raw.accepted).toHaveLength(1);
  });
});

const CERTNAME = 'agent1.example' as Certname;
const ORIGIN = 'puppet.example.com:8140';

const WORDS: [Failure, status: number, reason: string, message: string][] = [
  [{ reason: 'no-certificate' }, 403, 'No client certificate', 'this path needs a client certificate, and the agent sent none'],
  [
    { reason: 'certificate-refused', detail: 'expired' },
    403,
    'Client certificate refused',
    "the agent's certificate was refused: expired",
  ],
  [
    { reason: 'no-identity', certname: CERTNAME },
    403,
    'No identity for this agent',
    'nothing to present to the primary as agent1.example; on the agent\'s host: stringtap identity import --ssldir "$(puppet config print ssldir)"',
  ],
  [
    { reason: 'primary-rejected-identity', certname: CERTNAME, alert: 'certificate revoked' },
    502,
    'Primary rejected the certificate',
    'the primary rejected the certificate of agent1.example (certificate revoked); it may be revoked or cleaned there',
  ],
  [
    { reason: 'primary-untrusted', origin: ORIGIN, detail: 'self signed' },
    502,
    'Primary not trusted',
    `the certificate of ${ORIGIN} did not verify: self signed`,
  ],
  [
    { reason: 'primary-unreachable', origin: ORIGIN, code: 'ENOTFOUND' },
    502,
    'Primary unreachable',
    `cannot connect to the primary at ${ORIGIN}: ENOTFOUND`,
  ],
  [
    { reason: 'primary-timeout', origin: ORIGIN, afterMs: 600_000 },
    504,
    'Primary timed out',
    `no answer from the primary at ${ORIGIN} in 600 s`,
  ],
  [
    { reason: 'primary-closed', origin: ORIGIN, detail: 'other side closed', partial: false },
    502,
    'Primary closed the connection',
    `the primary at ${ORIGIN} closed the connection: other side closed`,
  ],
  [
    { reason: 'primary-protocol', origin: ORIGIN, detail: 'Invalid status code' },
    502,
    'Primary does not speak HTTP',
    `what ${ORIGIN} sent is not valid HTTP: Invalid status code`,
  ],
  [{ reason: 'not-forwarded', detail: 'no' }, 400, 'Not forwarded', 'no'],
  [{ reason: 'internal', detail: 'oh' }, 502, 'stringtap failed', 'an error in the proxy itself: oh'],
];

test.each(WORDS)('the words for %o', (failure, status, reason, message) => {
  expect(answerTo(failure)).toEqual({
    status,
    reason,
    message: `stringtap: ${message}`,
    issueKind: `STRINGTAP_${failure.reason.replaceAll('-', '_').toUpperCase()}`,
  });
});

test.each([
  ['path length constraint exceeded', 'PATH_LENGTH_EXCEEDED', 'primary-untrusted'],
  ["format error in certificate's notAfter field", 'ERROR_IN_CERT_NOT_AFTER_FIELD', 'primary-untrusted'],
  ['write EPROTO 00:error:0A000126:SSL routines::unexpected eof while reading:ssl/record.c:1:', 'EPROTO', 'primary-unreachable'],
])('%j is no fault of the proxy', (message, code, reason) => {
  const context = { origin: ORIGIN, certname: CERTNAME, partial: false, timeoutMs: 1 };
  expect(failureOf(Object.assign(new Error(message), { code }), context).reason).toBe(reason);
});

test('an error is named by its code wherever in its chain of causes it is', () => {
  const context = { origin: ORIGIN, certname: CERTNAME, partial: false, timeoutMs: 1 };
  const cause = Object.assign(new Error('connect ECONNREFUSED 192.0.2.1:8140'), { code: 'ECONNREFUSED' });
  expect(failureOf(new Error('fetch failed', { cause }), context)).toEqual({
    reason: 'primary-unreachable',
    origin: ORIGIN,
    code: 'ECONNREFUSED',
  });
  expect(failureOf(new AggregateError([cause], 'all failed'), context)).toMatchObject({ code: 'ECONNREFUSED' });
  expect(failureOf('just text', context)).toEqual({ reason: 'internal', detail: 'just text (UNKNOWN)' });
  const circle: Error & { cause?: unknown } = new Error('round');
  circle.cause = circle;
  expect(reasonOf(circle)).toBe('round');
});
