import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openConnection } from '../../src/proxy/tracking.ts';
import { parseAuthority, tunnel, turns } from '../../src/proxy/tunnel.ts';
import { dial } from '../rig/raw.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { statusOf, type Wire } from '../rig/wire.ts';

const NODE = 'GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\n\r\n';

/** An address of this machine that is not loopback: to the proxy it is a place like any other. */
const outside = Object.values(networkInterfaces())
  .flatMap(list => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

/** Listens on all addresses; the port. */
async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>(resolve => server.listen(0, '0.0.0.0', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  return bound !== null && typeof bound === 'object' ? bound.port : 0;
}

async function connect(rig: Rig, target: string): Promise<{ wire: Wire; status: string }> {
  const wire = await rig.plain();
  wire.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  return { wire, status: (await wire.until('\r\n\r\n')).split('\r\n')[0]! };
}

/** TLS through a tunnel to the primary's name. */
async function inTunnel(rig: Rig, target: string, serverName = 'puppet.example.com') {
  return rig.agent({ socket: await rig.tunnel(target), serverName });
}

describe('CONNECT to the primary', () => {
  test.each(['localhost', 'LOCALHOST', 'puppet.example.com'])('by the name %s is read', async name => {
    await using rig = await makeRig();
    const target = `${name}:${rig.origin.port}`;
    const agent = await inTunnel(rig, target, name.toLowerCase());
    agent.write(NODE);
    expect(statusOf(await agent.answer())).toBe(200);
    const row = rig.tape.connections.find(({ leg }) => leg === 'agent')!;
    expect(row).toMatchObject({ via: 'connect', target, certname: 'agent1.example', tls: { serverName: name.toLowerCase() } });
    expect(rig.primary.seen.at(-1)).toMatchObject({ certname: 'agent1.example', status: 200 });
  });

  test('by a TLS greeting that comes together with it', async () => {
    await using rig = await makeRig();
    const wire = await rig.plain();
    const { socket } = wire;
    socket.removeAllListeners('data');
    // What the proxy answers to CONNECT comes before the TLS bytes: taken off before OpenSSL sees them.
    let greeting = Buffer.alloc(0);
    const { Duplex } = await import('node:stream');
    let answered = false;
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        if (greeting.length === 0) {
          greeting = Buffer.concat([Buffer.from(`CONNECT localhost:${rig.origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`), chunk]);
          socket.write(greeting);
        } else socket.write(chunk);
        done();
      },
    });
    let head = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      if (answered) {
        stream.push(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      answered = true;
      if (head.length > end + 4) stream.push(head.subarray(end + 4));
    });
    const agent = await dial({
      ...rig.proxy.address,
      socket: stream as unknown as Socket,
      serverName: 'localhost',
      caPem: rig.proxy.trust.bundle().pem,
      pair: rig.pair('agent1.example'),
    });
    agent.write(NODE);
    expect(statusOf(await agent.answer())).toBe(200);
  });

  test('another port of the same host is another place', async () => {
    await using rig = await makeRig();
    const { status } = await connect(rig, `localhost:${rig.origin.port + 1}`);
    expect(status).toBe('HTTP/1.1 403 Not tunnelled to a local address');
  });

  test('plain HTTP in the tunnel is not served', async () => {
    await using rig = await makeRig();
    const { wire } = await connect(rig, `localhost:${rig.origin.port}`);
    wire.write(NODE);
    expect((await wire.answer()).start).toBe('HTTP/1.1 400 Bad Request');
    expect(rig.primary.seen).toHaveLength(2);
  });

  test('CONNECT within the tunnel goes nowhere', async () => {
    await using rig = await makeRig();
    const agent = await inTunnel(rig, `localhost:${rig.origin.port}`, 'localhost');
    agent.write('CONNECT other.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n');
    await agent.ended;
    const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'proxy' });
  });
});

