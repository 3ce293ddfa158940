import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { subjectAltName } from '../../src/pki/x509.ts';
import { openKeyLog } from '../../src/proxy/keylog.ts';
import { openUpstream } from '../../src/proxy/upstream.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { makeRig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-keys-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** NSS key log format: label, client random, secret. */
const LINE =
  /^(CLIENT_RANDOM|(CLIENT|SERVER)_(HANDSHAKE_TRAFFIC_SECRET|TRAFFIC_SECRET_0)|EXPORTER_SECRET|SERVER_TRAFFIC_SECRET_0|CLIENT_TRAFFIC_SECRET_0) [0-9a-f]{64} [0-9a-f]{64,96}$/;

/** Lines of the same handshake that both ends wrote must be the same: only then can somebody in between decrypt with them. */
function lines(text: string): string[] {
  return text.split('\n').filter(line => /^[A-Z]/.test(line));
}

describe.each([
  ['TLSv1.2', '-tls1_2'],
  ['TLSv1.3', '-tls1_3'],
] as const)('with %s', (version, flag) => {
  test('agent leg: the secrets are the ones that OpenSSL has at the other end', async () => {
    const file = join(dir, 'keys.log');
    const theirs = join(dir, 'theirs.log');
    const keyLog = openKeyLog(file, () => undefined);
    await using rig = await makeRig({ proxy: { onKeys: keyLog.line } });
    const before = readFileSync(file, 'latin1'); // what the proxy asks for itself when it starts is no agent's traffic
    expect(before).toBe('');
    const { host, port } = rig.proxy.address;
    const args = ['s_client', '-connect', `${host}:${port}`, '-servername', 'puppet.example.com', flag, '-keylogfile', theirs];
    await new Promise<void>(resolve => void execFile('openssl', args, () => resolve()).stdin?.end('Q\n'));
    const known = lines(readFileSync(theirs, 'latin1'));
    expect(known.length).toBeGreaterThan(0);
    const ours = lines(readFileSync(file, 'latin1'));
    for (const line of ours) expect(line).toMatch(LINE);
    expect(new Set(ours)).toEqual(new Set(known));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    keyLog.close();
  });

  test('primary leg: the secrets are the ones that the primary has', async () => {
    const file = join(dir, 'keys.log');
    const keyLog = openKeyLog(file, () => undefined);
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    const key = await makeKey('ec');
    const cert = ca.issue('puppet.example.com', key.publicKey, { extensions: [subjectAltName(['localhost'])] });
    const known: string[] = [];
    const server = createServer({ key: key.pem, cert, minVersion: version, maxVersion: version }, (_request, response) => {
      response.end('running');
    });
    server.on('keylog', line => known.push(String(line).trim()));
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const tape = memoryTape();
    const upstream = openUpstream({ tape, pool: 'pooled', onKeys: keyLog.line });
    await new Promise<void>((resolve, reject) => {
      const ignored = (): void => undefined;
      upstream.send(
        {
          primary: { host: 'localhost', port, caPem: () => ca.caPem },
          identity: null,
          agentConnection: tape.connectionId(),
          method: 'GET',
          target: '/status/v1/simple',
          fields: [['Host', 'localhost']],
          body: null,
          resendable: true,
        },
        {
          onReady: ignored,
          onInformation: ignored,
          onHead: ignored,
          onData: () => true,
          onEnd: () => resolve(),
          onFailure: failure => reject(new Error(failure.reason)),
        },
      );
    });
    const ours = lines(readFileSync(file, 'latin1'));
    expect(ours.length).toBeGreaterThan(0);
    for (const line of ours) expect(line).toMatch(LINE);
    expect(new Set(ours)).toEqual(new Set(known));
    await upstream.close();
    server.close();
    keyLog.close();
  });
});

test('a file that others may read, and a symbolic link, are refused', () => {
  const file = join(dir, 'open.log');
  writeFileSync(file, 'x\n');
  chmodSync(file, 0o644);
  expect(() => openKeyLog(file, () => undefined)).toThrow('others may read the key log');
  symlinkSync(file, join(dir, 'link'));
  expect(() => openKeyLog(join(dir, 'link'), () => undefined)).toThrow('is a symbolic link');
  expect(() => openKeyLog(join(dir, 'none', 'x'), () => undefined)).toThrow('ENOENT');
});

test('lines are appended', () => {
  const file = join(dir, 'keys.log');
  for (const text of ['a\n', 'b\n']) {
    const log = openKeyLog(file, () => undefined);
    log.line(Buffer.from(text));
    log.close();
    log.line(Buffer.from('late\n'));
  }
  expect(readFileSync(file, 'latin1')).toBe('a\nb\n');
});
