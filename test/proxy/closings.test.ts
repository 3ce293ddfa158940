import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { CloseCause, Connection, ConnectionId, Leg } from '../../src/model.ts';
import type { Presented } from '../../src/proxy/dial.ts';
import { openUpstream, type Upstream, type UpstreamOptions } from '../../src/proxy/upstream.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { type Accepted, type Dialled, dial, startRawPrimary } from '../rig/raw.ts';
import { eventually, makeRig, type Rig, type RigOptions } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { statusOf } from '../rig/wire.ts';

/** Who ends a connection and why, as noted on each leg, provoked by peers that write their bytes by hand. */

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const GET = 'GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: puppet\r\n\r\n';

/** Answers each request with 200. */
async function answering(connection: Accepted): Promise<void> {
  while (!connection.isEnded) {
    await connection.request();
    connection.write(OK);
  }
}

/** A rig whose primary is written by hand. */
async function rigWith(raw: (connection: Accepted) => void | Promise<void>, proxy: RigOptions['proxy'] = {}): Promise<Rig> {
  return makeRig({ raw, proxy });
}

interface Closing {
  by: Leg | 'proxy';
  cause: CloseCause;
  exchanges: number;
}

/** How the only connection of a leg was closed. */
async function closingOf(rig: Rig, leg: Leg): Promise<Closing> {
  const fits = (one: Connection): boolean => one.leg === leg && one.closed !== null;
  const found = await rig.connection(fits, `a closed connection of the ${leg} leg`);
  expect(rig.tape.connections.filter(one => one.leg === leg)).toHaveLength(1);
  return { by: found.closed!.by, cause: found.closed!.cause, exchanges: found.exchanges };
}

/** An agent that can reset its connection. */
async function resettable(rig: Rig): Promise<{ agent: Dialled; reset(): void }> {
  const socket = connect(rig.proxy.address);
  const agent = await rig.agent({ socket });
  return { agent, reset: () => void socket.resetAndDestroy() };
}

const closing = (by: Leg | 'proxy', cause: CloseCause, exchanges: number): Closing => ({ by, cause, exchanges });

