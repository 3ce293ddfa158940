import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { certsLayout } from '../../src/pki/layout.ts';
import { startProxy } from '../../src/proxy/proxy.ts';
import { openTarget, performReplay, prepareReplay } from '../../src/replay/agents.ts';
import { parsePace } from '../../src/replay/pace.ts';
import { agent, open } from '../capture/rig.ts';
import { makeKey } from '../peers/ca.ts';
import type { Seen } from '../peers/primary.ts';
import { memoryTape } from '../rig/tape.ts';
import { parsed, type Recorded, record, replay, to } from './agents-rig.ts';

const AGENT = 'agent1.example';

/** What the primary saw, without what must be new. */
function shape({ method, target, certname, status }: Seen): string {
  return `${certname ?? '-'} ${method} ${target.replace(/transaction_uuid=[0-9a-f-]{36}/, 'transaction_uuid=*')} ${status}`;
}

function isWrite({ method, target }: Seen): boolean {
  return method === 'PUT' && !target.includes('/catalog/');
}

/** Connections of the primary as groups of requests, in their order. */
function byConnection(seen: readonly Seen[]): string[][] {
  return [...Map.groupBy(seen, one => one.connection).values()].map(those => those.map(shape));
}

test('requests that are no HTTP fail, and those after them are sent all the same', async () => {
  await using recorded = await record([AGENT]);
  const capture = join(recorded.dir, 'odd.db');
  const recorder = await open(capture);
  const line = agent(recorder, AGENT).connect();
  const node = `GET /puppet/v3/node/${AGENT}?environment=production`;
  await line.send(node, { fields: [['No Field', 'x']] });
  await line.send(node, { fields: [['X-Field', 'line\nbreak']] });
  await line.send(node);
  line.close();
  await recorder.close();
  const { code, out } = await replay({ ...recorded, capture }, 'r1', ...to(recorded), '--timing', 'fast', '--json');
  const { requests } = JSON.parse(out) as { requests: { status: number | null; failure: { reason: string } | null }[] };
  expect(requests.map(({ status, failure }) => [status, failure?.reason ?? null])).toEqual([
    [null, 'internal'],
    [null, 'internal'],
    [200, null],
  ]);
  expect(code).toBe(3);
});

test('what a primary may take for another request than a catalog is never sent', async () => {
  await using recorded = await record([AGENT]);
  const capture = join(recorded.dir, 'odd.db');
  const recorder = await open(capture);
  const line = agent(recorder, AGENT).connect();
  await line.send(`GET /puppet/v3/node/${AGENT}?environment=production`);
  for (const way of ['..', '%2e%2E', '.;', 'a;x/..']) {
    const body = Buffer.from(`{"certnames":["${AGENT}"]}`);
    await line.send(`POST /puppet/v3/catalog/${way}/../../puppet-ca/v1/sign`, { bodies: { request: body } });
  }
  line.close();
  await recorder.close();
  const before = recorded.since().length;
  const { out } = await replay(
    { ...recorded, capture },
    'r1',
    ...to(recorded),
    '--timing',
    'fast',
    '--writes',
    'csr,report',
    '--json',
  );
  expect(
    recorded
      .since()
      .slice(before)
      .map(one => one.method),
  ).toEqual(['GET']);
  expect(out).toContain('other-write');
});

