// The client of a bench, a process of its own: raw TLS connections that write ready-made requests and count answers, so that it is not
// the limit. Prints one line of JSON.
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';

export interface LoadPlan {
  port: number;
  /** `host:port` of the primary: what an agent writes into Host. */
  host: string;
  /** CONNECT to it first. */
  tunnel: boolean;
  ca: string;
  key: string;
  cert: string;
  target: string;
  connections: number;
  /** Not counted: V8 compiles, leaves are issued, pools fill. */
  warmUpSeconds: number;
  seconds: number;
  /** A connection for each request instead of kept ones. */
  fresh: boolean;
}

export interface LoadResult {
  requests: number;
  errors: number;
  bytes: number;
  ms: number;
  p50Ms: number;
  p99Ms: number;
}

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const context = createSecureContext({ ca: readFileSync(plan.ca), key: readFileSync(plan.key), cert: readFileSync(plan.cert) });
const request = Buffer.from(
  `GET ${plan.target} HTTP/1.1\r\nX-Puppet-Version: 7.23.0\r\nUser-Agent: Puppet/7.23.0 Ruby/3.1.7-p261 (x86_64-linux-gnu)\r\n` +
    'Accept: application/json, text/pson\r\nAccept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n' +
    `Host: ${plan.host}\r\n\r\n`,
);

/** A target that does not answer for so long has lost the request: it is counted as an error, and the bench goes on. */
const STUCK_MS = 10_000;

function dial(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = (socket?: Socket): void => {
      const where = socket ? { socket } : { host: '127.0.0.1', port: plan.port };
      const tls = connect({ ...where, servername: 'localhost', secureContext: context }, () => resolve(tls));
      tls.setNoDelay(true);
      tls.setTimeout(STUCK_MS, () => tls.destroy(new Error('no answer')));
      tls.once('error', reject);
    };
    if (!plan.tunnel) {
      secure();
      return;
    }
    const tcp = connectTcp(plan.port, '127.0.0.1', () =>
      tcp.write(`CONNECT ${plan.host} HTTP/1.1\r\nHost: ${plan.host}\r\n\r\n`),
    );
    tcp.once('error', reject);
    tcp.setTimeout(STUCK_MS, () => tcp.destroy(new Error('no answer')));
    tcp.once('data', () => {
      tcp.setTimeout(0);
      secure(tcp);
    });
  });
}

/** One answer with Content-Length, or chunked; resolves with its bytes on the wire. */
function exchange(socket: TLSSocket): Promise<number> {
  return new Promise((resolve, reject) => {
    let head: Buffer | null = Buffer.alloc(0);
    let missing = 0;
    let total = 0;
    let chunked = false;
    let tail = '';
    const done = (error?: Error): void => {
      socket.off('data', take);
      socket.off('close', closed);
      if (error) reject(error);
      else resolve(total);
    };
    const closed = (): void => done(new Error('closed'));
    const take = (chunk: Buffer): void => {
      total += chunk.length;
      if (head) {
        head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const text = head.toString('latin1', 0, end);
        if (!text.startsWith('HTTP/1.1 200')) {
          done(new Error(text.split('\r\n', 1)[0]));
          return;
        }
        const length = /\ncontent-length: *(\d+)/i.exec(text);
        chunked = length === null;
        missing = Number(length?.[1] ?? 0) - (head.length - end - 4);
        tail = head.toString('latin1', Math.max(end + 2, head.length - 7));
        head = null;
      } else {
        missing -= chunk.length;
        if (chunked) tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - 7))).slice(-7);
      }
      if (chunked ? tail.endsWith('0\r\n\r\n') : missing <= 0) done();
    };
    socket.on('data', take);
    socket.once('close', closed);
    socket.write(request);
  });
}

const times: number[] = [];
let bytes = 0;
let errors = 0;

async function worker(until: number): Promise<void> {
  let socket: TLSSocket | null = null;
  while (performance.now() < until) {
    const start = performance.now();
    try {
      socket ??= await dial();
      const got = await exchange(socket);
      bytes += got; // not in one: the sum would be the one from before the wait
      times.push(performance.now() - start);
      if (plan.fresh) {
        socket.end();
        socket = null;
      }
    } catch {
      errors += 1;
      socket?.destroy();
      socket = null;
      if (errors > 1000) return;
    }
  }
  socket?.destroy();
}

async function run(seconds: number): Promise<number> {
  const start = performance.now();
  await Promise.all(Array.from({ length: plan.connections }, () => worker(start + seconds * 1000)));
  return performance.now() - start;
}

await run(plan.warmUpSeconds);
times.length = 0;
bytes = 0;
errors = 0;
const ms = await run(plan.seconds);
times.sort((a, b) => a - b);
const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
const result: LoadResult = { requests: times.length, errors, bytes, ms, p50Ms: at(0.5), p99Ms: at(0.99) };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
