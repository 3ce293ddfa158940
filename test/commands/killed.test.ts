import { readFileSync } from 'node:fs';
import { Agent, createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { type Material, makeMaterial } from '../bench/material.ts';
import { closing, joined, noise, until } from '../capture/rig.ts';
import { temporaryFolder } from './reuse-rig.ts';
import { startProxyCommand, stringtap } from './stringtap.ts';

/** More by hand: STRINGTAP_KILLS=200. */
const KILLS = Number(process.env.STRINGTAP_KILLS ?? 6);

const TARGET = '/puppet/v3/file_content/modules/m/';

/** The n-th answer: mostly small, some large, some equal to others. */
function answerOf(n: number): Buffer {
  const sizes = [0, 40, 3_000, 300_000, 20, 9_000, 1_200_000, 64, 5, 1_000];
  return noise(sizes[n % sizes.length]!, n % 3 === 0 ? 7 : n);
}

async function primary(material: Material): Promise<{ port: number; close(): void }> {
  const read = (path: string): Buffer => readFileSync(path);
  const server = createServer(
    {
      key: read(material.serverKey),
      cert: read(material.serverCert),
      ca: read(material.ca),
      requestCert: true,
      rejectUnauthorized: false,
    },
    ({ url = '' }, response) => {
      if (url.startsWith('/puppet-ca/')) response.end(read(url.includes('/certificate/ca') ? material.ca : material.crl));
      else {
        const body = answerOf(Number(/m\/(\d+)/.exec(url)?.[1]));
        // Chunked and with a length: both ways in which an answer is known to be whole.
        if (body.length % 2 === 0) response.setHeader('Content-Length', body.length);
        response.write(body.subarray(0, 100));
        response.end(body.subarray(100));
      }
    },
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Asks one thing after the other over a kept connection until the proxy is gone; what came whole goes into `whole`, by number. */
async function load(
  port: number,
  material: Material,
  caPem: string,
  from: () => number,
  whole: Map<number, Buffer>,
): Promise<void> {
  const files = { key: readFileSync(material.agentKey), cert: readFileSync(material.agentCert), ca: caPem };
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...files });
  const one = (n: number): Promise<boolean> =>
    new Promise(resolve => {
      const request = get(
        { host: '127.0.0.1', port, servername: 'localhost', path: `${TARGET}${n}?environment=production`, agent },
        response => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.once('error', () => resolve(false));
          response.once('end', () => {
            if (response.complete && response.statusCode === 200) whole.set(n, Buffer.concat(parts));
            resolve(response.complete);
          });
        },
      );
      request.once('error', () => resolve(false));
    });
  while (await one(from()));
  agent.destroy();
}

test(
  `the proxy is killed ${KILLS} times under load: what a client received whole is in the capture, whole`,
  async () => {
    using folder = temporaryFolder();
    const home = folder.path('.');
    const material = await makeMaterial(home);
    const origin = await primary(material);
    const capture = join(home, 'a.db');
    const identity = ['--cert', material.agentCert, '--key', material.agentKey];
    expect((await stringtap(home, 'identity', 'import', ...identity)).code).toBe(0);
    let n = 0;
    let checked = 0;
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        await using proxy = await startProxyCommand(
          home,
          '--primary',
          `localhost:${origin.port}`,
          '--capture',
          capture,
          '--quiet',
          '--commit-wait',
          '60000',
        );
        const caPem = readFileSync(join(home, 'certs', 'bundle', 'ca.pem'), 'utf8');
        const received = new Map<number, Buffer>();
        const clients = Array.from({ length: 6 }, () => load(proxy.port, material, caPem, () => n++, received));
        await until(() => received.size > 3, 30_000);
        await sleep(Math.random() * 300);
        proxy.signal('SIGKILL');
        await proxy.ended;
        await Promise.all(clients);
        using store = closing(openStore(capture));
        const rows = new Map([...store.exchanges()].map(row => [Number(/m\/(\d+)/.exec(row.target)?.[1]), row]));
        for (const [number, body] of received) {
          expect(body.equals(answerOf(number)), `answer ${number} as it was received`).toBe(true);
          const row = rows.get(number);
          expect(row, `exchange of answer ${number}`).toMatchObject({
            outcome: 'answered',
            status: 200,
            responseBytes: body.length,
          });
          const { early, bodies } = store.exchange(row?.id ?? 0)!;
          expect(early).toBe(false);
          expect(bodies.every(({ cut }) => cut === null)).toBe(true);
          expect(joined(store.body(row?.id ?? 0, 'response')).equals(body), `answer ${number} as it was stored`).toBe(true);
        }
        checked += received.size;
      }
    } finally {
      origin.close();
    }
    expect(checked).toBeGreaterThan(KILLS * 3);
    using store = closing(openStore(capture));
    expect([...store.query('SELECT integrity_check FROM pragma_integrity_check').rows]).toEqual([['ok']]);
    expect(store.recordings()).toHaveLength(KILLS);
  },
  120_000 + KILLS * 10_000,
);
