import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Accepted, Script } from '../rig/raw.ts';
import { eventually, makeRig } from '../rig/rig.ts';
import { fieldIn, type Message, statusOf } from '../rig/wire.ts';

/** Answers the n-th request with the n-th text, on whatever connection, and keeps what was asked. */
function script(answers: readonly string[], asked: Message[] = []): Script {
  const left = [...answers];
  return async connection => {
    while (left.length > 0) {
      asked.push(await connection.request());
      connection.write(left.shift() ?? '');
    }
  };
}

const GET = 'GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n';
const HEAD = 'HEAD /puppet/v3/file_bucket_file/sha256/00//x HTTP/1.1\r\nHost: x\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/**
 * Answers without a body; another request follows. undici does not use a connection again after those with 2: a body may follow
 * that should not be there.
 */
const BODILESS: [name: string, request: string, answer: string, connections: 1 | 2][] = [
  ['HEAD with a length', HEAD, 'HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nX-A: b\r\n\r\n', 1],
  ['HEAD without a length', HEAD, 'HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n', 2],
  [
    'HEAD, chunked, as Jetty answers it',
    HEAD,
    'HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n',
    1,
  ],
  ['HEAD, 304', HEAD, 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 1],
  ['204', GET, 'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n', 1],
  ['304 with a type', GET, 'HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n', 1],
  ['304 with the length of the 200', GET, 'HTTP/1.1 304 Not Modified\r\nContent-Length: 4711\r\n\r\n', 2],
  ['Content-Length: 0', GET, 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n', 1],
];

test.each(BODILESS)('%s: the head as it is, no body, the agent goes on', async (_, request, answer, connections) => {
  await using rig = await makeRig({ raw: script([answer, OK]) });
  const agent = await rig.agent();
  agent.write(request);
  const got = await agent.answer(request.split(' ', 1)[0]);
  expect(got.head).toBe(answer);
  expect(got.body.length).toBe(0);
  agent.write(GET);
  expect((await agent.answer()).head).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
  expect(rig.raw.accepted).toHaveLength(connections);
  const exchange = await rig.exchange();
  expect(exchange).toMatchObject({ outcome: { type: 'answered' }, responseBytes: 0 });
  expect(rig.tape.body(exchange.id, 'response')).toBeNull();
});

test('a chunked answer keeps its field, its data and its trailers', async () => {
  const head = 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n';
  const answer = `${head}5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n`;
  await using rig = await makeRig({ raw: script([answer, OK]) });
  const agent = await rig.agent();
  agent.write(GET);
  const got = await agent.answer();
  expect(got.head).toBe(head);
  expect(got.body.toString()).toBe('hello world');
  expect(got.trailers).toEqual([
    ['X-Sum', '1'],
    ['x-sum', '2'],
  ]);
  expect((await rig.exchange()).trailers).toEqual(got.trailers);
  agent.write(GET);
  expect(statusOf(await agent.answer())).toBe(200);
});

test('an answer without length that ends with the connection becomes a chunked one', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      connection.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end');
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  const got = await agent.answer();
  expect(fieldIn(got, 'transfer-encoding')).toBe('chunked');
  expect(got.body.toString()).toBe('until the end');
  expect((await rig.exchange()).outcome).toEqual({ type: 'answered' });
});

test('Connection: close of the primary ends its connection only', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      connection.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
    },
  });
  const agent = await rig.agent();
  for (let n = 0; n < 3; n++) {
    agent.write(GET);
    expect((await agent.answer()).head).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
  }
  expect(rig.raw.accepted).toHaveLength(3);
  const closed = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
  expect(closed.closed).toMatchObject({ by: 'primary', cause: 'connection-close' });
});

test('103 passes at once, before the answer', async () => {
  let go = (): void => undefined;
  const gate = new Promise<void>(resolve => {
    go = resolve;
  });
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      connection.write('HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n');
      await gate;
      connection.write(OK);
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  const early = await agent.answer();
  expect(statusOf(early)).toBe(103);
  expect(early.fields).toEqual([['Link', '</x>; rel=preload']]);
  go();
  expect(statusOf(await agent.answer())).toBe(200);
});

