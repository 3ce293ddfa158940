// npm run bench:agents: real agent runs, straight to a real primary and through the proxy in turn; the median of the ratios counts.
// Needs puppet-agent and puppetserver.
//   --steady N (15)   --first N (3)
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Agent, direct, makeAgent } from '../lab/agent.ts';
import { missing } from '../lab/available.ts';
import { startPrimary } from '../lab/primary.ts';
import { startProxy } from '../lab/proxy.ts';
import { rawBytes } from './raw-bytes.ts';

const { values } = parseArgs({ options: { steady: { type: 'string', default: '15' }, first: { type: 'string', default: '3' } } });
const lacks = missing();
if (lacks.length > 0) {
  process.stderr.write(`bench:agents needs a real Puppet (missing: ${lacks.join(', ')}); Debian: puppet-agent, puppetserver\n`);
  process.exit(1);
}

const root = mkdtempSync(join(tmpdir(), 'stringtap-bench-agents-'));
let count = 0;

function agentFor(port: number, tls12: boolean): Agent {
  const certname = `pair${++count}.lab`;
  const dir = join(root, certname);
  mkdirSync(dir);
  return makeAgent({ dir, certname, ...direct(port), tls12, plain: true });
}

async function timed(agent: Agent): Promise<number> {
  const run = await agent.run();
  if (run.code !== 0 && run.code !== 2) throw new Error(`the agent ended with ${run.code}:\n${run.stdout}\n${run.stderr}`);
  return run.ms;
}

function show(what: string, pairs: ReadonlyArray<readonly [straight: number, through: number]>): void {
  if (pairs.length === 0) return;
  const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
  const median = (list: readonly number[]): number => sorted(list)[Math.floor((list.length - 1) / 2)]!;
  const ratios = sorted(pairs.map(([straight, through]) => through / straight));
  const at = (share: number): string => ratios[Math.round((ratios.length - 1) * share)]!.toFixed(2);
  process.stdout.write(
    `${what.padEnd(28)} ${pairs.length} pairs: straight ${(median(pairs.map(([ms]) => ms)) / 1000).toFixed(2)} s, through ` +
      `${(median(pairs.map(([, ms]) => ms)) / 1000).toFixed(2)} s, ratio ${at(0.5)} (quartiles ${at(0.25)} to ${at(0.75)})\n`,
  );
}

/** In turn, the order changing from pair to pair, so that what changes slowly on the machine falls out. */
async function pairs(n: number, straight: () => Promise<number>, through: () => Promise<number>): Promise<[number, number][]> {
  const list: [number, number][] = [];
  for (let i = 0; i < n; i++) {
    process.stderr.write(`pair ${i + 1} of ${n}\n`);
    if (i % 2 === 0) {
      const ms = await straight();
      list.push([ms, await through()]);
    } else {
      const ms = await through();
      list.push([await straight(), ms]);
    }
  }
  return list;
}

try {
  await using primary = await startPrimary({ dir: join(root, 'primary'), autosign: true });
  const proxyDir = join(root, 'proxy');
  mkdirSync(proxyDir);
  let capture = '';
  {
    await using proxy = await startProxy({ dir: proxyDir, primaryPort: primary.port });
    capture = proxy.capture;
    await timed(agentFor(primary.port, true)); // the primary's first compilation is its slowest
    const fresh = (port: number, tls12: boolean) => (): Promise<number> => timed(agentFor(port, tls12));
    const first = Number(values.first);
    show('first run, as TLS comes', await pairs(first, fresh(primary.port, false), fresh(proxy.port, false)));
    show('first run, agent on TLS 1.2', await pairs(first, fresh(primary.port, true), fresh(proxy.port, true)));
    const straight = agentFor(primary.port, true);
    const through = agentFor(proxy.port, false);
    await timed(straight);
    await timed(through);
    show(
      'steady run',
      await pairs(
        Number(values.steady),
        () => timed(straight),
        () => timed(through),
      ),
    );
    await proxy.stop();
  }
  const { bytes, runs } = rawBytes(capture);
  const { size } = statSync(capture);
  process.stdout.write(
    `capture of ${runs} runs: ${(size / 1e6).toFixed(2)} MB for ${(bytes / 1e6).toFixed(2)} MB that passed, ratio ${(size / bytes).toFixed(2)}\n`,
  );
} finally {
  rmSync(root, { recursive: true, force: true });
}
