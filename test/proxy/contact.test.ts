import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { openTrust, type Trust } from '../../src/pki/trust.ts';
import { contact, readCrl } from '../../src/proxy/contact.ts';
import { makeDemoCa } from '../peers/ca.ts';
import { startRawPrimary } from '../rig/raw.ts';

let dir: string;
let authority: Authority;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-contact-'));
  authority = await openAuthority(join(dir, 'ca'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

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
