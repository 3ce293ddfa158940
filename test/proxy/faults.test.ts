import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultRules } from '../../src/commands/fault-option.ts';
import type { Connection, Exchange } from '../../src/model.ts';
import { type FaultRule, openFaults } from '../../src/proxy/faults.ts';
import type { Dialled, Script } from '../rig/raw.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { fieldIn, type Message, statusOf } from '../rig/wire.ts';

const NODE = '/puppet/v3/node/agent1.example?environment=production';
const CATALOG = '/puppet/v3/catalog/agent1.example?environment=production';

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (target: string, body: string, more = ''): string =>
  `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;

const rig = (faults: readonly string[], more: Parameters<typeof makeRig>[0] = {}): Promise<Rig> =>
  makeRig({ ...more, proxy: { ...more.proxy, faults: faultRules(faults) } });

async function ask(agent: Dialled, request: string): Promise<Message> {
  agent.write(request);
  return agent.answer();
}

/** Answers every request with this body, of a length. */
const answering =
  (body: string | Buffer): Script =>
  async connection => {
    while (!connection.isEnded) {
      await connection.request();
      connection.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`);
      connection.write(body);
    }
  };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-faults-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('status', () => {
  test('is answered by us, in the shape of Puppet’s errors, and nothing goes to the primary', async () => {
    await using proxy = await rig(['status=503 retry-after=4500ms ~phase node']);
    const agent = await proxy.agent();
    const answer = await ask(agent, get(NODE));
    expect(answer.start).toBe('HTTP/1.1 503 Fault of stringtap');
    expect(fieldIn(answer, 'retry-after')).toBe('5');
    expect(fieldIn(answer, 'content-type')).toBe('application/json;charset=utf-8');
    expect(JSON.parse(answer.body.toString())).toEqual({
      message: 'stringtap: a fault on purpose (--fault status=503)',
      issue_kind: 'STRINGTAP_FAULT',
    });
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({
      fault: 'status=503 retry-after=4500ms ~phase node',
      answeredBy: 'proxy',
      primary: null,
      primaryStatus: null,
      response: { status: 503 },
      outcome: { type: 'failed', failure: { reason: 'fault', action: 'status=503', detail: null } },
    });
    expect(proxy.primary.seen.filter(({ target }) => target === NODE)).toEqual([]);
    // The connection goes on, and what no rule matches is the primary's.
    const other = await ask(agent, get('/puppet/v3/file_metadatas/plugins?environment=production&recurse=true'));
    expect(statusOf(other)).toBe(200);
    expect(await proxy.exchange(2)).toMatchObject({ fault: null, answeredBy: 'primary', agent: { ordinal: 2 } });
  });

  test('comes after the whole request, which is on the tape', async () => {
    await using proxy = await rig(['status=500 ~phase catalog']);
    const agent = await proxy.agent();
    const body = 'x'.repeat(300_000);
    expect(statusOf(await ask(agent, post(CATALOG, body)))).toBe(500);
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({ requestBytes: 300_000, fault: 'status=500 ~phase catalog' });
    expect(exchange.timing.requestEndMono).not.toBeNull();
    expect(proxy.tape.body(exchange.id, 'request')?.bytes.toString()).toBe(body);
    expect(statusOf(await ask(agent, post(CATALOG, 'y')))).toBe(500);
  });

  test('leaves only when the exchange is committed', async () => {
    await using proxy = await rig(['status=500 ~phase node']);
    const agent = await proxy.agent();
    proxy.tape.hold();
    agent.write(get(NODE));
    await eventually(() => proxy.tape.held === 1);
    expect(agent.pending.length).toBe(0);
    proxy.tape.release();
    expect(statusOf(await agent.answer())).toBe(500);
  });

  test('is possible in the bootstrap, of the same request as any', async () => {
    await using proxy = await rig(['status=404 ~phase csr']);
    const agent = await proxy.agent({ pair: null });
    const csr = 'no CSR at all';
    agent.write(
      `PUT /puppet-ca/v1/certificate_request/new.example HTTP/1.1\r\nHost: x\r\nContent-Length: ${csr.length}\r\n\r\n${csr}`,
    );
    expect(statusOf(await agent.answer())).toBe(404);
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({ fault: 'status=404 ~phase csr', certname: null, requestBytes: csr.length });
    expect(proxy.primary.seen.some(({ target }) => target.includes('certificate_request'))).toBe(false);
  });
});