describe('on the agent leg', () => {
  test('the agent says goodbye while idle', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent();
    agent.write(GET);
    await agent.answer();
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'end', 1));
  });

  test('an empty probe opens nothing to the primary', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent({ pair: null });
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'end', 0));
    expect(rig.tape.connections.filter(one => one.leg === 'primary')).toEqual([]);
  });

  test('the agent connects and leaves without a handshake', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.plain();
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'end', 0));
  });

  test('the agent asks for it with Connection: close', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent();
    agent.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    expect(statusOf(await agent.answer())).toBe(200);
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'connection-close', 1));
  });

  test('the agent that asked for Connection: close is reset before its answer is complete', async () => {
    await using rig = await rigWith(async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab');
    });
    const { agent, reset } = await resettable(rig);
    agent.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    await agent.until('\r\n\r\n');
    reset();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'reset', 1));
  });

  test('it was idle for longer than the proxy keeps it', async () => {
    await using rig = await rigWith(answering, { agentIdleMs: 100 });
    const agent = await rig.agent();
    agent.write(GET);
    await agent.answer();
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'idle-timeout', 1));
  });

  test.each([
    ['nothing', '', 100],
    ['half a head', 'GET /puppet/v3/node/agent1.example HTTP/1.1\r\nHost: pup', 100],
    ['half a head after a request', `${GET}GET /puppet`, 1000],
  ])('%s comes for longer than a head may take', async (_, sent, headMs) => {
    await using rig = await rigWith(answering, { headMs });
    const agent = await rig.agent();
    agent.write(sent);
    const asked = sent.startsWith(GET) ? 1 : 0;
    if (asked === 1) await agent.answer();
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'idle-timeout', asked));
    expect(rig.tape.connections.find(({ leg }) => leg === 'agent')!.error).toBe(`no whole request head in ${headMs / 1000} s`);
  });

  test('half a head without TLS comes for longer than a head may take', async () => {
    await using rig = await rigWith(answering, { headMs: 100 });
    const agent = await rig.plain();
    agent.write('CONNECT puppet.exa');
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'idle-timeout', 0));
  });

  test.runIf(existsSync('/proc/net/tcp'))(
    'an agent whose host vanishes is noticed: the kernel looks after the connection',
    async () => {
      await using rig = await rigWith(answering);
      await rig.plain();
      await rig.connection(({ leg }) => leg === 'agent');
      const port = rig.proxy.address.port.toString(16).toUpperCase().padStart(4, '0');
      // proc(5): local address, remote address, state 01 (established), queues, timer 02 (keep-alive).
      const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n');
      expect(rows.find(row => new RegExp(`: \\w+:${port} \\S+ 01 `).test(row))).toMatch(/ 01 \S+ 02:/);
    },
  );

  test('the agent reads no further', async () => {
    await using rig = await rigWith(
      async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n');
        connection.write(Buffer.alloc(50_000_000));
      },
      { stalledMs: 2000 },
    );
    const agent = await rig.agent();
    agent.write(GET);
    await agent.until('\r\n\r\n');
    agent.socket.pause();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'idle-timeout', 1));
    expect((await rig.exchange()).outcome).toEqual({ type: 'abandoned' });
    await closingOf(rig, 'primary');
  });

  test('half a body comes, right behind a CSR', async () => {
    await using rig = await rigWith(
      async connection => {
        await connection.request();
        connection.write(OK);
        await connection.until('never');
      },
      { stalledMs: 2000 },
    );
    const agent = await rig.agent();
    agent.write(
      'PUT /puppet-ca/v1/certificate_request/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nno' +
        'POST /puppet/v3/catalog/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na',
    );
    await agent.ended;
    const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row).toMatchObject({ exchanges: 2, closed: { by: 'proxy', cause: 'idle-timeout' } });
  });

  test('half a CSR comes', async () => {
    await using rig = await rigWith(answering, { bodyIdleMs: 100 });
    const agent = await rig.agent();
    agent.write(
      'PUT /puppet-ca/v1/certificate_request/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n-----BEGIN',
    );
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'idle-timeout', 1));
    expect((await rig.exchange()).outcome).toEqual({ type: 'abandoned' });
  });

  test('a body may take longer than a head', async () => {
    await using rig = await rigWith(answering, { headMs: 1000 });
    const agent = await rig.agent();
    agent.write('PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na');
    await pause(1600);
    agent.write('b');
    expect(statusOf(await agent.answer())).toBe(200);
  });

  test('the agent resets it while idle', async () => {
    await using rig = await rigWith(answering);
    const { agent, reset } = await resettable(rig);
    agent.write(GET);
    await agent.answer();
    reset();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'reset', 1));
  });

  test.each(['-tls1_2', '-tls1_3'])('the agent does not like our certificate and says so in an alert (%s)', async version => {
    await using rig = await rigWith(answering);
    const otherCa = join(rig.dir, 'other-ca.pem');
    writeFileSync(otherCa, rig.ca.caPem);
    const { host, port } = rig.proxy.address;
    await new Promise<void>(done => {
      const args = ['s_client', version, '-connect', `${host}:${port}`, '-CAfile', otherCa, '-verify_return_error'];
      execFile('openssl', args, () => done()).stdin?.end();
    });
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'tls-alert', 0));
  });

  test('the agent leaves in the middle of the handshake', async () => {
    await using rig = await rigWith(answering);
    await expect(rig.agent({ caPem: rig.ca.caPem, crlPem: null })).rejects.toThrow();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'end', 0));
  });

  test('the agent speaks HTTP/1.0, where each answer ends the connection', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent();
    agent.write(GET.replace('HTTP/1.1', 'HTTP/1.0'));
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'connection-close', 1));
  });

  test('the agent offers no version that we speak', async () => {
    await using rig = await rigWith(answering);
    await expect(
      dial({
        ...rig.proxy.address,
        serverName: 'puppet.example.com',
        caPem: null,
        minVersion: 'TLSv1.1',
        maxVersion: 'TLSv1.1',
        tls: { ciphers: 'DEFAULT:@SECLEVEL=0' },
      }),
    ).rejects.toThrow();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'tls-failed', 0));
  });

  test('the agent speaks no HTTP', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent();
    agent.write('\x01\x02 not http\r\n\r\n');
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'protocol-error', 0));
  });

  test('the answer of the primary broke off, so the proxy cuts it', async () => {
    await using rig = await rigWith(async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n');
      connection.write('x'.repeat(300_000));
      await eventually(() => connection.socket.writableLength === 0);
      connection.destroy();
    });
    const agent = await rig.agent();
    agent.write(GET);
    await agent.ended;
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'aborted', 1));
  });

  test('mirror: the primary closed the connection that mirrored it', async () => {
    await using rig = await rigWith(
      async connection => {
        await connection.request();
        connection.write(OK);
        setTimeout(() => connection.end(), 50);
      },
      { pool: 'mirror' },
    );
    const agent = await rig.agent();
    agent.write(GET);
    await agent.answer();
    await agent.ended;
    agent.end();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'policy', 1));
    expect(await closingOf(rig, 'primary')).toEqual(closing('primary', 'end', 1));
  });

  test('the proxy ends', async () => {
    await using rig = await rigWith(answering);
    const agent = await rig.agent();
    agent.write(GET);
    await agent.answer();
    await rig.proxy.close();
    expect(await closingOf(rig, 'agent')).toEqual(closing('proxy', 'shutdown', 1));
    expect(await closingOf(rig, 'primary')).toEqual(closing('proxy', 'shutdown', 1));
  });
});