describe.runIf(outside)('CONNECT to another host', () => {
  test('is tunnelled unread, and counted', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    await using rig = await makeRig();
    const port = await listening(
      createServer(socket => socket.on('data', data => socket.write(Buffer.concat([Buffer.from('> '), data])))),
    );
    const { wire, status } = await connect(rig, `${outside}:${port}`);
    expect(status).toBe('HTTP/1.1 200 Connection established');
    wire.write('anything\0at all');
    await wire.until('> anything\0at all');
    wire.end();
    await wire.ended;
    const row = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row).toMatchObject({
      via: 'blind',
      target: `${outside}:${port}`,
      tls: null,
      certname: null,
      exchanges: 0,
      closed: { by: 'agent', cause: 'end' },
    });
    expect(warnings).toEqual([]);
    expect(row.bytesRead).toBeGreaterThan('anything at all'.length);
    expect(row.bytesWritten).toBeGreaterThan('> anything at all'.length);
    expect(rig.tape.exchanges).toEqual([]);
  });

  test('whose agent ended its side before the other host was there ends, too', async () => {
    let near: Socket | null = null;
    const agentPort = await listening(
      createServer(socket => {
        near = socket;
      }),
    );
    const theirs = connectTcp(agentPort, outside);
    onTestFinished(() => void theirs.destroy());
    theirs.pause(); // sees no end, and does not end itself
    const ours = await eventually<Socket>(() => near);
    let far: Socket | null = null;
    const port = await listening(
      createServer(socket => {
        far = socket;
        socket.resume();
      }),
    );
    const record = openConnection(memoryTape(), { leg: 'agent', via: 'plain', peer: '', target: null, certname: null });
    const agent = {
      record,
      ending: { note: () => undefined },
      closeWhenIdle() {},
      hangUp() {},
      cut() {},
      certificatePem: () => null,
    };
    ours.end(); // as Node does when the agent has
    await tunnel(agent, { host: outside!, port }, ours, Buffer.alloc(0), false);
    await eventually(() => far?.destroyed && ours.destroyed);
  });

  test('what comes together with the CONNECT is not lost', async () => {
    await using rig = await makeRig();
    const port = await listening(createServer(socket => socket.pipe(socket)));
    const wire = await rig.plain();
    wire.write(`CONNECT ${outside}:${port} HTTP/1.1\r\nHost: x\r\n\r\nearly`);
    await wire.until('\r\n\r\n');
    await wire.until('early');
  });

  test('ends when the other host ends', async () => {
    await using rig = await makeRig();
    const port = await listening(createServer(socket => socket.end('bye')));
    const { wire } = await connect(rig, `${outside}:${port}`);
    await wire.until('bye');
    expect(await wire.ended).toBe('end');
    const row = await rig.connection(({ closed }) => closed !== null);
    expect(row.closed).toMatchObject({ by: 'primary', cause: 'end' });
  });

  test('that nobody listens on is a 502 with a reason phrase', async () => {
    await using rig = await makeRig();
    const server = createServer();
    const port = await listening(server);
    await new Promise(resolve => server.close(resolve));
    const { status } = await connect(rig, `${outside}:${port}`);
    expect(status).toBe(`HTTP/1.1 502 Cannot connect to ${outside}`);
    const row = await rig.connection(({ closed }) => closed !== null);
    expect(row.error).toMatch(/ECONNREFUSED/);
  });

  test('is refused with connectOnlyPrimary', async () => {
    let reached = 0;
    const port = await listening(
      createServer(() => {
        reached += 1;
      }),
    );
    await using rig = await makeRig({ proxy: { connectOnlyPrimary: true } });
    const { status } = await connect(rig, `${outside}:${port}`);
    expect(status).toBe('HTTP/1.1 403 Only the primary may be reached');
    const row = await rig.connection(({ closed }) => closed !== null);
    expect(row).toMatchObject({ error: 'not the primary', closed: { by: 'proxy', cause: 'policy' } });
    const agent = await inTunnel(rig, `localhost:${rig.origin.port}`, 'localhost');
    agent.write(NODE);
    expect(statusOf(await agent.answer())).toBe(200);
    expect(reached).toBe(0);
  });

  test("on the primary's port: the operator is told how to read it", async () => {
    await using rig = await makeRig();
    const { wire } = await connect(rig, `${outside}:${rig.origin.port}`);
    wire.destroy();
    expect(rig.notices.some(line => line.includes(`--name ${outside}`))).toBe(true);
  });
});

test('a name that nobody knows is a 502 with a reason phrase', async () => {
  await using rig = await makeRig();
  const { status } = await connect(rig, 'nowhere.invalid:443');
  expect(status).toBe('HTTP/1.1 502 Cannot resolve nowhere.invalid');
});