describe('who is not admitted', () => {
  test.each([
    ['without a certificate', null],
    ['with a certificate that nobody knows an identity for', 'stranger.example'],
  ])('%s gets the refusal, whatever the rules say', async (_, certname) => {
    const file = join(dir, 'secret.json');
    writeFileSync(file, '{"secret":true}');
    await using proxy = await rig([`answer=${file} ~phase catalog`, 'status=500']);
    const agent = await proxy.agent({ pair: certname === null ? null : await proxy.issue(certname) });
    const answer = await ask(agent, get(CATALOG));
    expect(statusOf(answer)).toBe(403);
    expect(answer.body.toString()).not.toContain('secret');
    expect(await proxy.exchange()).toMatchObject({ fault: null, response: { status: 403 } });
  });

  test('an open path is answered with no file', async () => {
    const file = join(dir, 'open.json');
    writeFileSync(file, '{"secret":true}');
    await using proxy = await rig([`answer=${file} ~u /`]);
    const agent = await proxy.agent({ pair: null });
    for (const target of ['/status/v1/simple', '/puppet-ca/v1/certificate/ca']) {
      expect((await ask(agent, get(target))).body.toString()).not.toContain('secret');
    }
    expect(proxy.tape.exchanges.map(({ fault }) => fault)).toEqual([null, null]);
  });
});

describe('reset and close', () => {
  test.each([
    ['reset', 'ECONNRESET'],
    ['close', 'end'],
  ])('%s ends the connection without an answer, once the exchange is committed', async (action, how) => {
    await using proxy = await rig([`${action} ~phase catalog`]);
    const agent = await proxy.agent();
    proxy.tape.hold();
    agent.write(post(CATALOG, 'x'.repeat(50_000)));
    await eventually(() => proxy.tape.held === 1);
    expect(agent.isEnded).toBe(false);
    proxy.tape.release();
    expect(await agent.ended).toBe(how);
    expect(agent.pending.length).toBe(0);
    expect(await proxy.exchange()).toMatchObject({
      fault: `${action} ~phase catalog`,
      answeredBy: 'proxy',
      response: null,
      requestBytes: 50_000,
      outcome: { type: 'failed', failure: { reason: 'fault', action } },
    });
    const row = await proxy.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
    expect(row.closed).toMatchObject({ by: 'proxy', cause: 'aborted' });
  });
});

describe('delay', () => {
  test('holds the request back, reads its body all the same, and then all is as ever', async () => {
    await using proxy = await rig(['delay=300ms ~phase catalog'], { raw: answering('late') });
    const agent = await proxy.agent();
    const body = 'x'.repeat(200_000);
    agent.write(post(CATALOG, body));
    // The whole body is here before the primary hears anything.
    await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === body.length);
    expect(proxy.raw.accepted).toEqual([]);
    const answer = await agent.answer();
    expect(answer.body.toString()).toBe('late');
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({
      fault: 'delay=300ms ~phase catalog',
      answeredBy: 'primary',
      primaryStatus: 200,
      requestBytes: body.length,
      outcome: { type: 'answered' },
    });
    expect(proxy.tape.body(exchange.id, 'request')?.bytes.toString()).toBe(body);
    expect(exchange.timing.primaryReadyMono! - exchange.timing.startMono).toBeGreaterThanOrEqual(295);
  });

  test('of a body that is too large to be kept: it comes whole to the primary', async () => {
    let got = 0;
    await using proxy = await rig(['delay=50ms ~phase catalog'], {
      raw: async connection => {
        got = (await connection.request()).body.length;
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      },
    });
    const agent = await proxy.agent();
    expect(statusOf(await ask(agent, post(CATALOG, 'x'.repeat(3_000_000))))).toBe(200);
    expect(got).toBe(3_000_000);
  });

  test.each(['end', 'destroy'] as const)('ends when the agent goes away (%s), and nothing is sent', async how => {
    await using proxy = await rig(['delay=10m ~phase catalog'], { raw: answering('late') });
    const agent = await proxy.agent();
    agent.write(post(CATALOG, 'x'.repeat(200_000)));
    await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === 200_000);
    agent[how]();
    expect(await proxy.exchange()).toMatchObject({ outcome: { type: 'abandoned' }, fault: 'delay=600s ~phase catalog' });
    expect(proxy.raw.accepted).toEqual([]);
  });

  test('is no way around the gate: who may no longer go to the primary when it is over does not', async () => {
    await using proxy = await rig(['delay=1s ~phase catalog'], { raw: answering('late') });
    const agent = await proxy.agent();
    agent.write(post(CATALOG, 'facts'));
    await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === 5);
    rmSync(join(proxy.dir, 'certs', 'identities'), { recursive: true });
    expect(statusOf(await agent.answer())).toBe(403);
    expect(proxy.raw.accepted).toEqual([]);
    expect(await proxy.exchange()).toMatchObject({
      fault: 'delay=1s ~phase catalog',
      outcome: { type: 'failed', failure: { reason: 'no-identity' } },
    });
  });

  test('in the bootstrap swaps what is to be swapped', async () => {
    await using proxy = await rig(['delay=20ms ~phase ca']);
    const agent = await proxy.agent({ pair: null });
    const answer = await ask(agent, get('/puppet-ca/v1/certificate/ca'));
    expect(answer.body.toString()).toBe(proxy.proxy.trust.bundle().pem);
    expect(await proxy.exchange()).toMatchObject({ fault: 'delay=20ms ~phase ca', primaryStatus: 200 });
  });
});

