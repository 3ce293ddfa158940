import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Script } from '../rig/raw.ts';
import { makeRig, type Rig } from '../rig/rig.ts';
import { fieldIn, type Message, statusOf } from '../rig/wire.ts';

/** Answers every request on a connection with the same bytes, and keeps what was asked. */
function answering(answer: string | Buffer, asked: Message[] = []): Script {
  return async connection => {
    while (!connection.isEnded) {
      asked.push(await connection.request());
      connection.write(Buffer.from(answer as string, 'latin1'));
    }
  };
}

const NO_CONTENT = 'HTTP/1.1 204 No Content\r\nX-Puppet-Version: 7.23.0\r\n\r\n';

/** Sends bytes as one agent and gives what the primary got and what the agent got. */
async function relayed(rig: Rig, request: string, asked: Message[], method = 'GET'): Promise<[Message, Message]> {
  const agent = await rig.agent();
  agent.write(Buffer.from(request, 'latin1'));
  const answer = await agent.answer(method);
  agent.end();
  return [asked.at(-1)!, answer];
}

/** What undici writes by itself: Host first, Connection, Content-Length last, all in lower case. */
function ownFields({ fields }: Message): [string, string][] {
  return fields.filter(([name]) => /^(host|connection|content-length)$/i.test(name));
}

function others({ fields }: Message): [string, string][] {
  return fields.filter(([name]) => !/^(host|connection|content-length)$/i.test(name));
}

const TARGETS = [
  '/puppet/v3/file_content/site_files/tree/a%20b+c&d.txt?environment=production',
  '/puppet/v3/file_bucket_file/sha256/01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b//etc/motd?environment=production',
  '/puppet/v3/file_metadatas/plugins?recurse=true&ignore=.svn&ignore=CVS&ignore=.git&ignore=.hg&environment=production',
  '/puppet/v3/file_content/modules/x/%c3%a9%2F%00?a=b?c#frag',
  '/puppet/v3/file_content/a/../b/./c//d;e=f?x=%zz&y=[1]|{2}^~"<>\\`',
  '//double/leading?',
  `/puppet/v3/file_content/${'long/'.repeat(2000)}end`,
];

test.each(TARGETS.map(target => [target.slice(0, 100), target]))(
  'the target %s reaches the primary as it is',
  async (_, target) => {
    const asked: Message[] = [];
    await using rig = await makeRig({ raw: answering(NO_CONTENT, asked) });
    const [request] = await relayed(rig, `GET ${target} HTTP/1.1\r\nHost: puppet.example.com:8140\r\n\r\n`, asked);
    expect(request.start).toBe(`GET ${target} HTTP/1.1`);
    expect((await rig.exchange()).request.target).toBe(target);
  },
);

test('request fields arrive in their order, case and number, less the hop-by-hop ones and X-Client-*; Host is that of the primary', async () => {
  const asked: Message[] = [];
  await using rig = await makeRig({ raw: answering(NO_CONTENT, asked) });
  const kept = [
    'X-Puppet-Version: 7.23.0',
    'User-Agent: Puppet/7.23.0 Ruby/3.1.7-p261 (x86_64-linux-gnu)',
    'ACCEPT: application/json',
    'X-Twice: one',
    'Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3',
    'x-twice: two',
    'X-Twice: one',
    'X-Empty: ',
    "x_!#$%&'*+.^`|~09: token",
    'X-Latin: caf\xe9 \xff',
    'Cookie: a=b; c=d',
    'Authorization: Basic Zm9vOmJhcg==',
    'Via: 1.1 elsewhere',
  ];
  const dropped = [
    'Connection: keep-alive, X-Named, Upgrade',
    'Upgrade: websocket',
    'X-Named: by Connection',
    'Keep-Alive: timeout=5',
    'Proxy-Connection: keep-alive',
    'Proxy-Authorization: Basic c2VjcmV0',
    'TE: trailers',
    'X-Client-Verify: SUCCESS',
    'x-client-dn: CN=other.example',
    'X-CLIENT-CERT: none',
  ];
  const lines = kept.flatMap((line, i) => (dropped[i] === undefined ? [line] : [dropped[i], line]));
  const text = ['GET /puppet/v3/node/agent1.example HTTP/1.1', ...lines, 'Host: puppet.example.com:8140', '', ''].join('\r\n');
  const [request] = await relayed(rig, text, asked);
  expect(others(request).map(([name, value]) => `${name}: ${value}`)).toEqual(kept);
  expect(ownFields(request)).toEqual([
    ['host', `localhost:${rig.origin.port}`],
    ['connection', 'keep-alive'],
  ]);
  // The capture has them as the agent sent them.
  const { fields } = (await rig.exchange()).request;
  expect(fields.map(([name, value]) => `${name}: ${value}`)).toEqual([...lines, 'Host: puppet.example.com:8140']);
});

