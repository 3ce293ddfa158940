// npm run bench:disk: how large a capture is. Real agents run against a real primary through the proxy, nearly all runs with nothing to do;
// then the capture's bytes are held against those that passed, table by table. Needs puppet-agent and puppetserver, unless a capture is given.
//   --runs N (100)   --agents N (3)   --keep FILE (the capture, as it was recorded)   --capture FILE (measures that one, and records nothing)
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Database from 'better-sqlite3';
import { openStore } from '../../src/capture/store.ts';
import { direct, makeAgent } from '../lab/agent.ts';
import { missing } from '../lab/available.ts';
import { startPrimary } from '../lab/primary.ts';
import { startProxy } from '../lab/proxy.ts';
import { rawBytes } from './raw-bytes.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    agents: { type: 'string', default: '3' },
    keep: { type: 'string' },
    capture: { type: 'string' },
  },
});

/** Records runs into `target`. */
async function record(target: string): Promise<void> {
  const lacks = missing();
  if (lacks.length > 0) {
    throw new Error(`bench:disk needs a real Puppet (missing: ${lacks.join(', ')}); Debian: puppet-agent, puppetserver`);
  }
  const root = mkdtempSync(join(tmpdir(), 'stringtap-bench-disk-'));
  try {
    await using primary = await startPrimary({ dir: join(root, 'primary'), autosign: true });
    await using proxy = await startProxy({ dir: join(root, 'proxy'), primaryPort: primary.port });
    const agents = Array.from({ length: Number(values.agents) }, (_, i) => {
      const certname = `node${i + 1}.lab`;
      const dir = join(root, certname);
      mkdirSync(dir);
      return makeAgent({ dir, certname, ...direct(proxy.port) });
    });
    for (let n = 0; n < Number(values.runs); n++) {
      const run = await agents[n % agents.length]!.run();
      process.stderr.write(`run ${n + 1} of ${values.runs}: exit ${run.code}, ${(run.ms / 1000).toFixed(1)} s\n`);
      if (run.code !== 0 && run.code !== 2) throw new Error(`the agent ended with ${run.code}:\n${run.stdout}\n${run.stderr}`);
    }
    await proxy.stop();
    openStore(proxy.capture, 'bodies').close();
    copyFileSync(proxy.capture, target);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function report(file: string): void {
  const raw = rawBytes(file);
  const { size } = statSync(file);
  const db = new Database(file, { readonly: true });
  const parts = db
    .prepare<[], { name: string; pages: number; bytes: number; payload: number; unused: number; cells: number }>(
      `SELECT name, count(*) AS pages, sum(pgsize) AS bytes, sum(payload) AS payload, sum(unused) AS unused, sum(ncell) AS cells
       FROM dbstat GROUP BY name ORDER BY bytes DESC, name`,
    )
    .all();
  db.close();
  const kB = (bytes: number): string => (bytes / 1000).toFixed(1).padStart(10);
  process.stdout.write(`${'part'.padEnd(32)}         kB  of the file   payload    unused    cells\n`);
  for (const { name, bytes, payload, unused, cells } of parts) {
    const share = `${((100 * bytes) / size).toFixed(1)} %`.padStart(12);
    process.stdout.write(`${name.padEnd(32)} ${kB(bytes)} ${share}${kB(payload)}${kB(unused)}${String(cells).padStart(9)}\n`);
  }
  process.stdout.write(
    `capture of ${raw.runs} runs, ${raw.exchanges} exchanges: ${(size / 1e6).toFixed(3)} MB for ${(raw.bytes / 1e6).toFixed(3)} MB that passed ` +
      `(bodies ${(raw.bodies / 1e6).toFixed(3)} MB), ratio ${(size / raw.bytes).toFixed(3)}, ${(size / raw.runs / 1000).toFixed(1)} kB a run\n`,
  );
}

if (values.capture !== undefined) report(values.capture);
else {
  const folder = mkdtempSync(join(tmpdir(), 'stringtap-bench-disk-capture-'));
  const file = join(folder, 'capture.db');
  try {
    await record(file);
    if (values.keep !== undefined) copyFileSync(file, values.keep);
    report(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