describe('the end of the proxy', () => {
  test('lets what is delayed go at once, and answers it', async () => {
    await using proxy = await rig(['delay=10m ~phase catalog'], { raw: answering('in the end') });
    const agent = await proxy.agent();
    agent.write(post(CATALOG, 'facts'));
    await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === 5);
    await pause(50);
    const closed = proxy.proxy.close();
    expect((await agent.answer()).body.toString()).toBe('in the end');
    await closed;
    expect(await proxy.exchange()).toMatchObject({ outcome: { type: 'answered' }, answeredBy: 'primary' });
  });

  test('closes what is stalled', async () => {
    await using proxy = await rig(['stall ~phase catalog']);
    const agent = await proxy.agent();
    agent.write(post(CATALOG, 'facts'));
    await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === 5);
    await pause(50);
    await proxy.proxy.close();
    expect(await agent.ended).toBe('end');
    expect(await proxy.exchange()).toMatchObject({
      answeredBy: 'proxy',
      outcome: { type: 'failed', failure: { reason: 'fault', action: 'stall', detail: 'the proxy ended' } },
    });
  });

  test('lets what is slow go as fast as it can', async () => {
    const body = 'x'.repeat(3_000_000);
    await using proxy = await rig(['rate=10k ~phase node'], { raw: answering(body) });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    await agent.take(1);
    const closed = proxy.proxy.close();
    await agent.take(body.length - 1);
    await closed;
    expect(await proxy.exchange()).toMatchObject({ outcome: { type: 'answered' }, responseBytes: body.length });
  });
});

test('stall answers nothing until the agent gives up', async () => {
  await using proxy = await rig(['stall ~phase catalog']);
  const agent = await proxy.agent();
  agent.write(post(CATALOG, 'x'.repeat(1000)));
  await eventually(() => proxy.tape.body(1 as Exchange['id'], 'request')?.size === 1000);
  await pause(50);
  expect(proxy.tape.exchanges).toEqual([]);
  agent.destroy();
  expect(await proxy.exchange()).toMatchObject({
    outcome: { type: 'abandoned' },
    fault: 'stall ~phase catalog',
    answeredBy: 'proxy',
    requestBytes: 1000,
    response: null,
  });
});

