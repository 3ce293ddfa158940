import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { openLiveOtlp } from '../../src/export/otlp-live.ts';
import { signalUrl } from '../../src/export/otlp-send.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { runDemoAgent } from '../peers/agent.ts';
import { newAgentState } from '../peers/options.ts';
import { startDemoPrimary } from '../peers/primary.ts';
import { eventually } from '../rig/rig.ts';
import { fromJson, type Received, startCollector } from './collector.ts';
import { type Folder, folder, SERVER, sample, scene } from './rig.ts';

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

function check(spans: readonly Received[], uuid: string): void {
  const [root, ...rest] = spans;
  expect(root).toMatchObject({
    name: 'puppet run',
    parentSpanId: '',
    traceId: uuid.replaceAll('-', ''),
    kind: 'SPAN_KIND_INTERNAL',
  });
  const byId = new Map(spans.map(span => [span.spanId, span]));
  expect(byId.size).toBe(spans.length);
  for (const span of rest) {
    const parent = byId.get(span.parentSpanId)!;
    expect(span.traceId).toBe(root!.traceId);
    expect(span.end).toBeGreaterThanOrEqual(span.start);
    // nothing is outside of what it is a part of; a microsecond is what rounding may cost
    expect(span.start).toBeGreaterThanOrEqual(parent.start - 1000n);
    expect(span.end).toBeLessThanOrEqual(parent.end + 1000n);
  }
}

describe('a run is a trace', () => {
  test('as OTLP JSON that the official definitions read: ids, parents, times, conventions', async () => {
    const { out, code } = await exported('r1');
    expect(code).toBe(0);
    const spans = fromJson(out);
    using store = closing(openStore(file));
    const run = store.run(1)!;
    check(spans, run.transactionUuid!);
    const server = spans.filter(span => span.kind === 'SPAN_KIND_SERVER');
    expect(server).toHaveLength(run.exchanges);
    const catalog = server.find(span => span.attributes['puppet.phase'] === 'catalog')!;
    expect(catalog.name).toBe('POST /puppet/v3/catalog/{key}');
    expect(catalog.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'http.route': '/puppet/v3/catalog/{key}',
      'url.scheme': 'https',
      'url.path': '/puppet/v3/catalog/web01.lab',
      'url.query': 'environment=production',
      'server.address': 'puppet.lab',
      'network.protocol.version': '1.1',
      'puppet.certname': 'web01.lab',
    });
    const client = spans.find(span => span.parentSpanId === catalog.spanId)!;
    expect(client).toMatchObject({ kind: 'SPAN_KIND_CLIENT', name: 'POST' });
    expect(client.attributes['url.full']).toMatch(/^https:\/\/.+:\d+\/puppet\/v3\/catalog\/web01\.lab\?environment=production$/);
    expect(client.attributes['server.port']).toBeTypeOf('number');
    const handshakes = spans[0]!.events.filter(event => event.name === 'tls.handshake');
    expect(handshakes.length).toBeGreaterThanOrEqual(run.agentConnections);
    expect(handshakes[0]!.attributes).toMatchObject({
      'stringtap.leg': 'agent',
      'tls.protocol.version': '1.3',
      'tls.resumed': false,
    });
    expect(spans[0]!.resource).toMatchObject({ 'service.name': 'stringtap' });
  });

  test('a run that failed says so; the same export gives the same ids', async () => {
    const { out } = await exported('r5');
    const spans = fromJson(out);
    expect(spans[0]!.error).toBe('1 of 5 exchanges failed');
    expect(spans.find(span => span.error === '500' && span.kind === 'SPAN_KIND_SERVER')?.attributes['error.type']).toBe('500');
    expect(fromJson((await exported('r5')).out)).toEqual(spans);
  });

  test('by protobuf to a collector', async () => {
    await using collector = await startCollector();
    const { code, err } = await stringtap('export', 'r1', 'r2', '--capture', file, '--format', 'otlp', '--to', collector.url);
    expect(err).toEqual([]);
    expect(code).toBe(0);
    const json = (await exported('r1', 'r2')).out.trim().split('\n').flatMap(fromJson);
    const order = (spans: readonly Received[]) => [...spans].sort((a, b) => (a.spanId < b.spanId ? -1 : 1));
    expect(order(collector.spans)).toEqual(order(json));
  });

  test('a collector that is not there is a clear error', async () => {
    const { code, err } = await stringtap('export', 'r1', '--capture', file, '--format', 'otlp', '--to', 'http://127.0.0.1:9');
    expect(code).toBe(1);
    expect(err.join('\n')).toContain('did not take the run');
    expect((await stringtap('export', 'r1', '--format', 'otlp', '--to', 'localhost:4318')).code).toBe(2);
  }, 60_000);

  test('URLs of a collector', () => {
    expect(signalUrl('http://h:4318', 'traces')).toBe('http://h:4318/v1/traces');
    expect(signalUrl('http://h:4318/v1/traces/', 'metrics')).toBe('http://h:4318/v1/metrics');
    expect(signalUrl('https://h/otlp/', 'traces')).toBe('https://h/otlp/v1/traces');
  });
});