test('1xx answers that the agent does not read are not kept for it', async () => {
  const hint = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(10_000)}\r\n\r\n`);
  const hints = 4000;
  let isSent = false;
  await using rig = await makeRig({
    raw: async ({ request, tls }) => {
      await request();
      for (let n = 0; n < hints; n++) if (!tls.write(hint)) await once(tls, 'drain');
      tls.write(OK);
      isSent = true;
    },
  });
  const { tls } = await rig.agent();
  tls.removeAllListeners('data').pause();
  tls.write(GET);
  await eventually(() => isSent, 'all was read', 20_000);
  let came = 0;
  let tail = '';
  tls
    .on('data', (chunk: Buffer) => {
      came += chunk.length;
      tail = (tail + chunk.toString('latin1')).slice(-OK.length);
    })
    .resume();
  await eventually(() => tail === OK, 'the answer');
  // What the kernel's buffers of both sockets hold came nevertheless.
  expect(came).toBeLessThan((hints * hint.length) / 2);
});

// What some load balancers do. undici alone takes it for a fault.
test.each([
  ['alone', 'HTTP/1.1 100 Continue\r\n\r\n', [100]],
  ['with fields, after a 103', 'HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 100 Continue\r\nX-B: 100\r\n\r\n', [103, 100]],
  ['twice', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 \r\n\r\n', [100, 100]],
])('an unasked 100 of the primary passes: %s', async (_, interim, statuses) => {
  await using rig = await makeRig({ raw: script([`${interim}${OK}`, `${interim}${OK}`, OK]) });
  const agent = await rig.agent();
  for (const expected of [[...statuses, 200], [...statuses, 200], [200]]) {
    agent.write(GET);
    for (const status of expected) expect(statusOf(await agent.answer())).toBe(status);
  }
  expect(rig.tape.exchanges.map(({ outcome, response }) => [outcome.type, response?.status])).toEqual([
    ['answered', 200],
    ['answered', 200],
    ['answered', 200],
  ]);
  expect(rig.tape.connections.filter(({ leg }) => leg === 'primary')).toHaveLength(1);
});

test('an unasked 100 of the primary passes in pieces of one byte', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      for (const byte of `HTTP/1.1 100 Continue\r\n\r\n${OK}`) {
        connection.write(byte);
        await new Promise(resolve => setTimeout(resolve, 1));
      }
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  expect([statusOf(await agent.answer()), statusOf(await agent.answer())]).toEqual([100, 200]);
});

test('Expect: 100-continue is answered by the proxy, and the body goes up', async () => {
  const asked: Message[] = [];
  await using rig = await makeRig({ raw: script([`HTTP/1.1 100 Continue\r\n\r\n${OK}`], asked) });
  const agent = await rig.agent();
  agent.write('PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
  expect((await agent.answer()).head).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  agent.write('body');
  expect(statusOf(await agent.answer())).toBe(200);
  expect(asked[0]!.body.toString()).toBe('body');
  expect(fieldIn(asked[0]!, 'expect')).toBeNull();
});

test('trailers of a request end with the agent leg, and so does their announcement', async () => {
  const asked: Message[] = [];
  await using rig = await makeRig({ raw: script([OK], asked) });
  const agent = await rig.agent();
  agent.write(
    'PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n',
  );
  expect(statusOf(await agent.answer())).toBe(200);
  expect([asked[0]!.body.toString(), fieldIn(asked[0]!, 'trailer'), asked[0]!.trailers]).toEqual(['body', null, []]);
  expect((await rig.exchange()).request.fields).toContainEqual(['Trailer', 'X-Sum']);
});

test.each([
  ['to an agent of HTTP/1.0', '1.0', 'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n'],
  ['with a length', '1.1', 'Content-Length: 2\r\n\r\nok'],
])('an answer that announces trailers %s comes without them', async (_, version, rest) => {
  await using rig = await makeRig({ raw: script([`HTTP/1.1 200 OK\r\nTrailer: X-T\r\n${rest}`]) });
  const agent = await rig.agent();
  agent.write(`GET /puppet/v3/status/x HTTP/${version}\r\nHost: x\r\n\r\n`);
  const answer = await agent.answer();
  expect([statusOf(answer), answer.body.toString(), fieldIn(answer, 'trailer')]).toEqual([200, 'ok', null]);
});

test('an agent that asks for more and more without waiting is cut off', async () => {
  await using rig = await makeRig({ raw: () => undefined });
  const agent = await rig.agent();
  agent.write(GET.repeat(1000));
  await agent.ended;
  const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(row).toMatchObject({ error: 'more than 32 requests at once', exchanges: 32, closed: { by: 'proxy', cause: 'policy' } });
  await eventually(() => rig.tape.exchanges.length === 32);
  expect(new Set(rig.tape.exchanges.map(({ outcome }) => outcome.type))).toEqual(new Set(['abandoned']));
});

test('pipelined requests are answered in their order', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      while (!connection.isEnded) {
        const { start } = await connection.request();
        const n = /n=(\d)/.exec(start)![1]!;
        await pause(n === '1' ? 100 : 0); // the first answer comes last
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-N: ${n}\r\n\r\n${n}`);
      }
    },
  });
  const agent = await rig.agent();
  agent.write(['1', '2', '3'].map(n => `GET /puppet/v3/status/x?n=${n} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  for (const n of ['1', '2', '3']) {
    const answer = await agent.answer();
    expect([fieldIn(answer, 'x-n'), answer.body.toString()]).toEqual([n, n]);
  }
  await rig.exchange(3);
  expect(rig.tape.exchanges.map(({ agent: use }) => use.ordinal).sort()).toEqual([1, 2, 3]);
});

describe('an agent that speaks HTTP/1.0', () => {
  const OLD = 'GET /puppet/v3/status/x HTTP/1.0\r\n\r\n';

  test('gets a body with its length, then the end', async () => {
    const asked: Message[] = [];
    await using rig = await makeRig({ raw: script([OK], asked) });
    const agent = await rig.agent();
    agent.write(OLD);
    const text = (await agent.rest()).toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Length: 2\r\n(Connection: close\r\n)?\r\nok$/);
    expect(asked[0]!.start).toBe('GET /puppet/v3/status/x HTTP/1.1');
    expect(fieldIn(asked[0]!, 'host')).toBe(`localhost:${rig.origin.port}`);
    expect((await rig.exchange()).request.httpVersion).toBe('1.0');
  });

  test('gets no chunks: the end of the connection ends the body', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n';
    await using rig = await makeRig({ raw: script([answer]) });
    const agent = await rig.agent();
    agent.write(OLD);
    const text = (await agent.rest()).toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n(Connection: close\r\n)?\r\nhello$/);
    expect((await rig.exchange()).outcome).toEqual({ type: 'answered' });
  });

  test('may keep its connection, and gets no 1xx', async () => {
    await using rig = await makeRig({ raw: script([`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`, OK]) });
    const agent = await rig.agent();
    for (let n = 0; n < 2; n++) {
      agent.write('GET /puppet/v3/status/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      const answer = await agent.answer();
      expect([statusOf(answer), fieldIn(answer, 'connection')?.toLowerCase()]).toEqual([200, 'keep-alive']);
    }
    expect(rig.tape.connections.filter(({ leg }) => leg === 'agent')).toHaveLength(1);
  });
});

test('an agent that says Connection: close gets the end after the answer', async () => {
  await using rig = await makeRig({ raw: script([OK]) });
  const agent = await rig.agent();
  agent.write('GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const text = (await agent.rest()).toString();
  expect(text).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
  const agentLeg = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(agentLeg.closed).toMatchObject({ by: 'agent', cause: 'connection-close' });
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('nothing is sent after an answer has ended, with %s', async version => {
  await using rig = await makeRig({ raw: script([OK, OK]) });
  const agent = await rig.agent({ minVersion: version, maxVersion: version });
  const wire = agent.tls;
  agent.write(GET);
  await agent.answer();
  const { bytesRead } = wire;
  await pause(700);
  expect(wire.bytesRead).toBe(bytesRead);
  agent.write(GET);
  expect(statusOf(await agent.answer())).toBe(200);
});

test('the head of a slow answer leaves before its body', async () => {
  let go = (): void => undefined;
  const gate = new Promise<void>(resolve => {
    go = resolve;
  });
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n');
      await gate;
      connection.write('0123456789');
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  expect(await agent.until('\r\n\r\n')).toBe('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n');
  go();
  expect((await agent.take(10)).toString()).toBe('0123456789');
});

test('what has come of a body leaves without waiting for more', async () => {
  let step = (): void => undefined;
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
      await new Promise<void>(resolve => {
        step = resolve;
      });
      connection.write('6\r\nsecond\r\n0\r\n\r\n');
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  await agent.until('first');
  step();
  await agent.until('second');
});

test('what is no HTTP gets a 400 and leaves a row with the reason', async () => {
  await using rig = await makeRig({ raw: script([]) });
  const agent = await rig.agent();
  agent.write('this is no request\r\n\r\n');
  expect((await agent.answer()).start).toBe('HTTP/1.1 400 Bad Request');
  const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(row.error).toMatch(/HPE_/);
  expect(row.closed).toMatchObject({ by: 'proxy', cause: 'protocol-error' });
  const big = await rig.agent();
  big.write(`GET /x HTTP/1.1\r\nHost: x\r\nX-Big: ${'x'.repeat(70_000)}\r\n\r\n`);
  expect((await big.answer()).start).toBe('HTTP/1.1 431 Request Header Fields Too Large');
  await eventually(() => rig.tape.connections.some(({ error }) => error?.includes('HPE_HEADER_OVERFLOW')));
});

/** A primary that answers in two halves; the second waits for `go`. */
function inHalves(): { raw(connection: Accepted): Promise<void>; go(): void } {
  let go = (): void => undefined;
  const gone = new Promise<void>(resolve => {
    go = resolve;
  });
  return {
    async raw(connection) {
      await connection.until('\r\n\r\n');
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst');
      await gone;
      connection.write('other');
    },
    go: () => go(),
  };
}

test('what is no HTTP behind a request leaves the answer to that request as it is', async () => {
  const { raw, go } = inHalves();
  await using rig = await makeRig({ raw });
  const agent = await rig.agent();
  agent.write(`${GET}this is no request\r\n\r\n`);
  await agent.until('first');
  go();
  expect((await agent.rest()).toString()).toBe('other');
  const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(row.closed).toMatchObject({ by: 'proxy', cause: 'protocol-error' });
});

test('a request body that is no HTTP breaks off the answer that has begun', async () => {
  const { raw } = inHalves();
  await using rig = await makeRig({ raw });
  const agent = await rig.agent();
  agent.write('POST /puppet/v3/catalog/agent1.example HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
  await agent.until('first');
  agent.write('no chunk\r\n');
  expect((await agent.rest()).toString()).toBe('');
});

const SMUGGLED: [string, string][] = [
  ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
  ['a length that is no number', 'Content-Length: +3\r\n\r\nabc'],
  ['chunked, then something', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
  ['a folded field', 'X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n'],
  ['a blank before the colon', 'Content-Length : 3\r\n\r\nabc'],
];

test.each(SMUGGLED)('a request with %s goes no further', async (_, rest) => {
  const asked: Message[] = [];
  await using rig = await makeRig({ raw: script([OK, OK], asked) });
  const agent = await rig.agent();
  agent.write(`POST /puppet/v3/catalog/agent1.example HTTP/1.1\r\nHost: x\r\n${rest}${GET}`);
  expect((await agent.answer()).start).toBe('HTTP/1.1 400 Bad Request');
  await agent.ended;
  expect(asked).toEqual([]);
});
