import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Certname, ConnectionId } from '../../src/model.ts';
import type { Presented } from '../../src/proxy/dial.ts';
import { openUpstream, type Upstream, type UpstreamOptions } from '../../src/proxy/upstream.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { type Accepted, type Script, startRawPrimary } from '../rig/raw.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { type MemoryTape, memoryTape } from '../rig/tape.ts';
import { type Message, statusOf } from '../rig/wire.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function get(n: number): string {
  return `GET /puppet/v3/status/x?n=${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
}

const answerAll: Script = async connection => {
  while (!connection.isEnded) {
    const { start } = await connection.request();
    connection.write(start.startsWith('HEAD') ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : OK);
  }
};

describe('pooled', () => {
  test('40 requests, one after the other and without a pause, use one primary connection', async () => {
    await using rig = await makeRig({ raw: answerAll });
    const agent = await rig.agent();
    for (let n = 0; n < 40; n++) {
      agent.write(get(n));
      expect(statusOf(await agent.answer())).toBe(200);
    }
    expect(rig.raw.accepted).toHaveLength(1);
    await rig.exchange(40);
    expect(rig.tape.exchanges.map(({ primary }) => primary?.ordinal)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  test('so do 40 with HEADs, bodies and answers without body between them', async () => {
    const asked: Message[] = [];
    await using rig = await makeRig({
      raw: async connection => {
        while (!connection.isEnded) {
          const request = await connection.request();
          asked.push(request);
          if (request.start.startsWith('HEAD')) connection.write('HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n');
          else if (request.start.startsWith('PUT'))
            connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
          else if (asked.length % 5 === 0) connection.write('HTTP/1.1 304 Not Modified\r\n\r\n');
          else connection.write(OK);
        }
      },
    });
    const agent = await rig.agent();
    for (let n = 0; n < 40; n++) {
      const method = ['HEAD', 'PUT', 'GET', 'GET'][n % 4]!;
      const body = method === 'PUT' ? 'Content-Length: 3\r\n\r\nabc' : '\r\n';
      agent.write(`${method} /puppet/v3/file_bucket_file/x HTTP/1.1\r\nHost: x\r\n${body}`);
      await agent.answer(method);
    }
    expect(rig.raw.accepted).toHaveLength(1);
  });

  test('a second agent connection of the same certname goes on with the same primary connection', async () => {
    await using rig = await makeRig({ raw: answerAll });
    for (let n = 0; n < 3; n++) {
      const agent = await rig.agent();
      agent.write(get(n));
      await agent.answer();
      agent.end();
      await agent.ended;
    }
    expect(rig.raw.accepted).toHaveLength(1);
    const uses = rig.tape.exchanges.map(({ agent, primary }) => [agent.ordinal, primary?.ordinal]);
    expect(uses).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
    ]);
  });

  test('requests at the same time use connections of their own', async () => {
    let arrived = 0;
    await using rig = await makeRig({
      raw: async connection => {
        while (!connection.isEnded) {
          await connection.request();
          arrived += 1;
          await eventually(() => arrived >= 3);
          connection.write(OK);
        }
      },
    });
    const agents = await Promise.all([1, 2, 3].map(() => rig.agent()));
    for (const agent of agents) agent.write(get(0));
    await Promise.all(agents.map(agent => agent.answer()));
    expect(rig.raw.accepted).toHaveLength(3);
  });

  test('an idle connection is closed after idleMs, and the row says so', async () => {
    await using rig = await makeRig({ raw: answerAll, proxy: { idleMs: 200 } });
    const agent = await rig.agent();
    agent.write(get(1));
    await agent.answer();
    const began = performance.now();
    await rig.raw.accepted[0]!.ended;
    expect(performance.now() - began).toBeGreaterThan(150);
    const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(row).toMatchObject({ error: null, exchanges: 1, closed: { by: 'proxy', cause: 'idle-timeout' } });
    agent.write(get(2));
    expect(statusOf(await agent.answer())).toBe(200);
    expect(rig.raw.accepted).toHaveLength(2);
    expect((await rig.exchange(2)).resent).toBe(0);
  });

  test('no primary connection before the first request', async () => {
    await using rig = await makeRig({ raw: answerAll });
    const probe = await rig.agent({ pair: null });
    await pause(100);
    probe.end();
    await probe.ended;
    expect(rig.raw.accepted).toHaveLength(0);
    const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row).toMatchObject({ exchanges: 0, error: null, closed: { by: 'agent', cause: 'end' } });
  });

  test('a primary that closes an idle connection is the one that closed it', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write(OK);
        await pause(50);
        connection.end();
      },
    });
    const agent = await rig.agent();
    agent.write(get(1));
    await agent.answer();
    const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'primary', cause: 'end' });
  });
});

/** Answers one request, and takes the next one only to close without a word: as a server whose idle limit just ran out. */
function stale(how: (connection: Accepted) => void): Script {
  return async connection => {
    await connection.request();
    connection.write(OK);
    if (connection.number > 1) return answerAll(connection);
    await connection.until('\r\n\r\n');
    how(connection);
  };
}

const STALE: [string, (connection: Accepted) => void][] = [
  ['ends it', connection => connection.end()],
  ['cuts it', connection => connection.destroy()],
];

describe.each(STALE)('a pooled connection turns out stale: the primary %s', (_, how) => {
  async function primed(rig: Rig): Promise<Awaited<ReturnType<Rig['agent']>>> {
    const agent = await rig.agent();
    agent.write(get(1));
    await agent.answer();
    return agent;
  }

  test('a GET is sent again, once, on another one', async () => {
    await using rig = await makeRig({ raw: stale(how) });
    const agent = await primed(rig);
    agent.write(get(2));
    expect(statusOf(await agent.answer())).toBe(200);
    const exchange = await rig.exchange(2);
    expect(exchange).toMatchObject({ resent: 1, outcome: { type: 'answered' }, primary: { ordinal: 1 } });
    expect(exchange.primary!.connection).not.toBe(rig.tape.exchanges[0]!.primary!.connection);
  });

  test('a catalog request is sent again with its whole body', async () => {
    const bodies: string[] = [];
    await using rig = await makeRig({
      raw: async connection => {
        if (connection.number === 1) {
          await connection.request();
          connection.write(OK);
          bodies.push((await connection.request()).body.toString());
          how(connection);
          return;
        }
        bodies.push((await connection.request()).body.toString());
        connection.write(OK);
      },
    });
    const agent = await primed(rig);
    const facts = `facts=${'x'.repeat(250_000)}&end`;
    agent.write(
      `POST /puppet/v3/catalog/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\nContent-Length: ${facts.length}\r\n\r\n`,
    );
    agent.write(facts);
    expect(statusOf(await agent.answer())).toBe(200);
    expect(bodies).toEqual([facts, facts]);
    const exchange = await rig.exchange(2);
    expect(exchange).toMatchObject({ resent: 1, requestBytes: facts.length });
    expect(rig.tape.body(exchange.id, 'request')?.size).toBe(facts.length);
  });

  test('a body that is too large to be kept is not', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write(OK);
        await connection.until('\r\n\r\n');
        await connection.take(1_500_000);
        how(connection);
      },
    });
    const agent = await primed(rig);
    agent.write('PUT /puppet/v3/file_bucket_file/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n');
    agent.write(Buffer.alloc(3_000_000));
    expect(statusOf(await agent.answer())).toBe(502);
    expect(await rig.exchange(2)).toMatchObject({ resent: 0, outcome: { type: 'failed' } });
    expect(rig.raw.accepted).toHaveLength(1);
  });

  test('a plain POST is not', async () => {
    await using rig = await makeRig({ raw: stale(how) });
    const agent = await primed(rig);
    agent.write('POST /puppet/v3/other HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx');
    expect((await agent.answer()).start).toBe('HTTP/1.1 502 Primary closed the connection');
    expect(await rig.exchange(2)).toMatchObject({ resent: 0, outcome: { failure: { reason: 'primary-closed' } } });
    expect(rig.raw.accepted).toHaveLength(1);
  });

  test('nothing is sent again once a part of an answer has come', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write(OK);
        await connection.request();
        connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly', () => how(connection));
      },
    });
    const agent = await primed(rig);
    agent.write(get(2));
    await agent.until('only');
    await agent.ended;
    expect(await rig.exchange(2)).toMatchObject({ resent: 0, outcome: { failure: { reason: 'primary-closed', partial: true } } });
    expect(rig.raw.accepted).toHaveLength(1);
  });

  test('a second failure is the answer', async () => {
    let accepted = 0;
    await using rig = await makeRig({
      raw: async connection => {
        accepted += 1;
        if (accepted === 1) {
          await connection.request();
          connection.write(OK);
        }
        await connection.until('\r\n\r\n');
        how(connection);
      },
    });
    const agent = await primed(rig);
    agent.write(get(2));
    expect(statusOf(await agent.answer())).toBe(502);
    expect(await rig.exchange(2)).toMatchObject({ resent: 1, outcome: { type: 'failed' } });
    expect(rig.raw.accepted).toHaveLength(2);
  });
});

describe('mirror', () => {
  const mirror = { proxy: { pool: 'mirror' } } as const;

  test('each agent connection has one primary connection of its own, which closes with it', async () => {
    await using rig = await makeRig({ raw: answerAll, ...mirror });
    for (let n = 0; n < 3; n++) {
      const agent = await rig.agent();
      for (let m = 0; m < 3; m++) {
        agent.write(get(m));
        await agent.answer();
      }
      expect(rig.raw.accepted).toHaveLength(n + 1);
      agent.end();
      await rig.raw.accepted[n]!.ended;
    }
    const uses = rig.tape.exchanges.map(({ agent, primary }) => [agent.ordinal, primary!.ordinal]);
    expect(uses).toEqual([1, 2, 3, 1, 2, 3, 1, 2, 3].map(n => [n, n]));
    const row = await rig.connection(({ leg, closed }) => leg === 'primary' && closed !== null);
    expect(row).toMatchObject({ error: null, closed: { by: 'proxy', cause: 'policy' } });
  });

  test('when the primary closes an idle one, so does the proxy', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write(OK);
        await pause(100);
        connection.end();
      },
      ...mirror,
    });
    const agent = await rig.agent();
    agent.write(get(1));
    expect(statusOf(await agent.answer())).toBe(200);
    expect(await agent.ended).toBe('end');
    const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'proxy', cause: 'policy' });
  });

  test('Connection: close of the primary ends the connection of the agent after the answer', async () => {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
      },
      ...mirror,
    });
    const agent = await rig.agent();
    agent.write(get(1));
    const answer = await agent.answer();
    expect(answer.body.toString()).toBe('ok');
    expect(await agent.ended).toBe('end');
  });

  test('two connections of one agent never share', async () => {
    await using rig = await makeRig({ raw: answerAll, ...mirror });
    const [one, two] = [await rig.agent(), await rig.agent()];
    for (const agent of [one, two, one, two]) {
      agent.write(get(1));
      await agent.answer();
    }
    expect(rig.raw.accepted).toHaveLength(2);
  });
});

test('a session is resumed on a new connection of the same certname, and counted as such', async () => {
  await using rig = await makeRig({ primary: { closeEach: true } });
  const agent = await rig.agent();
  for (let n = 0; n < 5; n++) {
    agent.write('GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(statusOf(await agent.answer())).toBe(200);
  }
  const rows = await eventually(() => {
    const closed = rig.tape.connections.filter(({ leg, closed }) => leg === 'primary' && closed !== null);
    return closed.length === 5 && closed;
  });
  expect(rows.map(({ tls }) => tls!.resumed)).toEqual([false, true, true, true, true]);
  expect(rows.every(({ exchanges }) => exchanges === 1)).toBe(true);
});

/** An upstream of its own, asked for one thing as one certname after the other. */
async function withUpstream(
  settings: Partial<UpstreamOptions>,
  act: (
    ask: (name: string) => Promise<unknown>,
    tape: MemoryTape,
    upstream: Upstream,
    retire: (name: string) => void,
  ) => Promise<void>,
): Promise<void> {
  const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
  await using raw = await startRawPrimary(ca);
  raw.script = answerAll;
  const tape = memoryTape();
  const upstream = openUpstream({ tape, pool: 'pooled', ...settings });
  const primary = { host: 'localhost', port: raw.port, caPem: () => ca.caPem };
  const key = await makeKey('ec');
  const identityOf = (name: string): Presented => ({
    certname: name as Certname,
    keyPem: key.pem,
    certPem: ca.issue(name, key.publicKey),
    fingerprint: name,
  });
  const ask = (name: string): Promise<unknown> => {
    return new Promise((resolve, reject) => {
      upstream.send(
        {
          ...{
            primary,
            identity: identityOf(name),
            agentConnection: 1 as ConnectionId,
            method: 'GET',
            target: '/x',
            fields: [['Host', 'x']],
          },
          ...{ body: null, resendable: true },
        },
        {
          onReady: () => undefined,
          onInformation: () => undefined,
          onHead: () => undefined,
          onData: () => true,
          onEnd: resolve,
          onFailure: reject,
        },
      );
    });
  };
  await act(ask, tape, upstream, name => upstream.retire(primary, identityOf(name)));
  await upstream.close();
}

test('of many certnames the pools that were used least recently are closed', () =>
  withUpstream({ maxPools: 2 }, async (ask, tape, upstream) => {
    for (const name of ['one', 'two', 'one', 'three', 'one', 'four']) await ask(name);
    await eventually(() => tape.connections.filter(({ closed }) => closed !== null).length === 2);
    const state = tape.connections.map(({ certname, closed }) => `${certname} ${closed === null ? 'open' : closed.cause}`);
    expect(state).toEqual(['one open', 'two policy', 'three policy', 'four open']);
    await upstream.close();
    expect(tape.connections.every(({ closed }) => closed?.by === 'proxy')).toBe(true);
  }));

test('of a certname that is silent only its session is kept, and resumed when it comes again', () =>
  withUpstream({ idleMs: 20, restMs: 0 }, async (ask, tape) => {
    for (const name of ['one', 'two', 'one', 'two', 'one']) {
      await ask(name);
      await eventually(() => tape.connections.every(({ closed }) => closed !== null));
      await pause(2); // the pool rests
    }
    expect(tape.connections.map(({ certname, tls }) => [certname, tls?.resumed])).toEqual([
      ['one', false],
      ['two', false],
      ['one', true],
      ['two', true],
      ['one', true],
    ]);
    expect(tape.connections.every(({ closed }) => closed?.cause === 'idle-timeout')).toBe(true);
  }));

test('an identity that is retired makes a full handshake, whether its pool is kept or not', () =>
  withUpstream({ idleMs: 20, restMs: 0 }, async (ask, tape, _, retire) => {
    await ask('one');
    retire('one');
    await ask('one');
    await eventually(() => tape.connections.every(({ closed }) => closed !== null));
    await pause(2); // the pool rests
    retire('one');
    await ask('one');
    expect(tape.connections.map(({ tls }) => tls?.resumed)).toEqual([false, false, false]);
  }));
