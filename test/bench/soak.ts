// npm run bench:soak: what the proxy's memory does when there is much of one thing. Prints one line a case with the peak RSS.
//   --target 'stringtap async' | 'bare https forwarder' | …
//   --only large,slow,herd,exchanges   --mib N (1024)   --connections N (10000)   --agents N (3000)   --exchanges N (1000000)
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeMaterial } from './material.ts';
import { killAll, start, stop, usage } from './process.ts';
import type { SoakPlan, SoakResult } from './soak-load.ts';
import { targets } from './targets.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'large,slow,herd,exchanges' },
    target: { type: 'string', default: 'stringtap commit' },
    mib: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '10000' },
    agents: { type: 'string', default: '3000' },
    exchanges: { type: 'string', default: '1000000' },
  },
});
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'stringtap-soak-'));

async function load(plan: SoakPlan): Promise<SoakResult> {
  const args = ['--max-old-space-size=4096', here('soak-load.ts'), JSON.stringify(plan)];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout!) text += String(chunk);
  return JSON.parse(text) as SoakResult;
}

const CASES = {
  large: { kind: 'large', count: Number(values.mib) },
  slow: { kind: 'slow', count: Number(values.connections) },
  herd: { kind: 'herd', count: Number(values.agents) },
  exchanges: { kind: 'exchanges', count: Number(values.exchanges) },
} as const;

try {
  const material = await makeMaterial(dir);
  for (const name of values.only.split(',')) {
    const wanted = CASES[name as keyof typeof CASES];
    if (wanted === undefined) throw new Error(`no case ${name}`);
    const primary = await start(process.execPath, [here('primary.ts'), JSON.stringify(material)], /^(\d+)$/, dir);
    const target = targets(material, dir).find(one => one.name.startsWith(values.target));
    if (target === undefined) throw new Error(`no target ${values.target}`);
    const proxy = await target.start(primary.port, 0);
    const idle = usage(proxy.child.pid).peak;
    const { ca, port, capture } = proxy;
    const result = await load({
      ...wanted,
      port,
      ca,
      host: `localhost:${primary.port}`,
      key: material.agentKey,
      cert: material.agentCert,
    });
    const { peak, cpu } = usage(proxy.child.pid);
    await stop(proxy.child);
    await stop(primary.child);
    const size = capture !== undefined && existsSync(capture) ? statSync(capture).size : 0;
    process.stdout.write(
      `${name.padEnd(10)} ${result.words}; peak RSS ${peak.toFixed(0)} MB (${idle.toFixed(0)} MB at the start), CPU ${cpu.toFixed(1)} s, ` +
        `capture ${(size / 1e6).toFixed(1)} MB, errors ${result.errors}\n`,
    );
    if (capture !== undefined) rmSync(capture, { force: true });
  }
} finally {
  killAll();
  rmSync(dir, { recursive: true, force: true });
}
