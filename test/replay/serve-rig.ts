import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { openStore, type Store } from '../../src/capture/store.ts';
import type { Fields } from '../../src/model.ts';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { certsLayout } from '../../src/pki/layout.ts';
import { pairs } from '../../src/proxy/fields.ts';
import { startServe } from '../../src/replay/serve.ts';
import type { Served, ServedAnswer, ServeOptions } from '../../src/replay/serve-shapes.ts';
import { makeCsr, makeKey } from '../peers/ca.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

export interface Reply {
  status: number;
  reason: string;
  fields: Fields;
  /** As it came, content coding kept. */
  body: Buffer;
  tookMs: number;
}

/** An agent with a certificate of the served primary's CA, or without one. */
export interface Client {
  ask(method: string, target: string, fields?: Fields, body?: Uint8Array): Promise<Reply>;
  close(): void;
}

/** A folder with a copy of a capture, which may be brought up to date, and a primary that serves it. */
export interface ServedRig extends AsyncDisposable {
  readonly dir: string;
  readonly store: Store;
  readonly served: Served;
  readonly answers: readonly ServedAnswer[];
  readonly notices: readonly string[];
  /** @param pair of another CA than ours */
  client(certname: string | null, pair?: { key: string; cert: string }): Promise<Client>;
}

let made: Promise<string> | null = null;

afterAll(async () => {
  if (made !== null) rmSync(await made, { recursive: true, force: true });
});

/** A folder with our CA, made once: its key takes a second or more. */
function madeCerts(): Promise<string> {
  made ??= (async () => {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-serve-certs-'));
    await openAuthority(certsLayout(dir).ca);
    return dir;
  })();
  return made;
}

/** @param capture default: the sample */
export async function serveRig(
  options: Partial<ServeOptions> & { only?: readonly number[]; capture?: string } = {},
): Promise<ServedRig> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-serve-test-'));
  const file = join(dir, 'capture.db');
  copyFileSync(options.capture ?? SAMPLE, file);
  const store = openStore(file, 'bodies');
  const answers: ServedAnswer[] = [];
  const notices: string[] = [];
  cpSync(await madeCerts(), join(dir, 'certs'), { recursive: true });
  const { only, capture: _, ...more } = options;
  const served = await startServe({
    store,
    runs: [...store.runs()].filter(({ id }) => only === undefined || only.includes(id)),
    listen: { host: '127.0.0.1', port: 0 },
    certsDir: join(dir, 'certs'),
    names: [],
    as: [],
    missing: 404,
    pace: { type: 'fast' },
    onAnswer: answer => answers.push(answer),
    onNotice: line => notices.push(line),
    ...more,
  });
  const clients: Client[] = [];
  return {
    dir,
    store,
    served,
    answers,
    notices,
    async client(certname, pair) {
      const own = certname === null ? null : await identity(served.authority, certname);
      const client = openClient(served, pair ?? own);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await served.close();
      store.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function identity(authority: Authority, certname: string): Promise<{ key: string; cert: string }> {
  const key = await makeKey('ec');
  return { key: key.pem, cert: await authority.sign(readCsr(makeCsr(certname, key))) };
}

function openClient(served: Served, pair: { key: string; cert: string } | null): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: served.authority.caPem, ...pair });
  return {
    ask: (method, target, fields = [], body) =>
      new Promise((resolve, reject) => {
        const began = performance.now();
        const { host, port } = served.address;
        const outgoing = request({ agent, host, port, servername: 'localhost', method, path: target }, answer => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.once('error', reject);
          answer.once('end', () =>
            resolve({
              status: answer.statusCode ?? 0,
              reason: answer.statusMessage ?? '',
              fields: pairs(answer.rawHeaders),
              body: Buffer.concat(chunks),
              tookMs: performance.now() - began,
            }),
          );
        });
        for (const [name, value] of fields) outgoing.appendHeader(name, value);
        outgoing.once('error', reject);
        outgoing.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** Field lines of a recorded request that a client may send: Node writes those of the connection itself. */
export function endToEnd(fields: Fields): Fields {
  return fields.filter(([name]) => !/^(connection|keep-alive|transfer-encoding|content-length|host|expect)$/i.test(name));
}
