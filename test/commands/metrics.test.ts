import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Loss } from '../../src/capture/recorder.ts';
import { faultRules } from '../../src/commands/fault-option.ts';
import { createMetrics, type Metrics, serveMetrics } from '../../src/commands/metrics.ts';
import { startDemoPrimary } from '../peers/primary.ts';
import { makeRig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { temporaryFolder } from './reuse-rig.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const GET = 'GET /puppet/v3/file_content/modules/x/y?environment=production HTTP/1.1\r\nHost: puppet\r\n\r\n';

/** The samples, by name with labels. */
async function samples(metrics: Metrics): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

async function fetched(url: string, method = 'GET'): Promise<{ status: number; type: string; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, method }, response => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          body: Buffer.concat(parts).toString('utf8'),
        }),
      );
    });
    request.once('error', reject);
  });
}

describe('the figures of a running proxy', () => {
  test('name the agent of an exchange only when that is asked for', async () => {
    for (const [asked, labels] of [
      [false, '{phase="file",status_class="2xx",outcome="answered"}'],
      [true, '{phase="file",status_class="2xx",certname="agent1.example",outcome="answered"}'],
    ] as const) {
      const memory = memoryTape();
      const metrics = createMetrics(() => [], asked);
      await using rig = await makeRig({
        tape: Object.assign(Object.create(memory) as typeof memory, metrics.counted(memory)),
        raw: async connection => {
          await connection.request();
          connection.write(OK);
        },
      });
      const agent = await rig.agent();
      agent.write(GET);
      await agent.answer();
      await rig.exchange(1);
      expect(await samples(metrics)).toHaveProperty([`stringtap_exchanges_total${labels}`], 1);
    }
  });

  test('count exchanges, connections, handshakes and reuse of both legs, and name no agent', async () => {
    const memory = memoryTape();
    const losses: Loss[] = [];
    const metrics = createMetrics(() => losses);
    const tape = metrics.counted(memory);
    await using rig = await makeRig({
      tape: Object.assign(Object.create(memory) as typeof memory, tape),
      raw: async connection => {
        while (!connection.isEnded) {
          await connection.request();
          connection.write(OK);
        }
      },
    });
    const probe = await rig.agent({ pair: null });
    probe.end();
    await rig.connection(one => one.closed !== null);
    const agent = await rig.agent();
    for (let i = 0; i < 3; i += 1) {
      agent.write(GET);
      await agent.answer();
    }
    const open = await samples(metrics);
    expect(open['stringtap_exchanges_total{phase="file",status_class="2xx",outcome="answered"}']).toBe(3);
    expect(open['stringtap_response_body_bytes_total{phase="file",status_class="2xx"}']).toBe(15);
    expect(open['stringtap_exchange_duration_seconds_count{phase="file",status_class="2xx"}']).toBe(3);
    for (const leg of ['agent', 'primary']) {
      expect(open[`stringtap_connection_exchanges_total{leg="${leg}",use="first"}`]).toBe(1);
      expect(open[`stringtap_connection_exchanges_total{leg="${leg}",use="reused"}`]).toBe(2);
      expect(open[`stringtap_reuse_ratio{leg="${leg}"}`]).toBeCloseTo(2 / 3);
      expect(open[`stringtap_connections_open{leg="${leg}"}`]).toBe(1);
    }
    expect(open['stringtap_handshakes_total{leg="agent",kind="full"}']).toBe(2);
    expect(open['stringtap_handshake_seconds_count{leg="primary",kind="full"}']).toBe(1);
    expect(open['stringtap_connections_closed_total{leg="agent",by="agent",cause="end"}']).toBe(1);
    expect(open['stringtap_connections_unused_total{leg="agent"}']).toBe(1);
    expect(open.stringtap_capture_commits_total).toBe(3);
    expect(open.stringtap_capture_pending_exchanges).toBe(0);

    losses.push({ reason: 'late', count: 4, detail: '', hint: '' });
    memory.hold();
    agent.write(GET);
    await rig.exchange(4);
    const held = await samples(metrics);
    expect(held.stringtap_capture_pending_exchanges).toBe(1);
    expect(held['stringtap_capture_losses{reason="late"}']).toBe(4);
    memory.release();
    await agent.answer();

    await rig.proxy.close();
    const closed = await samples(metrics);
    for (const leg of ['agent', 'primary']) {
      expect(closed[`stringtap_connections_open{leg="${leg}"}`]).toBe(0);
      expect(closed[`stringtap_connections_closed_total{leg="${leg}",by="proxy",cause="shutdown"}`]).toBe(1);
    }
    expect(await metrics.text()).not.toMatch(/agent1\.example|127\.0\.0\.1/);
  });

  test('tell exchanges that met a fault on purpose', async () => {
    const memory = memoryTape();
    const metrics = createMetrics(() => []);
    const tape = Object.assign(Object.create(memory) as typeof memory, metrics.counted(memory));
    await using rig = await makeRig({ tape, proxy: { faults: faultRules(['status=503 times=2 ~phase file']) } });
    const agent = await rig.agent();
    for (let i = 0; i < 3; i += 1) {
      agent.write(GET);
      await agent.answer();
    }
    expect((await samples(metrics))['stringtap_faults_total{phase="file"}']).toBe(2);
  });

  test('are served at /metrics and nowhere else', async () => {
    const server = await serveMetrics(
      createMetrics(() => []),
      { host: '127.0.0.1', port: 0 },
    );
    const base = `http://127.0.0.1:${server.address.port}`;
    const { status, type, body } = await fetched(`${base}/metrics`);
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(body).toContain('# TYPE stringtap_exchanges_total counter');
    expect((await fetched(`${base}/`)).status).toBe(404);
    expect((await fetched(`${base}/metrics`, 'POST')).status).toBe(405);
    await server.close();
  });
});

