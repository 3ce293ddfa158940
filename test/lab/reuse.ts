import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duration, table } from '../../src/commands/present.ts';
import { missing } from './available.ts';
import { startPrimary } from './primary.ts';
import { CONDITIONS, openBench, type Result } from './reuse-experiment.ts';

/**
 * `npm run lab:reuse`: a real agent runs against a real primary through the proxy under conditions that make it reuse connections, or not;
 * prints what `stringtap reuse` says beside what an independent observer counted. Needs puppet-agent and puppetserver; takes some minutes.
 */
async function main(): Promise<void> {
  const lacks = missing();
  if (lacks.length > 0) {
    process.stderr.write(`lab:reuse needs a real Puppet (missing: ${lacks.join(', ')}); Debian: puppet-agent, puppetserver\n`);
    process.exitCode = 1;
    return;
  }
  const root = mkdtempSync(join(tmpdir(), 'stringtap-lab-reuse-'));
  try {
    const results: Result[] = [];
    const say = (text: string): boolean => process.stderr.write(`${text}\n`);
    {
      say('starting a primary');
      await using primary = await startPrimary({ dir: join(root, 'primary') });
      await using bench = await openBench(join(root, 'bench'), primary);
      for (const condition of CONDITIONS) {
        say(condition.name);
        results.push(await bench.run(condition));
      }
    }
    {
      say('starting a primary whose idle time is 2 s');
      await using primary = await startPrimary({ dir: join(root, 'primary-2'), idleMs: 2000 });
      await using bench = await openBench(join(root, 'bench-2'), primary);
      await bench.run({ name: 'first run', code: 2 });
      const condition = { name: "slow facts, primary's idle time 2 s", slowFactsS: 5, args: ['--http_keepalive_timeout', '25s'] };
      say(condition.name);
      results.push(await bench.run(condition));
    }
    for (const line of show(results)) process.stdout.write(`${line}\n`);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function show(results: readonly Result[]): string[] {
  const legs = results.flatMap(result => (['agent', 'primary'] as const).map(leg => ({ result, leg })));
  const figures = ({ result, leg }: (typeof legs)[number]) => result.report[leg];
  const percent = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const lines = table<(typeof legs)[number]>(
    [
      { title: 'CONDITION', value: row => (row.leg === 'agent' ? row.result.condition.name : '') },
      { title: 'LEG', value: row => row.leg },
      { title: 'CONN', right: true, value: row => String(figures(row).connections) },
      { title: 'FULL', right: true, value: row => String(figures(row).handshakes.full) },
      { title: 'RESUMED', right: true, value: row => String(figures(row).handshakes.resumed) },
      { title: 'EXCH', right: true, value: row => String(figures(row).exchanges) },
      { title: 'REUSE %', right: true, value: row => percent(figures(row).reusePercent) },
      { title: 'HANDSHAKES', right: true, value: row => duration(figures(row).cost.spentMs) },
      {
        title: 'OBSERVED',
        value: ({ result, leg }) => {
          const { connections, full, resumed } = result.observed[leg];
          return `${connections} TCP, ${full} full, ${resumed} resumed`;
        },
      },
      {
        title: 'CLOSED',
        value: row =>
          figures(row)
            .closings.map(({ by, ending, connections }) => `${connections} ${by ?? ''} ${ending}`)
            .join(', '),
      },
    ],
    legs,
    Number.MAX_SAFE_INTEGER,
  );
  const advice = results.flatMap(({ condition, report }) =>
    report.advice.map(({ leg, change }) => `${condition.name}, ${leg} leg: ${change}`),
  );
  return [...lines, '', ...advice];
}

await main();
