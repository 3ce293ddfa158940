import { once } from 'node:events';
import { expect, test } from 'vitest';
import type { Accepted, Script } from '../rig/raw.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

const GET = 'GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n';

/** Reads a request, writes a part of an answer, and goes. */
function cutting(part: string, how: (connection: Accepted) => void): Script {
  return async connection => {
    await connection.request();
    connection.socket.write(part, () => how(connection));
  };
}

/** Ends the TLS connection in an orderly way: close_notify and FIN, as a server that is stopped. */
const politely = (connection: Accepted): void => connection.end();
const rudely = (connection: Accepted): void => connection.destroy();

const PARTS: [name: string, part: string, how: typeof politely][] = [
  ['of a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this', politely],
  ['of a length, without goodbye', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this', rudely],
  ['of chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n', politely],
  ['of chunks, without goodbye', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n', rudely],
  ['within a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this', politely],
  ['before the trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n0\r\n', politely],
];

test.each(PARTS)('a body %s that the primary cuts is a cut body for the agent, never a whole one', async (_, part, how) => {
  await using rig = await makeRig({ raw: cutting(part, how) });
  const agent = await rig.agent();
  agent.write(GET);
  await agent.until('\r\n\r\n');
  await agent.ended;
  const rest = agent.pending.toString();
  expect(rest).toContain('only this');
  expect(rest).not.toMatch(/\r\n0\r\n/);
  const exchange = await rig.exchange();
  expect(exchange.outcome).toMatchObject({ type: 'failed', failure: { reason: 'primary-closed', partial: true } });
  expect(exchange.response).toMatchObject({ status: 200 });
  expect(exchange.responseBytes).toBe(9);
  expect(rig.tape.body(exchange.id, 'response')?.bytes.toString()).toBe('only this');
  const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(row.closed).toMatchObject({ by: 'proxy', cause: 'aborted' });
});

test('an agent of HTTP/1.0, for which the end of the connection ends the body, sees a reset instead of an end', async () => {
  await using rig = await makeRig({ raw: cutting(PARTS[2]![1], politely) });
  const agent = await rig.agent();
  agent.write('GET /puppet/v3/status/x HTTP/1.0\r\n\r\n');
  expect(await agent.ended).toBe('ECONNRESET');
  expect((await rig.exchange()).outcome).toMatchObject({ type: 'failed', failure: { reason: 'primary-closed', partial: true } });
});

test('garbage within the chunks cuts the body', async () => {
  await using rig = await makeRig({
    raw: cutting('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n', () => undefined),
  });
  const agent = await rig.agent();
  agent.write(GET);
  await agent.ended;
  expect((await rig.exchange()).outcome).toMatchObject({ type: 'failed', failure: { reason: 'primary-protocol' } });
});

/** An agent in the middle of an answer of 1 GB, and the primary that sends it. */
async function inTheMiddle(rig: Rig): Promise<Awaited<ReturnType<Rig['agent']>>> {
  const agent = await rig.agent();
  agent.write(GET);
  await agent.until('\r\n\r\n');
  await agent.take(100_000);
  return agent;
}

/** Sends for as long as the other side takes it. */
const endless: Script = async connection => {
  await connection.request();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n');
  const block = Buffer.alloc(64 * 1024, 'x');
  while (!connection.isEnded && !connection.socket.destroyed) {
    if (!connection.socket.write(block))
      await Promise.race([once(connection.socket, 'drain').catch(() => undefined), connection.ended]);
  }
};

test.each(['end', 'destroy', 'reset'] as const)(
  'an agent that goes away (%s) within an answer ends the request upstream too',
  async how => {
    await using rig = await makeRig({ raw: endless });
    const agent = await inTheMiddle(rig);
    if (how === 'reset') agent.destroy();
    else agent[how]();
    await rig.raw.accepted[0]!.ended;
    const exchange = await rig.exchange();
    expect(exchange.outcome).toEqual({ type: 'abandoned' });
    expect(exchange.responseBytes).toBeGreaterThanOrEqual(100_000);
    expect(exchange.responseBytes).toBe(rig.tape.body(exchange.id, 'response')?.size);
    const upstream = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(upstream.closed).toMatchObject({ by: 'proxy' });
  },
);

test('an agent that goes away while the primary thinks ends the request upstream too', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
    },
  });
  const agent = await rig.agent();
  agent.write(GET);
  await eventually(
    () => rig.raw.accepted.length === 1 && rig.tape.connections.some(({ leg, exchanges }) => leg === 'primary' && exchanges >= 0),
  );
  agent.end();
  await rig.raw.accepted[0]!.ended;
  expect(await rig.exchange()).toMatchObject({ outcome: { type: 'abandoned' }, response: null });
});

test('an agent that goes away within its request body: the primary never sees a whole one', async () => {
  let whole = false;
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request().then(
        () => {
          whole = true;
        },
        () => undefined,
      );
    },
  });
  const agent = await rig.agent();
  agent.write('PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\npartial');
  await eventually(() => rig.raw.accepted[0]?.pending.toString() === 'partial');
  agent.destroy();
  await rig.raw.accepted[0]!.ended;
  expect(whole).toBe(false);
  const exchange = await rig.exchange();
  expect(exchange).toMatchObject({ outcome: { type: 'abandoned' }, requestBytes: 7 });
});

test('an answer that comes before the request body is whole reaches the agent', async () => {
  await using rig = await makeRig({
    raw: async connection => {
      await connection.until('\r\n\r\n');
      connection.end('HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!');
    },
  });
  const agent = await rig.agent();
  agent.write('PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n');
  agent.write(Buffer.alloc(1000));
  const answer = await agent.answer();
  expect([statusOf(answer), answer.body.toString()]).toEqual([413, 'no!']);
});

test('after a cut answer the next agent connection works as ever', async () => {
  let first = true;
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      if (first) {
        first = false;
        connection.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut');
      } else connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
  });
  const one = await rig.agent();
  one.write(GET);
  await one.ended;
  const two = await rig.agent();
  two.write(GET);
  expect((await two.answer()).body.toString()).toBe('ok');
});

test('an agent that leaves while it asks for the CA leaves nothing behind: the primary is not waited for', async () => {
  let asked = false;
  await using rig = await makeRig({
    raw: async connection => {
      await connection.request();
      asked = true;
    },
  });
  const agent = await rig.agent();
  agent.write('GET /puppet-ca/v1/certificate/ca HTTP/1.1\r\nHost: x\r\n\r\n');
  await eventually(() => asked);
  agent.destroy();
  expect((await rig.exchange()).outcome).toEqual({ type: 'abandoned' });
  const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
  expect(row.closed).toMatchObject({ by: 'proxy', cause: 'aborted' });
});