describe('one run', () => {
  let recorded: Recorded;
  /** What the recorded agent itself caused at the primary. */
  let original: readonly Seen[];
  beforeAll(async () => {
    recorded = await record([AGENT, AGENT]);
    original = recorded.primary.seen.filter(({ fields }) => !fields.some(([, value]) => value === 'stringtap'));
  });
  afterAll(() => recorded?.[Symbol.asyncDispose]());

  test('the primary sees the same requests again, but for those that would change it', async () => {
    const before = recorded.since().length;
    const ran = await replay(recorded, 'r1', 'r2', ...to(recorded), '--timing', 'fast', '--json');
    expect(ran).toMatchObject({ code: 0 });
    const seen = recorded.since().slice(before);
    expect(seen.map(shape)).toEqual(original.filter(one => !isWrite(one)).map(shape));
    expect(new Set(seen.map(one => one.resumed))).toEqual(new Set([false]));
    const result = parsed(ran);
    expect(result).toMatchObject({ same: true, interrupted: false });
    expect(result.summary).toMatchObject({ requests: seen.length, failed: 0, otherStatus: 0 });
    expect(result.requests.map(one => one.status)).toEqual(seen.map(one => one.status));
    expect(ran.err).toMatch(/left out of the runs: 1 certificate request \(--writes csr\), .*2 reports \(--writes report\)/);
    // Each recorded connection of the agent is one: CA, CRL, certificate, the run; and one for the second run.
    expect(result.summary.connections).toMatchObject({ opened: 5, recorded: 5, failed: 0 });
    expect(byConnection(seen).map(group => group.length)).toEqual([1, 1, 1, 14, 6]);
  });

  test('a replayed run has a transaction_uuid of its own, throughout; its facts and report are of now', async () => {
    const from = Date.now();
    const before = recorded.since().length;
    const ran = await replay(recorded, 'r1', ...to(recorded), '--timing', 'fast', '--writes', 'report,filebucket', '--json');
    expect(ran.code).toBe(0);
    const seen = recorded.since().slice(before);
    const [node, catalog, report] = ['/node/', '/v3/catalog/', '/report/'].map(
      part => seen.find(({ target }) => target.includes(part))!,
    );
    const uuid = /transaction_uuid=([0-9a-f-]{36})/.exec(node!.target)![1]!;
    const form = new URLSearchParams(catalog!.body.toString());
    const sent = JSON.parse(report!.body.toString()) as Record<string, unknown>;
    expect([form.get('transaction_uuid'), sent.transaction_uuid]).toEqual([uuid, uuid]);
    expect(original.some(({ body, target }) => target.includes(uuid) || body.includes(uuid))).toBe(false);
    const facts = JSON.parse(decodeURIComponent(form.get('facts')!)) as { timestamp: string };
    expect(Date.parse(facts.timestamp)).toBeGreaterThanOrEqual(from);
    expect(Date.parse(String(sent.time))).toBeGreaterThanOrEqual(from - 1);
    expect(Date.parse(String(sent.time))).toBeLessThanOrEqual(Date.now());
    // The catalog that came this time is the one that the report names.
    const first = original.find(({ target }) => target.includes('/report/'))!;
    expect(sent.catalog_uuid).not.toBe((JSON.parse(first.body.toString()) as Record<string, unknown>).catalog_uuid);
    expect(seen.filter(isWrite).map(({ method, target }) => `${method} ${target.split('/')[3]}`)).toEqual([
      'PUT file_bucket_file',
      'PUT report',
    ]);
  });

  test('--dry-run says all of it and sends nothing', async () => {
    const before = recorded.primary.seen.length;
    const { code, out } = await replay(recorded, 'r1', ...to(recorded), '--dry-run');
    expect(code).toBe(0);
    expect(out).toMatch(/^r1 +e3 .* csr +left out +PUT/m);
    expect(out).toMatch(/^r1 +e1 .* ca +send +GET/m);
    const plan = JSON.parse(
      (await replay(recorded, 'r1', ...to(recorded), '--dry-run', '--json', '--as', 'b.example')).out,
    ) as object;
    expect(plan).toMatchObject({ requests: 17, connections: 4, agents: [{ run: 'r1', recorded: AGENT, as: 'b.example' }] });
    expect(recorded.primary.seen.length).toBe(before);
  });

  test('what the primary answers otherwise is found', async () => {
    recorded.primary.failing.add(AGENT);
    const ran = await replay(recorded, 'r1', ...to(recorded), '--timing', 'fast');
    recorded.primary.failing.delete(AGENT);
    expect(ran.code).toBe(3);
    expect(ran.out).toMatch(/^e12 +200 +500 +POST/m);
    expect(ran.out).toContain('16 answered with the recorded status, 1 with another');
    expect(ran.out).toContain('Evaluation Error');
    // A replay that is not kept names no file that is gone in a moment.
    expect(ran.out).not.toContain('/replay.db');
  });

  test('the replay is a capture of its own', async () => {
    const file = join(recorded.dir, 'replay.db');
    const ran = await replay(recorded, 'r1', ...to(recorded), '--timing', 'fast', '--capture', file);
    expect(ran.out).toContain('r1 agent1.example: no difference');
    const store = openStore(file);
    const [run] = [...store.runs()];
    const connections = [...store.connections()];
    store.close();
    expect(run).toMatchObject({ certname: AGENT, exchanges: 17, agentConnections: 4, failed: 0 });
    expect(connections.map(({ leg, certname, closedBy, exchanges }) => ({ leg, certname, closedBy, exchanges }))).toEqual([
      ...[1, 1, 1].map(exchanges => ({ leg: 'agent', certname: null, closedBy: 'agent', exchanges })),
      { leg: 'agent', certname: AGENT, closedBy: 'agent', exchanges: 14 },
    ]);
  });

  test('through a proxy to the primary: the same, and the proxy captures it', async () => {
    const tape = memoryTape();
    const proxy = await startProxy({
      listen: { host: '127.0.0.1', port: 0 },
      primary: { host: 'localhost', port: recorded.primary.port },
      certsDir: recorded.certs,
      names: ['localhost'],
      pool: 'pooled',
      connectOnlyPrimary: false,
      caPem: null,
      caFingerprint: null,
      tape,
      onNotice: () => undefined,
    });
    try {
      const ran = await replay(recorded, 'r1', '--to', `localhost:${proxy.address.port}`, '--timing', 'fast', '--json');
      expect(parsed(ran)).toMatchObject({ same: true, summary: { requests: 17, failed: 0, otherStatus: 0 } });
      const asked = tape.exchanges.filter(({ request }) => !request.fields.some(([, value]) => value === 'stringtap'));
      expect(asked.length).toBe(17);
      expect(asked.at(-1)?.certname).toBe(AGENT);
    } finally {
      await proxy.close();
    }
  });

  test("with --ssldir as the agent's own certificate", async () => {
    const ssldir = join(recorded.dir, 'ssl');
    const key = await makeKey('ec');
    for (const folder of ['private_keys', 'certs']) mkdirSync(join(ssldir, folder), { recursive: true });
    writeFileSync(join(ssldir, 'private_keys', `${AGENT}.pem`), key.pem);
    const certPem = recorded.primary.ca.issue(AGENT, key.publicKey);
    writeFileSync(join(ssldir, 'certs', `${AGENT}.pem`), certPem);
    writeFileSync(join(ssldir, 'certs', 'ca.pem'), recorded.primary.ca.caPem);
    const certs = join(recorded.dir, 'other-certs');
    const ran = await replay(recorded, 'r2', ...to(recorded), '--ssldir', ssldir, '--certs', certs, '--timing', 'fast');
    expect(ran).toMatchObject({ code: 0 });
    expect(existsSync(join(certs, 'identities'))).toBe(false);
    const wrong = await replay(recorded, 'r2', ...to(recorded), '--ssldir', ssldir, '--certs', certs, '--as', 'other.example');
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.err).toContain('there is no identity for other.example');
  });

  test('--as sends it as another, that the primary takes for that one', async () => {
    const key = await makeKey('ec');
    const certPem = recorded.primary.ca.issue('b.example', key.publicKey);
    recorded.primary.enter('b.example', certPem);
    openIdentities(certsLayout(recorded.certs).identities).importPair(key.pem, certPem);
    const before = recorded.since().length;
    const ran = await replay(
      recorded,
      'r1',
      ...to(recorded),
      '--as',
      'b.example',
      '--timing',
      'fast',
      '--writes',
      'csr,report',
      '--json',
    );
    expect(ran.err).toContain('1 certificate request, made for another name');
    const seen = recorded.since().slice(before);
    expect(seen.some(({ target, body }) => target.includes(AGENT) || body.includes(AGENT))).toBe(false);
    expect(new Set(seen.map(one => one.certname))).toEqual(new Set([null, 'b.example']));
    // What differs by the name alone is no difference.
    expect(parsed(ran)).toMatchObject({ same: true, summary: { failed: 0, otherStatus: 0 } });
  });

  test('pauses', async () => {
    await using slow = await record([AGENT], { factsMs: 600 });
    const store = slow.open();
    const to = { host: 'localhost', port: slow.primary.port };
    const target = await openTarget({ to, certsDir: slow.certs, ssldir: null, caPem: null, caFingerprint: null });
    const prepared = prepareReplay({ store, runs: [...store.runs()], writes: new Set(), as: null, agents: null });
    const gap = async (text: string): Promise<number> => {
      const tape = memoryTape();
      const pace = parsePace(text)!;
      const { signal } = new AbortController();
      await performReplay(store, prepared, { target, pace, arrival: { type: 'queue' }, tape, signal });
      const n = tape.exchanges.findIndex(({ route }) => route.phase === 'catalog');
      return tape.exchanges[n]!.timing.startMono - tape.exchanges[n - 1]!.timing.endMono;
    };
    const [recorded, half, least, none] = await Promise.all(['recorded', 'x2', 'max-gap=0.1', 'fast'].map(gap));
    store.close();
    expect(recorded).toBeGreaterThanOrEqual(595);
    expect(half).toBeGreaterThanOrEqual(295);
    expect(half).toBeLessThan(recorded!);
    expect(least).toBeGreaterThanOrEqual(98);
    expect(least).toBeLessThan(half!);
    expect(none).toBeLessThan(98);
  });
});