test('an answer arrives byte for byte: status line, order, case, duplicates, odd values; nothing is added', async () => {
  const head = [
    'HTTP/1.1 200 Fine by me',
    'date: Thu, 02 May 2024 10:15:00 GMT',
    'X-Puppet-Version: 7.23.0',
    'Content-Type: application/json;charset=utf-8',
    'X-Twice: one',
    'x-twice: two',
    'Set-Cookie: a=1',
    'Set-Cookie: b=2',
    'X-Latin: caf\xe9',
    'X-Empty: ',
    'Vary: Accept-Encoding, User-Agent',
    'content-length: 7',
    'ETag: "x"',
    '',
    '',
  ].join('\r\n');
  await using rig = await makeRig({ raw: answering(`${head}{"a":1}`) });
  const [, answer] = await relayed(rig, 'GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n', []);
  expect(answer.head).toBe(head);
  expect(answer.body.toString()).toBe('{"a":1}');
  const { response } = await rig.exchange();
  expect(response).toMatchObject({ status: 200, reason: 'Fine by me' });
  expect(response?.fields).toEqual(answer.fields);
});

test('hop-by-hop fields of an answer stay on their connection', async () => {
  const head = [
    'HTTP/1.1 200 OK',
    'Content-Length: 2',
    'Keep-Alive: timeout=30',
    'Connection: X-Named',
    'X-Named: by Connection',
    'Proxy-Authenticate: Basic',
    'Upgrade: h2c',
    'X-Kept: yes',
    '',
    'ok',
  ].join('\r\n');
  await using rig = await makeRig({ raw: answering(head) });
  const [, answer] = await relayed(rig, 'GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n', []);
  expect(answer.fields).toEqual([
    ['Content-Length', '2'],
    ['X-Kept', 'yes'],
  ]);
});

const BODIES: [string, Buffer][] = [
  ['empty', Buffer.alloc(0)],
  ['one byte', Buffer.from([0])],
  ['all byte values', Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
  ['300 kB that no compressor shrinks', randomBytes(300_000)],
];

test.each(BODIES)('a body goes both ways as it is, and onto the tape: %s', async (_, body) => {
  const asked: Message[] = [];
  await using rig = await makeRig({
    raw: async connection => {
      while (!connection.isEnded) {
        asked.push(await connection.request());
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
        connection.write(body);
      }
    },
  });
  const agent = await rig.agent();
  agent.write(`PUT /puppet/v3/file_bucket_file/sha256/00//x HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
  agent.write(body);
  const answer = await agent.answer();
  expect(answer.body.equals(body)).toBe(true);
  expect(asked[0]!.body.equals(body)).toBe(true);
  expect(fieldIn(asked[0]!, 'content-length')).toBe(String(body.length));
  const exchange = await rig.exchange();
  expect([exchange.requestBytes, exchange.responseBytes]).toEqual([body.length, body.length]);
  const sha256 = createHash('sha256').update(body).digest('hex');
  for (const side of ['request', 'response'] as const) {
    expect(rig.tape.body(exchange.id, side)?.sha256 ?? null).toBe(body.length === 0 ? null : sha256);
  }
});

test('a chunked request body stays chunked upstream', async () => {
  const asked: Message[] = [];
  await using rig = await makeRig({ raw: answering(NO_CONTENT, asked) });
  const text =
    'PUT /puppet/v3/report/agent1.example HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n';
  const [request, answer] = await relayed(rig, text, asked);
  expect(statusOf(answer)).toBe(204);
  expect([fieldIn(request, 'transfer-encoding'), fieldIn(request, 'content-length')]).toEqual(['chunked', null]);
  expect(request.body.toString()).toBe('hello world');
});

test('every request of a connection goes upstream with the certname of that connection, whatever it says of itself', async () => {
  await using rig = await makeRig({ certnames: ['agent1.example', 'agent2.example'] });
  const agent = await rig.agent({ pair: rig.pair('agent1.example') });
  for (const line of ['X-Client-DN: CN=agent2.example', 'X-Client-Verify: SUCCESS', 'X-Client-Cert: agent2.example']) {
    agent.write(`GET /puppet/v3/node/agent2.example?environment=production HTTP/1.1\r\nHost: x\r\n${line}\r\n\r\n`);
    expect(statusOf(await agent.answer())).toBe(403);
  }
  const seen = rig.primary.seen.filter(({ target }) => target.includes('/node/'));
  expect(seen.map(({ certname }) => certname)).toEqual(['agent1.example', 'agent1.example', 'agent1.example']);
  expect(seen.flatMap(({ fields }) => fields.filter(([name]) => /^x-client/i.test(name)))).toEqual([]);
});

test('a reason phrase that is no ASCII and a value with a control character do no harm', async () => {
  const answers = [
    'HTTP/1.1 200 caf\xe9\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ];
  const left = [...answers];
  await using rig = await makeRig({
    raw: async connection => {
      while (left.length > 0) {
        await connection.request();
        connection.write(Buffer.from(left.shift() ?? '', 'latin1'));
      }
    },
  });
  const agent = await rig.agent();
  const starts: string[] = [];
  for (let n = 0; n < answers.length; n++) {
    agent.write('GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n');
    starts.push((await agent.answer()).start);
  }
  expect(starts).toEqual([
    'HTTP/1.1 200 caf?',
    'HTTP/1.1 200 ',
    'HTTP/1.1 200 ',
    'HTTP/1.1 502 Primary does not speak HTTP',
    'HTTP/1.1 200 OK',
  ]);
});