describe('on the primary leg', () => {
  /** One request; then how the primary's connection ended. */
  async function oneRequest(
    raw: (connection: Accepted) => void | Promise<void>,
    proxy: RigOptions['proxy'] = {},
    expected = 200,
  ): Promise<Closing> {
    await using rig = await rigWith(raw, proxy);
    const agent = await rig.agent();
    agent.write(GET);
    if (expected > 0) expect(statusOf(await agent.answer())).toBe(expected);
    else await agent.ended;
    return await closingOf(rig, 'primary');
  }

  test('the primary closes after its idle time', async () => {
    const found = await oneRequest(async connection => {
      await connection.request();
      connection.write(OK);
      setTimeout(() => connection.end(), 100);
    });
    expect(found).toEqual(closing('primary', 'end', 1));
  });

  test('the proxy closes what was idle for too long', async () => {
    expect(await oneRequest(answering, { idleMs: 100 })).toEqual(closing('proxy', 'idle-timeout', 1));
  });

  test('the primary answers with Connection: close', async () => {
    const found = await oneRequest(async connection => {
      await connection.request();
      connection.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
    });
    expect(found).toEqual(closing('primary', 'connection-close', 1));
  });

  test('the primary announces Connection: close, and leaves the connection to us to close', async () => {
    const found = await oneRequest(async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
    });
    expect(found).toEqual(closing('primary', 'connection-close', 1));
  });

  test('the primary ends its answer with the connection (no length)', async () => {
    const found = await oneRequest(async connection => {
      await connection.request();
      connection.end('HTTP/1.1 200 OK\r\n\r\nok');
    });
    expect(found).toEqual(closing('primary', 'end', 1));
  });

  test('the primary resets while idle', async () => {
    const found = await oneRequest(async connection => {
      await connection.request();
      connection.write(OK);
      setTimeout(() => connection.reset(), 50);
    });
    expect(found).toEqual(closing('primary', 'reset', 1));
  });

  test('the primary ends in the middle of an answer', async () => {
    const found = await oneRequest(
      async connection => {
        await connection.request();
        connection.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok');
      },
      {},
      0,
    );
    expect(found).toEqual(closing('primary', 'aborted', 1));
  });

  test('the primary ends in the middle of an answer that said Connection: close', async () => {
    const found = await oneRequest(
      async connection => {
        await connection.request();
        connection.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nok');
      },
      {},
      0,
    );
    expect(found).toEqual(closing('primary', 'aborted', 1));
  });

  test('the primary ends without an answer', async () => {
    const found = await oneRequest(
      async connection => {
        await connection.request();
        connection.end();
      },
      {},
      502,
    );
    expect(found).toEqual(closing('primary', 'aborted', 1));
  });

  test('the primary does not speak HTTP', async () => {
    const found = await oneRequest(
      async connection => {
        await connection.request();
        connection.write('SMTP ready\r\n\r\n');
      },
      {},
      502,
    );
    expect(found).toEqual(closing('proxy', 'protocol-error', 1));
  });

  test('the primary does not answer in time', async () => {
    const found = await oneRequest(
      async connection => {
        await connection.request();
      },
      { answerMs: 300 },
      504,
    );
    expect(found).toEqual(closing('proxy', 'aborted', 1));
  });

  test('the agent gives up in the middle of an answer', async () => {
    await using rig = await rigWith(async connection => {
      await connection.request();
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok');
    });
    const agent = await rig.agent();
    agent.write(GET);
    await agent.until('\r\n\r\n');
    agent.destroy();
    expect(await closingOf(rig, 'primary')).toEqual(closing('proxy', 'aborted', 1));
    expect((await closingOf(rig, 'agent')).by).toBe('agent');
  });

  test('mirror: the agent closed the connection that it mirrored', async () => {
    await using rig = await rigWith(answering, { pool: 'mirror' });
    const agent = await rig.agent();
    agent.write(GET);
    await agent.answer();
    agent.end();
    expect(await closingOf(rig, 'primary')).toEqual(closing('proxy', 'policy', 1));
    expect(await closingOf(rig, 'agent')).toEqual(closing('agent', 'end', 1));
  });
});

