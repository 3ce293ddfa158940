import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecorder } from '../../src/capture/recorder.ts';
import { openStore } from '../../src/capture/store.ts';
import { decodeExchange } from '../../src/decode/decode.ts';
import { routeOf } from '../../src/decode/route.ts';
import { agent, recording } from '../capture/rig.ts';

/*
 * npm run bench:decode: a catalog of 10,000 resources and a report of 20 MB, each decoded in a process of its own (time, peak memory), then both in
 * a capture beside small exchanges (how long the slowest of those waited for its commit, and how late the event loop of the main thread was).
 */

const RESOURCES = 10_000;
const REPORT_BYTES = 20e6;

const body = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function catalog(): Buffer {
  const resources = Array.from({ length: RESOURCES }, (_, n) => ({
    type: 'File',
    title: `/srv/app/part${n % 100}/file${n}.conf`,
    tags: ['file', 'class', 'profile::app', 'profile', 'app', 'node', 'default'],
    file: '/etc/puppetlabs/code/environments/production/modules/profile/manifests/app.pp',
    line: (n % 400) + 1,
    exported: false,
    parameters: { ensure: 'file', mode: '0644', owner: 'app', group: 'app', content: `key${n} = value\n`.repeat(20) },
  }));
  const edges = resources.map(({ title }) => ({ source: 'Class[Profile::App]', target: `File[${title}]` }));
  return body({ name: 'agent.example', version: 1, environment: 'production', resources, edges, classes: ['profile::app'] });
}

function report(): Buffer {
  const resource_statuses: Record<string, unknown> = {};
  const logs = [];
  for (let n = 0, bytes = 0; bytes < REPORT_BYTES; n++) {
    const resource = `File[/srv/app/part${n % 100}/file${n}.conf]`;
    const message = `content changed '{sha256}${'ab'.repeat(32)}' to '{sha256}${'cd'.repeat(32)}'`;
    resource_statuses[resource] = {
      title: `/srv/app/part${n % 100}/file${n}.conf`,
      resource,
      resource_type: 'File',
      file: '/etc/puppetlabs/code/environments/production/modules/profile/manifests/app.pp',
      line: n,
      evaluation_time: 0.01,
      changed: true,
      failed: false,
      tags: ['file', 'class', 'profile::app'],
      containment_path: ['Stage[main]', 'Profile::App', resource],
      events: [
        { property: 'content', previous_value: 'a', desired_value: 'b', status: 'success', message, name: 'content_changed' },
      ],
    };
    logs.push({
      level: 'notice',
      message,
      source: `/Stage[main]/Profile::App/${resource}/content`,
      tags: ['notice'],
      time: '2026-01-01T00:00:00Z',
    });
    bytes += 1_000;
  }
  return body({ host: 'agent.example', report_format: 12, status: 'changed', logs, resource_statuses, metrics: {} });
}

const CASES = {
  catalog: { make: catalog, request: 'POST /puppet/v3/catalog/agent.example?environment=production', side: 'response' },
  report: { make: report, request: 'PUT /puppet/v3/report/agent.example?environment=production', side: 'request' },
} as const;

/** Decodes one body in this thread. */
function decodeOnce(name: keyof typeof CASES, bytes: Uint8Array): number {
  const { request, side } = CASES[name];
  const [method, target] = request.split(' ') as [string, string];
  const fields = [['Content-Type', 'application/json']] as const;
  const started = performance.now();
  const decoded = decodeExchange({
    method,
    target,
    route: routeOf(method, target),
    status: 200,
    requestFields: fields,
    request: side === 'request' ? bytes : null,
    responseFields: fields,
    response: side === 'response' ? bytes : null,
  });
  const took = performance.now() - started;
  const part = decoded.phase === 'catalog' ? decoded.response : decoded.phase === 'report' ? decoded.request : null;
  if (part === null || 'error' in part) throw new Error(`${name} did not decode`);
  return took;
}

const mb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** A process of its own a body: its peak is of nothing else. */
async function alone(name: keyof typeof CASES): Promise<void> {
  const { spawnSync } = await import('node:child_process');
  const done = spawnSync(process.execPath, [import.meta.filename, name], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.stdout.write(done.stdout);
}

function measure(name: keyof typeof CASES): void {
  const bytes = new Uint8Array(CASES[name].make());
  const before = process.memoryUsage().rss;
  const took = decodeOnce(name, bytes);
  const peak = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(
    `${name}: ${mb(bytes.length)}, decoded in ${Math.round(took)} ms, peak ${mb(peak)} RSS, ${mb(peak - before)} over the start\n`,
  );
}

/** Both bodies in a capture, with small exchanges all the while. */
async function beside(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-bench-decode-'));
  const file = join(dir, 'bench.db');
  try {
    const recorder = await openRecorder({
      file,
      recording: recording(),
      durability: 'commit',
      maxBodyBytes: null,
      commitWaitMs: 60_000,
    });
    const line = agent(recorder, 'agent.example').connect();
    const fields = [['Content-Type', 'application/json']] as const;
    for (const { make, request, side } of Object.values(CASES)) {
      const bytes = make();
      const chunks = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, n) =>
        bytes.subarray(n * 65_536, (n + 1) * 65_536),
      );
      await line.send(request, { bodies: { [side]: chunks }, fields, responseFields: fields });
    }
    const waits: number[] = [];
    let late = 0;
    let tick = performance.now();
    const ticks = setInterval(() => {
      late = Math.max(late, performance.now() - tick - 5);
      tick = performance.now();
    }, 5);
    const started = performance.now();
    const store = openStore(file);
    while (store.decoded.behind() > 50 || performance.now() - started < 1000) {
      const sent = performance.now();
      await line.send('GET /puppet/v3/status/x?environment=production');
      waits.push(performance.now() - sent);
      await new Promise(resolve => setTimeout(resolve, 2));
    }
    const took = performance.now() - started;
    clearInterval(ticks);
    store.close();
    waits.sort((a, b) => a - b);
    const at = (share: number): string => `${waits[Math.floor((waits.length - 1) * share)]!.toFixed(1)} ms`;
    process.stdout.write(
      `in a capture: decoded and written after ${(took / 1000).toFixed(1)} s; ${waits.length} small exchanges meanwhile committed in ${at(0.5)} (median), ${at(0.99)} (99 %), ${at(1)} (longest); event loop late by ${late.toFixed(0)} ms at most\n`,
    );
    line.close();
    await recorder.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const given = process.argv[2];
if (given === 'catalog' || given === 'report') measure(given);
else {
  await alone('catalog');
  await alone('report');
  await beside();
}
