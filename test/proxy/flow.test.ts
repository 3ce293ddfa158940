import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Script } from '../rig/raw.ts';
import { eventually, makeRig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { statusOf } from '../rig/wire.ts';

const GET = 'GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const MIB = 1024 * 1024;
const BIG = 128 * MIB;
/** What kernel and TLS buffers of two connections may swallow of a body that nobody reads; far less than the body. */
const IN_FLIGHT = 32 * MIB;

/** The same bytes for each block number. */
function block(n: number): Buffer {
  const bytes = Buffer.alloc(64 * 1024, n & 0xff);
  bytes.writeUInt32BE(n);
  return bytes;
}

const BLOCKS = BIG / (64 * 1024);

function digestOfAll(): string {
  const hash = createHash('sha256');
  for (let n = 0; n < BLOCKS; n++) hash.update(block(n));
  return hash.digest('hex');
}

/** Waits until a number stands still for a while. */
async function settled(get: () => number): Promise<number> {
  for (let before = -1; ; ) {
    const now = get();
    if (now === before) return now;
    before = now;
    await pause(300);
  }
}

describe('back-pressure', () => {
  test('a slow reader of a large answer holds the primary back; then all of it arrives', async () => {
    const tape = memoryTape(false);
    await using rig = await makeRig({
      tape,
      raw: async connection => {
        await connection.request();
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG}\r\n\r\n`);
        for (let n = 0; n < BLOCKS && !connection.isEnded; n++) {
          if (!connection.socket.write(block(n))) await Promise.race([once(connection.socket, 'drain'), connection.ended]);
        }
      },
    });
    const agent = await rig.agent();
    agent.socket.removeAllListeners('data');
    agent.socket.pause();
    const before = process.memoryUsage().rss;
    agent.write(GET);
    await eventually(() => tape.connections.some(({ leg }) => leg === 'primary'));
    const id = await eventually(() => (tape.body(1 as never, 'response') ? 1 : null));
    const taken = await settled(() => tape.body(id as never, 'response')!.size);
    expect(taken).toBeLessThan(IN_FLIGHT);
    expect(process.memoryUsage().rss - before).toBeLessThan(IN_FLIGHT + 64 * MIB);

    const hash = createHash('sha256');
    let size = -1; // the head is not counted
    let head = '';
    agent.socket.on('data', (chunk: Buffer) => {
      let rest = chunk;
      if (size < 0) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        rest = Buffer.from(head.slice(end + 4), 'latin1');
        size = 0;
      }
      size += rest.length;
      hash.update(rest);
    });
    agent.socket.resume();
    await eventually(() => tape.exchanges.length === 1 && size === BIG, 'all of the body', 25_000);
    expect(hash.digest('hex')).toBe(digestOfAll());
    expect(tape.body(id as never, 'response')?.sha256).toBe(digestOfAll());
    expect(tape.exchanges[0]).toMatchObject({ outcome: { type: 'answered' }, responseBytes: BIG });
  });

  test('a primary that does not read holds an agent back that sends', async () => {
    const tape = memoryTape(false);
    let go = (): void => undefined;
    const gate = new Promise<void>(resolve => {
      go = resolve;
    });
    const hash = createHash('sha256');
    await using rig = await makeRig({
      tape,
      raw: async connection => {
        await connection.until('\r\n\r\n');
        connection.socket.removeAllListeners('data');
        connection.socket.pause();
        await gate;
        let size = connection.pending.length;
        hash.update(connection.pending);
        connection.socket.on('data', (chunk: Buffer) => {
          size += chunk.length;
          hash.update(chunk);
          if (size === BIG) connection.write(OK);
        });
        connection.socket.resume();
      },
    });
    const agent = await rig.agent();
    agent.write(`PUT /puppet/v3/file_bucket_file/x HTTP/1.1\r\nHost: x\r\nContent-Length: ${BIG}\r\n\r\n`);
    const sending = (async () => {
      for (let n = 0; n < BLOCKS; n++) if (!agent.socket.write(block(n))) await once(agent.socket, 'drain');
    })();
    await eventually(() => tape.body(1 as never, 'request'));
    const taken = await settled(() => tape.body(1 as never, 'request')!.size);
    expect(taken).toBeLessThan(IN_FLIGHT);
    go();
    await sending;
    expect(statusOf(await agent.answer())).toBe(200);
    expect(hash.digest('hex')).toBe(digestOfAll());
    expect(await rig.exchange()).toMatchObject({ requestBytes: BIG, outcome: { type: 'answered' } });
  });

  test('a tape that asks for a pause gets it', async () => {
    const inner = memoryTape(false);
    let waiting: (() => void) | null = null;
    let limit = 4 * MIB;
    const tape = Object.assign(inner, {
      ready(go: () => void): boolean {
        if ((inner.body(1 as never, 'response')?.size ?? 0) < limit) return true;
        waiting = go;
        return false;
      },
    });
    await using rig = await makeRig({
      tape,
      raw: async connection => {
        await connection.request();
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG}\r\n\r\n`);
        for (let n = 0; n < BLOCKS && !connection.isEnded; n++) {
          if (!connection.socket.write(block(n))) await Promise.race([once(connection.socket, 'drain'), connection.ended]);
        }
      },
    });
    const agent = await rig.agent();
    agent.socket.removeAllListeners('data');
    agent.socket.resume();
    agent.write(GET);
    await eventually(() => waiting);
    const taken = await settled(() => tape.body(1 as never, 'response')!.size);
    expect(taken).toBeLessThan(limit + MIB);
    limit = Number.POSITIVE_INFINITY;
    (waiting as unknown as () => void)();
    await eventually(() => tape.exchanges.length === 1, 'the exchange', 25_000);
    expect(tape.exchanges[0]!.responseBytes).toBe(BIG);
  });
});

