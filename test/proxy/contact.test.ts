import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { bits } from '../../src/pki/der.ts';
import { openTrust, type Trust } from '../../src/pki/trust.ts';
import { basicConstraints, commonName, extension, OID, signCertificate, subjectAltName } from '../../src/pki/x509.ts';
import { contact, readCrl } from '../../src/proxy/contact.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { startRawPrimary } from '../rig/raw.ts';

let dir: string;
let authority: Authority;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-contact-'));
  authority = await openAuthority(join(dir, 'ca'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const DAY_MS = 86_400_000;

let opened = 0;
const newTrust = (): Trust => openTrust(join(dir, `primary${opened++}`), authority);

/** The head of a TLS record of 16 KiB, and then a byte now and then. */
async function dripping(): Promise<{ host: string; port: number }> {
  const server: Server = createTcp(socket => {
    socket.on('error', () => undefined);
    socket.write(Buffer.from([0x16, 0x03, 0x03, 0x40, 0x00, 0x02]));
    const drip = setInterval(() => socket.write('\0'), 20);
    socket.once('close', () => clearInterval(drip));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const bound = server.address();
  return { host: 'localhost', port: bound !== null && typeof bound === 'object' ? bound.port : 0 };
}

test('a primary that goes on and on with its CA is given up', async () => {
  const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
  await using primary = await startRawPrimary(ca);
  primary.script = async connection => {
    await connection.request();
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n');
    while (!connection.isEnded) {
      connection.write('x');
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  };
  const place = { host: 'localhost', port: primary.port };
  await expect(contact(place, newTrust(), null, { wholeMs: 300 })).rejects.toThrow('no whole answer in 0.3 s');
  const trust = newTrust();
  trust.pin(ca.caPem);
  await expect(readCrl(place, trust, 300)).rejects.toThrow('no whole answer in 0.3 s');
});

test('so is one that goes on and on with its handshake', async () => {
  const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
  const trust = newTrust();
  trust.pin(ca.caPem);
  await expect(contact(await dripping(), trust, null, { wholeMs: 300 })).rejects.toThrow('no whole handshake in 0.3 s');
});

/** A self-signed CA of one key with lifetimes of one's own, and a primary whose certificate it signed. */
async function scene() {
  const ca = await makeKey('ec');
  const spki = ca.publicKey.export({ type: 'spki', format: 'der' });
  const name = commonName('Puppet CA: long.example');
  const root = (serial: number, from: number, to: number, key = ca): string =>
    signCertificate(
      {
        serial: Buffer.from([serial]),
        issuer: name,
        subject: name,
        notBefore: Date.now() + from * DAY_MS,
        notAfter: Date.now() + to * DAY_MS,
        spki: key === ca ? spki : key.publicKey.export({ type: 'spki', format: 'der' }),
        extensions: [basicConstraints(true), extension(OID.keyUsage, true, bits(Buffer.from([0x06]), 1))],
      },
      key.privateKey,
    );
  const leaf = await makeKey('ec');
  const cert = signCertificate(
    {
      serial: Buffer.from([9]),
      issuer: name,
      subject: commonName('localhost'),
      notBefore: Date.now() - DAY_MS,
      notAfter: Date.now() + DAY_MS,
      spki: leaf.publicKey.export({ type: 'spki', format: 'der' }),
      extensions: [subjectAltName(['localhost'])],
    },
    ca.privateKey,
  );
  let given = '';
  const server = createServer({ key: leaf.pem, cert }, (request, response) => {
    response.statusCode = request.url?.endsWith('/certificate/ca') ? 200 : 404;
    response.end(given);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const bound = server.address();
  return {
    place: { host: 'localhost', port: bound !== null && typeof bound === 'object' ? bound.port : 0 },
    root,
    give: (pem: string) => {
      given = pem;
    },
  };
}

test('a CA that was renewed with its key is taken over: while the old one is good, and when it has ended', async () => {
  for (const left of [1, -1]) {
    const { place, root, give } = await scene();
    const trust = newTrust();
    trust.pin(root(1, -9, left));
    const renewed = root(2, -1, 99);
    give(renewed);
    await contact(place, trust, null);
    expect(trust.caPem()).toBe(renewed);
  }
});

test('one of another key is not, though it has its name', async () => {
  const { place, root, give } = await scene();
  const trust = newTrust();
  const old = root(1, -9, -1);
  trust.pin(old);
  give(root(2, -1, 99, await makeKey('ec')));
  await expect(contact(place, trust, null)).rejects.toThrow('cannot be used: certificate has expired');
  expect(trust.caPem()).toBe(old);
});
