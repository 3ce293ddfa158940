// The agents of bench:soak, a process of its own. Prints one line of JSON.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';

export interface SoakPlan {
  kind: 'large' | 'slow' | 'herd' | 'exchanges';
  /** MiB, connections, agents or exchanges. */
  count: number;
  port: number;
  ca: string;
  host: string;
  key: string;
  cert: string;
}

export interface SoakResult {
  errors: number;
  words: string;
}

const plan = JSON.parse(process.argv[2] ?? '{}') as SoakPlan;
const files = { ca: readFileSync(plan.ca), key: readFileSync(plan.key), cert: readFileSync(plan.cert) };
const secureContext = createSecureContext(files);
const SMALL = '/puppet/v3/file_metadata/modules/m/motd?environment=production';
let errors = 0;

/** One request; resolves to the bytes of the answer, -1 when it failed. */
function ask(agent: Agent, path: string, body: Iterable<Uint8Array> | null = null, bodyBytes = 0): Promise<number> {
  return new Promise(resolve => {
    const failed = (): void => {
      errors += 1;
      resolve(-1);
    };
    const headers = { Host: plan.host, ...(body && { 'Content-Length': bodyBytes }) };
    const options = { host: '127.0.0.1', port: plan.port, servername: 'localhost', path, agent, headers };
    const sent = request({ ...options, method: body === null ? 'GET' : 'PUT' }, answer => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.once('end', () => (answer.statusCode === 200 && answer.complete ? resolve(bytes) : failed()));
      answer.once('error', failed);
    });
    sent.once('error', failed);
    void (async () => {
      for (const chunk of body ?? []) if (!sent.write(chunk)) await new Promise(drained => sent.once('drain', drained));
      sent.end();
    })();
  });
}

async function large(mib: number): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...files });
  const start = performance.now();
  const down = await ask(agent, `/puppet/v3/file_content/modules/m/sized?environment=production&bytes=${mib << 20}`);
  const chunk = Buffer.alloc(1 << 20, 7);
  const up = function* (): Iterable<Uint8Array> {
    for (let n = 0; n < mib; n++) {
      chunk.writeUInt32LE(n);
      yield Buffer.from(chunk);
    }
  };
  await ask(agent, '/puppet/v3/report/agent.bench?environment=production', up(), mib << 20);
  agent.destroy();
  return `${mib} MiB down (${down >> 20} came) and up in ${((performance.now() - start) / 1000).toFixed(0)} s`;
}

function dial(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: plan.port, servername: 'localhost', secureContext }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** All are open at once, each in the middle of a request head, and all are answered in the end. */
async function slow(connections: number): Promise<string> {
  const sockets: TLSSocket[] = [];
  const head = `GET ${SMALL} HTTP/1.1\r\nHost: ${plan.host}\r\nConnection: close\r\n\r\n`;
  const start = performance.now();
  while (sockets.length < connections) {
    const more = await Promise.allSettled(Array.from({ length: 50 }, dial));
    for (const one of more) {
      if (one.status === 'fulfilled') {
        one.value.on('error', () => undefined);
        one.value.write(head.slice(0, 10));
        sockets.push(one.value);
      } else errors += 1;
    }
    if (errors > 1000) break;
  }
  const opened = performance.now() - start;
  await sleep(5000);
  for (const [n, socket] of sockets.entries()) {
    socket.write(head.slice(10, 20));
    if (n % 500 === 0) await sleep(10);
  }
  await sleep(5000);
  let answered = 0;
  for (let from = 0; from < sockets.length; from += 100) {
    await Promise.all(
      sockets.slice(from, from + 100).map(
        socket =>
          new Promise<void>(resolve => {
            let text = '';
            socket.on('data', chunk => {
              text += String(chunk);
            });
            socket.once('close', () => {
              if (text.startsWith('HTTP/1.1 200')) answered += 1;
              else errors += 1;
              resolve();
            });
            socket.write(head.slice(20));
          }),
      ),
    );
  }
  return `${sockets.length} slow connections held at once (opened in ${(opened / 1000).toFixed(0)} s), ${answered} answered`;
}

/** Agents that all start within one minute: a connection each, as a steady run has it, and its requests. */
async function herd(agents: number): Promise<string> {
  const times: number[] = [];
  const start = performance.now();
  const one = async (n: number): Promise<void> => {
    await sleep((n / agents) * 60_000);
    const began = performance.now();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ...files });
    for (let i = 0; i < 6; i++) await ask(agent, SMALL);
    agent.destroy();
    times.push(performance.now() - began);
  };
  await Promise.all(Array.from({ length: agents }, (_, n) => one(n)));
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? Number.NaN).toFixed(0);
  const took = ((performance.now() - start) / 1000).toFixed(0);
  return `${agents} agents started within 60 s, the last was done after ${took} s; 6 requests took ${at(0.5)} ms (median), ${at(0.99)} ms (p99)`;
}

async function exchanges(count: number): Promise<string> {
  const start = performance.now();
  let left = count;
  const worker = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ...files });
    while (left-- > 0 && errors < 1000) await ask(agent, SMALL);
    agent.destroy();
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  const seconds = (performance.now() - start) / 1000;
  return `${count} exchanges in ${seconds.toFixed(0)} s (${(count / seconds).toFixed(0)}/s)`;
}

const words = await { large, slow, herd, exchanges }[plan.kind](plan.count);
process.stdout.write(`${JSON.stringify({ errors, words } satisfies SoakResult)}\n`);
process.exit(0);