describe('proxy --otlp', () => {
  test('a run is sent when it ends, while the proxy goes on, and figures with it', async () => {
    using own = folder();
    await using collector = await startCollector();
    const notices: string[] = [];
    const live = openLiveOtlp({ file: own.path('runs.db'), url: collector.url, version: '0' }, text => notices.push(text));
    await using stage = await scene(own, run => live.run(run.id));
    const state = newAgentState();
    const first = await stage.run('agent1.example', state);
    await eventually(() => collector.spans.length > 0, 'the spans of a run', 20_000);
    check(collector.spans, first.transactionUuid);
    const second = await stage.run('agent1.example', state);
    await stage.end();
    await live.close();
    const traces = new Set(collector.spans.map(span => span.traceId));
    expect(traces).toEqual(new Set([first, second].map(run => run.transactionUuid.replaceAll('-', ''))));
    expect([...collector.metrics].sort()).toEqual([
      'http.client.request.duration',
      'http.server.request.duration',
      'stringtap.connections.closed',
      'stringtap.exchanges',
      'stringtap.handshake.duration',
      'stringtap.runs',
    ]);
    expect(notices).toEqual([]);
  });

  test('a collector that never answers costs nothing: runs go on, the end comes in time, one notice', async () => {
    using own = folder();
    const silent = createServer(() => undefined);
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const notices: string[] = [];
    const live = openLiveOtlp({ file: own.path('runs.db'), url: `http://127.0.0.1:${port}`, version: '0' }, text =>
      notices.push(text),
    );
    await using stage = await scene(own, run => live.run(run.id));
    const state = newAgentState();
    for (let n = 0; n < 3; n++) expect((await stage.run('agent1.example', state)).error).toBeNull();
    for (let n = 0; n < 1500; n++) live.run(1);
    const started = performance.now();
    await stage.end();
    await live.close();
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(notices.filter(text => text.includes('more are left out'))).toHaveLength(1);
    expect(notices.at(-1)).toMatch(/OTLP: \d+ runs were left out/);
    silent.close();
  });
});

test('the command: proxy --otlp URL', { timeout: 60_000 }, async () => {
  using own = folder();
  await using collector = await startCollector();
  await using primary = await startDemoPrimary({ certname: SERVER, keyType: 'ec' });
  const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url));
  const to = ['--primary', `127.0.0.1:${primary.port}`, '--listen', '127.0.0.1:0', '--name', SERVER, '--otlp', collector.url];
  const child = spawn(process.execPath, [bin, 'proxy', ...to, '--capture', own.path('a.db'), '--certs', own.path('certs')], {
    cwd: own.dir,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      said += String(chunk);
    });
  try {
    const [, port] = await eventually(() => /^listening on .*:(\d+)$/m.exec(said), 'the proxy listens', 30_000);
    const place = { host: '127.0.0.1', port: Number(port), serverName: SERVER, via: null };
    const run = await runDemoAgent({ certname: 'agent1.example', place, state: newAgentState(), keyType: 'ec' });
    expect(run.error, said).toBeNull();
    await eventually(() => collector.spans.length > 0, 'the spans of the run', 20_000);
    check(collector.spans, run.transactionUuid);
  } finally {
    const ended = new Promise<number | null>(resolve => child.once('exit', resolve));
    child.kill('SIGINT');
    expect(await ended, said).toBe(0);
  }
  expect([...collector.metrics]).toContain('stringtap.runs');
});

async function exported(...runs: string[]): Promise<{ out: string; code: number }> {
  const out = dir.path('trace.json');
  const { code } = await stringtap('export', ...runs, '--capture', file, '--format', 'otlp', '-o', out);
  return { out: readFileSync(out, 'utf8'), code };
}

function closing<T extends { close(): void }>(opened: T): T & Disposable {
  return Object.assign(opened, { [Symbol.dispose]: () => opened.close() });
}