const LOCAL = [
  '127.0.0.1',
  '127.8.9.10',
  'localhost',
  '0.0.0.0',
  '0',
  '2130706433',
  '0x7f.1',
  '169.254.169.254',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::127.0.0.1]',
  '[fe80::1]',
];

test.each(LOCAL)('CONNECT to %s does not open what is local to the proxy', async host => {
  await using rig = await makeRig();
  const { status } = await connect(rig, `${host}:22`);
  expect(status).toMatch(/^HTTP\/1\.1 (403 Not tunnelled to a local address|502 Cannot resolve .*)$/);
  const row = await rig.connection(({ closed }) => closed !== null);
  expect(row).toMatchObject({ via: 'blind' });
  expect(row.error).not.toBeNull();
});

test('with connectLocal services of this machine are reached, by CONNECT and in plain HTTP', async () => {
  await using rig = await makeRig({ proxy: { connectLocal: true } });
  const port = await listening(
    createServer(socket => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere'))),
  );
  const { wire, status } = await connect(rig, `127.0.0.1:${port}`);
  expect(status).toMatch(/^HTTP\/1.1 200 /);
  wire.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect((await wire.answer()).body.toString()).toBe('here');
  const plain = await rig.plain();
  plain.write(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect((await plain.answer()).body.toString()).toBe('here');
});

test.each([
  'puppet.example.com',
  'puppet.example.com:0',
  'puppet.example.com:65536',
  '/path',
  'a b:443',
  'user@host:443',
  ':443',
  '[::1:443',
])('CONNECT %s is no place', async target => {
  await using rig = await makeRig();
  const { status } = await connect(rig, target);
  expect(status).toMatch(/^HTTP\/1\.1 400 /);
});

test.each([
  ['CONNECT 127.0.0.1:22', 403, 'policy'],
  ['CONNECT nothing', 400, 'policy'],
  ['garbage', 400, 'protocol-error'],
])('%j is answered, and closed though the agent goes on sending and never ends', async (start, status, cause) => {
  await using rig = await makeRig();
  const socket = connectTcp({ ...rig.proxy.address, allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined); // reset in the end
  socket.write(`${start} HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(1_000_000)}`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  const row = await rig.connection(({ closed }) => closed !== null);
  expect(row.closed).toMatchObject({ by: 'proxy', cause });
  expect(row.error).not.toBeNull();
});

test.each([
  ['puppet.example.com:8140', { host: 'puppet.example.com', port: 8140 }],
  ['PUPPET:1', { host: 'puppet', port: 1 }],
  ['[2001:DB8::1]:443', { host: '2001:db8::1', port: 443 }],
  ['192.0.2.1:65535', { host: '192.0.2.1', port: 65535 }],
  ['2001:db8::1:443', null],
  ['host:', null],
  ['host:1e3', null],
])('the target %s reads as %o', (target, place) => {
  expect(parseAuthority(target)).toEqual(place);
});

describe('plain HTTP', () => {
  test.runIf(outside)('in absolute form is forwarded unread, and counted', async () => {
    await using rig = await makeRig();
    const asked: IncomingMessage[] = [];
    const port = await listening(
      createHttpServer((request, response) => {
        asked.push(request);
        response.end('a file');
      }),
    );
    const wire = await rig.plain();
    wire.write(
      `GET http://${outside}:${port}/a%20b?c=d HTTP/1.1\r\nHost: ${outside}:${port}\r\nProxy-Authorization: Basic x\r\nX-A: b\r\n\r\n`,
    );
    const answer = await wire.answer();
    expect([statusOf(answer), answer.body.toString()]).toEqual([200, 'a file']);
    expect(asked[0]!.url).toBe('/a%20b?c=d');
    expect(asked[0]!.headers).toMatchObject({ 'x-a': 'b', host: `${outside}:${port}` });
    expect(asked[0]!.headers['proxy-authorization']).toBeUndefined();
    wire.end();
    const row = await rig.connection(({ closed }) => closed !== null);
    expect(row).toMatchObject({ via: 'blind', target: `${outside}:${port}` });
    expect(rig.tape.exchanges).toEqual([]);
  });

  test.runIf(outside).each(['200 a\x01b', '099 Early'])(
    'answered with the status line %j is a 502, and the row says why',
    async line => {
      await using rig = await makeRig();
      const port = await listening(
        createServer(socket => socket.once('data', () => socket.end(`HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nok`))),
      );
      const wire = await rig.plain();
      wire.write(`GET http://${outside}:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      const answer = await wire.answer();
      expect([statusOf(answer), answer.body.toString()]).toEqual([502, expect.stringContaining('is not valid HTTP')]);
      wire.end();
      const row = await rig.connection(({ closed }) => closed !== null);
      expect(row.error).toMatch(/is not valid HTTP/);
    },
  );

  test.runIf(outside)('goes on without what is for the proxy alone, to the host that the target names', async () => {
    await using rig = await makeRig();
    const heads: string[] = [];
    const port = await listening(
      createServer(socket => {
        let got = '';
        socket.on('data', data => {
          got += data.toString('latin1');
          if (!got.endsWith('0\r\n\r\n')) return;
          heads.push(got);
          socket.end('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=9\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\n\r\nok');
        });
      }),
    );
    const wire = await rig.plain();
    wire.write(
      `GET http://${outside}:${port}/ HTTP/1.1\r\nHost: other\r\nConnection: Upgrade, X-Mine\r\nUpgrade: x\r\nX-Mine: 1\r\nX-Client-Verify: SUCCESS\r\nX-A: 1\r\nX-A: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    );
    const answer = await wire.answer();
    expect([statusOf(answer), answer.body.toString()]).toEqual([200, 'ok']);
    expect(answer.fields.map(([name]) => name.toLowerCase())).toEqual(expect.arrayContaining(['x-kept']));
    expect(answer.head).not.toMatch(/x-hop|timeout=9/i);
    expect(heads[0]).toMatch(new RegExp(`\r\nHost: ${outside}:${port}\r\n`));
    expect(heads[0]).toMatch(/\r\nX-A: 1\r\nX-A: 2\r\n/);
    expect(heads[0]).toMatch(/\r\n\r\n2\r\nhi\r\n0\r\n\r\n$/);
    expect(heads[0]).not.toMatch(/upgrade|x-mine|x-client|other/i);
  });

  test.runIf(outside).each([
    ['switches protocols', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['leaves', ''],
  ])('to a host that %s unasked is a 502', async (_, line) => {
    await using rig = await makeRig();
    const port = await listening(createServer(socket => socket.once('data', () => socket.end(line))));
    const wire = await rig.plain();
    wire.write(`GET http://${outside}:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(statusOf(await wire.answer())).toBe(502);
  });

  test.each([
    ['http://127.0.0.1:22/', 403],
    ['http://localhost/', 403],
    ['http://[::1]:8140/x', 403],
    ['https://puppet.example.com:8140/puppet/v3/x', 400],
    ['/puppet/v3/node/agent1.example', 400],
    ['ftp://example.com/', 400],
    ['http://', 400],
  ])('%s is refused with %i', async (target, status) => {
    await using rig = await makeRig();
    const wire = await rig.plain();
    wire.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await wire.answer();
    expect(statusOf(answer)).toBe(status);
    expect(answer.body.toString()).toMatch(/^stringtap: /);
    wire.end();
    const row = await rig.connection(({ closed }) => closed !== null);
    expect(row.error).not.toBeNull();
    expect(rig.primary.seen).toHaveLength(2);
  });
});

test('names are looked up so many at a time; more wait, and too many are refused', async () => {
  const inTurn = turns(2, 3);
  const ends: (() => void)[] = [];
  let running = 0;
  const task = async (): Promise<void> => {
    running += 1;
    await new Promise<void>(resolve => ends.push(resolve));
    running -= 1;
  };
  const all = [1, 2, 3, 4, 5].map(() => inTurn(task));
  await expect(inTurn(task)).rejects.toThrow('too many at once');
  for (let n = 0; n < 5; n++) {
    await eventually(() => ends.length > n);
    expect(running).toBe(Math.min(2, 5 - n));
    ends[n]!();
    await all[n];
  }
  const failing = Promise.reject(new Error('no such name'));
  await expect(inTurn(() => failing)).rejects.toThrow('no such name');
  const last = inTurn(task);
  await eventually(() => ends.length === 6);
  ends[5]!();
  await last;
});