test('the dashboard asks only for figures and labels that there are', async () => {
  const text = readFileSync(new URL('../../docs/grafana/stringtap.json', import.meta.url), 'utf8');
  const dashboard = JSON.parse(text) as { panels: Array<{ targets: Array<{ expr: string }> }> };
  const known = await createMetrics(() => []).text();
  const expressions = dashboard.panels.flatMap(panel => panel.targets.map(target => target.expr));
  expect(expressions.length).toBeGreaterThan(10);
  for (const expression of expressions) {
    for (const [, name] of expression.matchAll(/(stringtap_\w+)\{/g)) {
      expect(known).toContain(`# TYPE ${name!.replace(/_(bucket|sum|count)$/, '')} `);
    }
  }
});

describe('stringtap proxy --metrics', () => {
  const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url));

  interface Started extends Disposable {
    child: ChildProcess;
    until(text: RegExp): Promise<RegExpExecArray>;
  }

  function proxy(...args: string[]): Started {
    const child = spawn(process.execPath, [bin, 'proxy', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (text += part.toString('utf8')));
    const until = async (wanted: RegExp): Promise<RegExpExecArray> => {
      for (let i = 0; i < 500; i += 1) {
        const match = wanted.exec(text);
        if (match) return match;
        await new Promise(done => setTimeout(done, 20));
      }
      throw new Error(`it never printed ${wanted}: ${text}`);
    };
    return { child, until, [Symbol.dispose]: () => void child.kill('SIGKILL') };
  }

  test('says where, serves, and ends with the proxy; a taken address is refused by the option it was given with', async () => {
    using folder = temporaryFolder();
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    const common = ['--primary', `localhost:${primary.port}`, '--listen', '127.0.0.1:0', '--certs', folder.path('certs')];
    using first = proxy(...common, '--capture', folder.path('a.db'), '--metrics', '127.0.0.1:0');
    const [, url] = await first.until(/^metrics +(http:\/\/127\.0\.0\.1:\d+\/metrics)$/m);
    expect((await fetched(url!)).body).toContain('stringtap_connections_open{leg="agent"} 0');
    const taken = new URL(url!).host;
    using second = proxy(...common, '--capture', folder.path('b.db'), '--metrics', taken);
    await second.until(/is in use\nhint: --metrics 127\.0\.0\.1:0 takes a free port/);
    const ended = new Promise(done => first.child.once('close', done));
    first.child.kill('SIGINT');
    expect(await ended).toBe(0);
  });
});