function always(answer: string): Script {
  return async connection => {
    while (!connection.isEnded) {
      await connection.request();
      connection.write(answer);
    }
  };
}

const HEAD = 'HEAD /puppet/v3/file_bucket_file/x HTTP/1.1\r\nHost: x\r\n\r\n';
const LONG = 'x'.repeat(200_000);

/** `whole` is what the agent has once it has everything. */
const ANSWERS: [name: string, request: string, answer: string][] = [
  ['with a length', GET, OK],
  ['with a length and many chunks of TLS', GET, `HTTP/1.1 200 OK\r\nContent-Length: ${LONG.length}\r\n\r\n${LONG}`],
  ['with an empty body', GET, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['in chunks', GET, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
  ['in chunks, without any', GET, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['204', GET, 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['304', GET, 'HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n'],
  ['to HEAD', HEAD, 'HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n'],
  ['to HEAD, chunked', HEAD, 'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n'],
];

test.each(ANSWERS)('captured before delivered: an answer %s is not whole before it is committed', async (_, request, answer) => {
  await using rig = await makeRig({ raw: always(answer) });
  const agent = await rig.agent();
  rig.tape.hold();
  agent.write(request);
  await eventually(() => rig.tape.held === 1, 'the exchange is on the tape');
  await pause(100);
  // All that was held back is at least the last byte.
  expect(agent.pending.length).toBeLessThan(answer.length);
  expect(answer.startsWith(agent.pending.toString('latin1'))).toBe(true);
  rig.tape.release();
  await eventually(() => agent.pending.length === answer.length);
  expect(agent.pending.toString('latin1')).toBe(answer);
});

test('captured before delivered: an answer of our own', async () => {
  await using rig = await makeRig();
  const agent = await rig.agent({ pair: null });
  rig.tape.hold();
  agent.write(GET);
  await eventually(() => rig.tape.held === 1);
  await pause(100);
  expect(agent.pending.length).toBe(0);
  rig.tape.release();
  expect((await agent.answer()).start).toBe('HTTP/1.1 403 No client certificate');
});

test('captured before delivered: an agent of HTTP/1.0 gets the end of the connection after the commit', async () => {
  await using rig = await makeRig({
    raw: always('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'),
  });
  const agent = await rig.agent();
  rig.tape.hold();
  agent.write('GET /puppet/v3/status/x HTTP/1.0\r\n\r\n');
  await eventually(() => rig.tape.held === 1);
  await pause(100);
  expect(agent.isEnded).toBe(false);
  rig.tape.release();
  expect(await agent.ended).toBe('end');
});

test('an agent that leaves while its exchange is being committed harms nobody', async () => {
  await using rig = await makeRig({ raw: always(OK) });
  const agent = await rig.agent();
  rig.tape.hold();
  agent.write(GET);
  await eventually(() => rig.tape.held === 1);
  agent.destroy();
  await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  rig.tape.release();
  const next = await rig.agent();
  next.write(GET);
  expect(statusOf(await next.answer())).toBe(200);
  expect(rig.tape.exchanges.map(({ outcome }) => outcome.type)).toEqual(['answered', 'answered']);
});

test('the moments of an exchange are in their order', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      await pause(50);
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
      await pause(50);
      connection.write('ab');
      await pause(50);
      connection.write('cd');
    },
  });
  const agent = await rig.agent();
  agent.write('PUT /puppet/v3/report/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n');
  await pause(50);
  agent.write('ok');
  await agent.answer();
  const { timing, startedAt } = await rig.exchange();
  const moments = [timing.startMono, timing.requestEndMono!, timing.responseHeadMono!, timing.firstByteMono!, timing.endMono];
  expect([...moments].sort((a, b) => a - b)).toEqual(moments);
  for (let i = 1; i < moments.length; i++) expect(moments[i]! - moments[i - 1]!).toBeGreaterThan(5);
  expect(timing.primaryReadyMono).toBeGreaterThan(timing.startMono);
  expect(timing.primaryReadyMono).toBeLessThan(timing.responseHeadMono!);
  expect(Math.abs(Date.now() - startedAt)).toBeLessThan(5000);
});