describe('a replay that cannot be', () => {
  let recorded: Recorded;
  beforeAll(async () => {
    recorded = await record([AGENT]);
  });
  afterAll(() => recorded?.[Symbol.asyncDispose]());

  test.each([
    [['r9'], 'there is no run r9'],
    [['r1', '--as', 'nobody.example'], 'there is no identity for nobody.example'],
    [['r1', '--as', 'No Name'], 'makes no Puppet certname'],
    [['r1', '--herd'], 'need --agents'],
    [['r1', '--agents', '2', '--herd', '--ramp', '3s'], 'exclude each other'],
    [['r1', '--agents', '2', '--as', 'one.example'], 'is one name'],
    [['r1', '--timing', 'slow'], 'expected recorded, fast, x2 or max-gap=5'],
    [['r1', '--writes', 'all'], 'expected some of csr,report'],
  ])('%j', async (args, words) => {
    const before = recorded.since().length;
    const ran = await replay(recorded, ...args, ...to(recorded));
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.err).toContain(words);
    expect(recorded.since().length).toBe(before);
  });

  test('to a primary that is not there', async () => {
    await recorded.primary.stop();
    const ran = await replay(recorded, 'r1', ...to(recorded));
    expect(ran.code).toBe(1);
    expect(ran.err).toContain(`the target localhost:${recorded.primary.port} cannot be used`);
    expect(ran.err).not.toContain('--primary');
  });
});

test('the cast: runs in turn, names by pattern', async () => {
  await using recorded = await record([AGENT, 'agent2.example']);
  const store = recorded.open();
  try {
    const runs = [...store.runs()];
    const cast = (as: string | null, agents: number | null): string[] =>
      prepareReplay({ store, runs, writes: new Set(), as, agents }).cast.map(one => `r${one.run} ${one.as}`);
    expect(cast(null, null)).toEqual(['r1 agent1.example', 'r2 agent2.example']);
    expect(cast('x.example', null)).toEqual(['r1 x.example', 'r2 x.example']);
    expect(cast('n%03d.example', 3)).toEqual(['r1 n001.example', 'r2 n002.example', 'r1 n003.example']);
    expect(cast(null, 2)).toEqual(['r1 load-0001', 'r2 load-0002']);
  } finally {
    store.close();
  }
});