describe('the pools of the primary leg', () => {
  const ca = makeDemoCa('puppet.example.com', 'self', 'ec');
  const unused = { onInformation: () => undefined, onReady: () => undefined, onHead: () => undefined, onData: () => true };

  /** One request that ends, one way or the other. */
  async function send(upstream: Upstream, port: number, caPem: string, identity: Presented | null): Promise<void> {
    await new Promise<void>(done => {
      upstream.send(
        {
          ...{ primary: { host: 'localhost', port, caPem: () => caPem }, identity, agentConnection: 1 as ConnectionId },
          ...{ method: 'GET', target: '/', fields: [], body: null, resendable: false },
        },
        { ...unused, onEnd: () => done(), onFailure: () => done() },
      );
    });
  }

  async function presented(name: string): Promise<Presented> {
    const key = await makeKey('ec');
    const certPem = (await ca).issue(name, key.publicKey);
    return { certname: name as Presented['certname'], keyPem: key.pem, certPem, fingerprint: name };
  }

  /** What was noted on the first connection once it is closed. */
  async function firstClosing(
    work: (upstream: Upstream, port: number, caPem: string) => Promise<void>,
    options: Partial<UpstreamOptions> = {},
  ): Promise<Closing> {
    await using primary = await startRawPrimary(await ca);
    primary.script = answering;
    const tape = memoryTape();
    const upstream = openUpstream({ tape, pool: 'pooled', ...options });
    await work(upstream, primary.port, (await ca).caPem);
    const { closed, exchanges } = await eventually(() => tape.connections.find(one => one.id === 1 && one.closed !== null));
    await upstream.close();
    return closing(closed!.by, closed!.cause, exchanges);
  }

  test('the least recently used one makes room', async () => {
    const found = await firstClosing(
      async (upstream, port, caPem) => {
        for (const name of ['a.example', 'b.example']) await send(upstream, port, caPem, await presented(name));
      },
      { maxPools: 1 },
    );
    expect(found).toEqual(closing('proxy', 'policy', 1));
  });

  test('another CA of the primary makes new connections', async () => {
    const found = await firstClosing(async (upstream, port, caPem) => {
      for (const pem of [caPem, `${caPem}\n`]) await send(upstream, port, pem, null);
    });
    expect(found).toEqual(closing('proxy', 'policy', 1));
  });

  test('a primary that does not verify is closed by us', async () => {
    const other = await makeDemoCa('other.example', 'self', 'ec');
    const found = await firstClosing((upstream, port) => send(upstream, port, other.caPem, null));
    expect(found).toEqual(closing('proxy', 'tls-failed', 0));
  });

  test('nobody listens there', async () => {
    const found = await firstClosing((upstream, _port, caPem) => send(upstream, 1, caPem, null));
    expect(found).toEqual(closing('primary', 'reset', 0));
  });

  test('the primary sends an alert', async () => {
    await using primary = await startRawPrimary(await ca, { tls: { rejectUnauthorized: true } });
    primary.script = answering;
    const tape = memoryTape();
    const upstream = openUpstream({ tape, pool: 'pooled' });
    await send(upstream, primary.port, (await ca).caPem, null);
    const { closed } = await eventually(() => tape.connections.find(one => one.closed !== null));
    await upstream.close();
    expect(closed).toMatchObject({ by: 'primary', cause: 'tls-alert' });
  });
});
