// npm run bench: one table on loopback with mutual TLS on both sides, targets in turn and repeated. What counts are the ratios of one
// run; the absolute figures are this machine's.
//   --rounds N (3)  --seconds S (4)  --only NAME,…
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LoadPlan, LoadResult } from './load.ts';
import { type Material, makeMaterial } from './material.ts';
import { killAll, start, stop, usage } from './process.ts';
import { type Target, targets } from './targets.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '4' }, only: { type: 'string' } },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
/** A proxy runs for days: V8 compiles what is hot on threads of its own, and a third of what a core does in the first two seconds is that. */
const WARM_UP_SECONDS = 3;

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'stringtap-bench-'));

async function load(plan: LoadPlan): Promise<LoadResult> {
  const child = spawn(process.execPath, [here('load.ts'), JSON.stringify(plan)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return JSON.parse(text) as LoadResult;
}

interface Row {
  smallPerS: number[];
  p50Ms: number[];
  p99Ms: number[];
  onePerS: number[];
  oneP50Ms: number[];
  largeMBPerS: number[];
  freshPerS: number[];
  cpuMs: number[];
  peakMB: number[];
  bytesEach: number[];
  errors: number;
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)] ?? Number.NaN;

async function measure(target: Target, primary: number, round: number, material: Material, row: Row): Promise<void> {
  const running = await target.start(primary, round);
  const plan = {
    port: running.port,
    host: `localhost:${primary}`,
    tunnel: target.tunnel === true,
    ca: running.ca,
    key: material.agentKey,
    cert: material.agentCert,
    connections: 8,
    warmUpSeconds: WARM_UP_SECONDS,
    seconds,
    fresh: false,
    target:
      '/puppet/v3/file_metadata/modules/m/motd?links=manage&checksum_type=sha256&source_permissions=ignore&environment=production',
  };
  const before = usage(running.child.pid);
  const small = await load(plan);
  const after = usage(running.child.pid);
  const one = await load({ ...plan, connections: 1 });
  const large = await load({ ...plan, target: '/puppet/v3/file_content/modules/m/large?environment=production' });
  const fresh = await load({ ...plan, fresh: true });
  row.smallPerS.push((small.requests / small.ms) * 1000);
  row.p50Ms.push(small.p50Ms);
  row.p99Ms.push(small.p99Ms);
  row.onePerS.push((one.requests / one.ms) * 1000);
  row.oneP50Ms.push(one.p50Ms);
  row.largeMBPerS.push(large.bytes / large.ms / 1000);
  row.freshPerS.push((fresh.requests / fresh.ms) * 1000);
  // CPU, and bytes on disk, are over the warm-up too.
  row.cpuMs.push(((after.cpu - before.cpu) * 1000) / (small.requests * ((seconds + WARM_UP_SECONDS) / seconds)));
  row.peakMB.push(usage(running.child.pid).peak);
  row.errors += small.errors + one.errors + large.errors + fresh.errors;
  await stop(running.child);
  if (running.capture && existsSync(running.capture)) {
    const counted = small.requests + one.requests + large.requests + fresh.requests;
    row.bytesEach.push(statSync(running.capture).size / (counted * ((seconds + WARM_UP_SECONDS) / seconds)));
    rmSync(running.capture, { force: true });
  }
}

try {
  const material = await makeMaterial(dir);
  const primary = await start(process.execPath, [here('primary.ts'), JSON.stringify(material)], /^(\d+)$/, dir);
  const all = targets(material, dir).filter(
    ({ name }) => !values.only || values.only.split(',').some(part => name.includes(part)),
  );
  const rows = new Map<string, Row>();
  for (let round = 0; round < rounds; round += 1) {
    for (const target of all) {
      process.stderr.write(`round ${round + 1} of ${rounds}: ${target.name}\n`);
      const row = rows.get(target.name) ?? {
        smallPerS: [],
        p50Ms: [],
        p99Ms: [],
        onePerS: [],
        oneP50Ms: [],
        largeMBPerS: [],
        freshPerS: [],
        cpuMs: [],
        peakMB: [],
        bytesEach: [],
        errors: 0,
      };
      rows.set(target.name, row);
      await measure(target, primary.port, round, material, row);
    }
  }
  const base = rows.get('bare https forwarder');
  // Of the two in the same round, and of these the median: a machine whose speed wanders has the same speed for both.
  const ratio = (own: readonly number[], of: readonly number[] | undefined): string =>
    of ? `${median(own.map((value, round) => value / (of[round] ?? Number.NaN))).toFixed(2)}x` : '-';
  const head = [
    'target',
    'small/s',
    '÷ bare',
    'p50 ms',
    'p99 ms',
    'one conn p50 ms',
    'MB/s',
    '÷ bare',
    'new conn/s',
    '÷ bare',
    'CPU ms/req',
    'peak MB',
    'bytes/exch',
    'errors',
  ];
  const lines = [...rows].map(([name, row]) => [
    name,
    median(row.smallPerS).toFixed(0),
    ratio(row.smallPerS, base?.smallPerS),
    median(row.p50Ms).toFixed(2),
    median(row.p99Ms).toFixed(2),
    median(row.oneP50Ms).toFixed(2),
    median(row.largeMBPerS).toFixed(0),
    ratio(row.largeMBPerS, base?.largeMBPerS),
    median(row.freshPerS).toFixed(0),
    ratio(row.freshPerS, base?.freshPerS),
    median(row.cpuMs).toFixed(3),
    median(row.peakMB).toFixed(0),
    row.bytesEach.length > 0 ? median(row.bytesEach).toFixed(0) : '-',
    String(row.errors),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map(line => line[i]!.length)));
  for (const line of [head, ...lines]) {
    process.stdout.write(
      `${line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`,
    );
  }
} finally {
  killAll();
  rmSync(dir, { recursive: true, force: true });
}