describe('cut', () => {
  const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n';
  const SIZED = 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world';
  const script =
    (answer: string): Script =>
    async connection => {
      await connection.request();
      connection.write(answer);
    };

  test.each([
    ['of chunks', CHUNKED],
    ['of a length', SIZED],
  ])('ends the connection after so many bytes of a body %s, never in the form of a whole one', async (_, answer) => {
    await using proxy = await rig(['cut=7 ~phase node'], { raw: script(answer) });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    expect(await agent.ended).toBe('end');
    const rest = agent.pending.toString();
    expect(rest.replace(/[0-9a-f]+\r\n|\r\n/g, '')).toBe('hello w');
    expect(rest).not.toMatch(/(^|\n)0\r\n/);
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({
      fault: 'cut=7 ~phase node',
      answeredBy: 'primary',
      primaryStatus: 200,
      responseBytes: 7,
      outcome: { type: 'failed', failure: { reason: 'fault', action: 'cut=7' } },
    });
    expect(proxy.tape.body(exchange.id, 'response')?.bytes.toString()).toBe('hello w');
  });

  test('at 0 bytes leaves the head', async () => {
    await using proxy = await rig(['cut=0 ~phase node'], { raw: script(SIZED) });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    expect(await agent.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    await agent.ended;
    expect(agent.pending.length).toBe(0);
    expect(await proxy.exchange()).toMatchObject({ responseBytes: 0, outcome: { type: 'failed' } });
  });

  test('of an agent of HTTP/1.0, for which an end ends the body, is a reset', async () => {
    await using proxy = await rig(['cut=7 ~phase node'], { raw: script(CHUNKED) });
    const agent = await proxy.agent();
    agent.write(`GET ${NODE} HTTP/1.0\r\n\r\n`);
    expect(await agent.ended).toBe('ECONNRESET');
  });

  test('of a body that is not longer leaves it whole', async () => {
    await using proxy = await rig(['cut=11 ~phase node'], { raw: script(SIZED) });
    const agent = await proxy.agent();
    expect((await ask(agent, get(NODE))).body.toString()).toBe('hello world');
    expect(await proxy.exchange()).toMatchObject({ fault: 'cut=11 ~phase node', outcome: { type: 'answered' } });
  });

  test('of a large body streams up to there', async () => {
    await using proxy = await rig(['cut=5000000 ~phase node'], { raw: answering(Buffer.alloc(20_000_000, 'x')) });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    expect((await agent.rest()).length).toBe(5_000_000);
    expect(await proxy.exchange()).toMatchObject({ responseBytes: 5_000_000 });
  });
});

describe('rate', () => {
  test('lets a body pass whole, in small pieces', async () => {
    const body = Buffer.from(Array.from({ length: 3000 }, (_, n) => n & 0xff));
    await using proxy = await rig(['rate=10k ~phase node'], { raw: answering(body) });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    let pieces = 0;
    agent.socket.on('data', () => pieces++);
    expect((await agent.take(body.length)).equals(body)).toBe(true);
    expect(pieces).toBeGreaterThan(1);
    const exchange = await proxy.exchange();
    expect(exchange).toMatchObject({ fault: 'rate=10000 ~phase node', answeredBy: 'primary', outcome: { type: 'answered' } });
    expect(exchange.timing.endMono - exchange.timing.responseHeadMono!).toBeGreaterThanOrEqual(250);
  });

  test('holds the primary back, and takes no memory', async () => {
    let sent = 0;
    const tape = memoryTape(false);
    await using proxy = await rig(['rate=100k ~phase node'], {
      tape,
      raw: async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n');
        const block = Buffer.alloc(64 * 1024, 'x');
        while (!connection.isEnded) {
          sent += block.length;
          if (!connection.socket.write(block)) await Promise.race([once(connection.socket, 'drain'), connection.ended]);
        }
      },
    });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    await agent.take(20_000);
    for (let before = -1; before !== sent; await pause(50)) before = sent;
    expect(sent).toBeLessThan(32 << 20);
    agent.destroy();
    const exchange = await proxy.exchange();
    expect(exchange.outcome).toEqual({ type: 'abandoned' });
    expect(exchange.responseBytes).toBeLessThan(1_000_000);
    await proxy.raw.accepted[0]!.ended;
  });

  test('of a primary that breaks off: what came of the body goes first', async () => {
    await using proxy = await rig(['rate=10k ~phase node'], {
      raw: async connection => {
        await connection.request();
        connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(2000)}`, () => connection.end());
      },
    });
    const agent = await proxy.agent();
    agent.write(get(NODE));
    await agent.until('\r\n\r\n');
    expect((await agent.rest()).length).toBe(2000);
    expect(await proxy.exchange()).toMatchObject({ outcome: { type: 'failed', failure: { reason: 'primary-closed' } } });
  });
});

describe('answer', () => {
  test('is the bytes of the file as they are at that moment, with the type of the indirection', async () => {
    const file = join(dir, 'my answer.json');
    writeFileSync(file, '{"name":"agent1.example"}');
    await using proxy = await rig([`answer="${file}" ~certname agent1* !~phase pluginsync`]);
    const agent = await proxy.agent();
    const first = await ask(agent, post(CATALOG, 'facts', 'Accept: application/vnd.puppet.rich+json, application/json\r\n'));
    expect(first.body.toString()).toBe('{"name":"agent1.example"}');
    expect(fieldIn(first, 'content-type')).toBe('application/vnd.puppet.rich+json; charset=utf-8');
    writeFileSync(file, Buffer.alloc(400_000, 'y'));
    const second = await ask(agent, post(CATALOG, 'facts', 'Accept: application/json\r\n'));
    expect(second.body.length).toBe(400_000);
    expect(fieldIn(second, 'content-type')).toBe('application/json;charset=utf-8');
    const content = await ask(agent, get('/puppet/v3/file_content/modules/a/b?environment=production'));
    expect(fieldIn(content, 'content-type')).toBe('application/octet-stream');
    const head = `HEAD ${NODE} HTTP/1.1\r\nHost: x\r\n\r\n`;
    agent.write(head);
    expect((await agent.answer('HEAD')).fields).toContainEqual(['Content-Length', '400000']);
    expect(await proxy.exchange()).toMatchObject({
      fault: `answer="${file}" ~certname agent1* !~phase pluginsync`,
      answeredBy: 'proxy',
      primaryStatus: null,
      requestBytes: 5,
      outcome: { type: 'answered' },
    });
    expect(proxy.primary.seen.every(({ target }) => target.startsWith('/puppet-ca/'))).toBe(true);
  });

  test('of a file that has gone is a 502 that says so, to the operator too', async () => {
    const file = join(dir, 'gone.json');
    writeFileSync(file, '{}');
    await using proxy = await rig([`answer=${file} ~phase node`]);
    rmSync(file);
    const agent = await proxy.agent();
    const answer = await ask(agent, get(NODE));
    expect(statusOf(answer)).toBe(502);
    expect(JSON.parse(answer.body.toString()).message).toContain('ENOENT');
    expect(proxy.notices.join()).toContain(file);
    expect(await proxy.exchange()).toMatchObject({ outcome: { type: 'failed', failure: { reason: 'fault', action: 'answer' } } });
  });
});

describe('which exchanges', () => {
  const asked = (path: string): Exchange => ({ route: { phase: 'file' }, certname: 'a', request: { target: path } }) as Exchange;
  const on = {} as Connection;
  const limited = (text: string): FaultRule => ({ ...faultRules([text])[0]!, matches: ({ request }) => request.target === '/a' });
  const taken = (rules: readonly FaultRule[], times: number, random?: () => number): (string | null)[] => {
    const faults = openFaults(rules, random);
    return Array.from({ length: times }, () => faults.take(asked('/a'), on)?.action.type ?? null);
  };

  test('the first rule that matches and is in force takes one', () => {
    const rules = [limited('reset times=2'), limited('close')];
    expect(taken(rules, 4)).toEqual(['reset', 'reset', 'close', 'close']);
    expect(openFaults(rules).take(asked('/b'), on)).toBeNull();
  });

  test('every counts what matches, times what is taken', () => {
    expect(taken([limited('reset every=3')], 7)).toEqual([null, null, 'reset', null, null, 'reset', null]);
    expect(taken([limited('reset every=2 times=2')], 7)).toEqual([null, 'reset', null, 'reset', null, null, null]);
  });

  test('chance asks the dice each time', () => {
    const dice = [0.05, 0.5, 0.0999, 0.1];
    expect(taken([limited('reset chance=10%')], 4, () => dice.shift()!)).toEqual(['reset', null, 'reset', null]);
    expect(taken([limited('reset chance=100%')], 3, () => 0.999)).toEqual(['reset', 'reset', 'reset']);
  });

  test('none when the proxy has ended', () => {
    const faults = openFaults([limited('reset')]);
    faults.end();
    expect(faults.take(asked('/a'), on)).toBeNull();
  });

  test('on the wire: the first two of one agent, not those of another', async () => {
    await using proxy = await rig(['status=500 times=2 ~certname agent2* ~phase node'], {
      certnames: ['agent1.example', 'agent2.example'],
    });
    const statuses: number[] = [];
    for (const certname of ['agent1.example', 'agent2.example', 'agent2.example', 'agent2.example']) {
      const agent = await proxy.agent({ pair: proxy.pair(certname) });
      statuses.push(statusOf(await ask(agent, get(`/puppet/v3/node/${certname}?environment=production`))));
    }
    expect(statuses).toEqual([200, 500, 500, 200]);
  });
});
