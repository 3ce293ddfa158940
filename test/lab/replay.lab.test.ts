import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RunComparison } from '../../src/analysis/compare-result.ts';
import type { ReplaySummary } from '../../src/replay/agents-summary.ts';
import { skipLab } from './available.ts';
import { expectCode, ofAgents, SCENARIO_MS, shape, useLab } from './lab.ts';
import { PACKAGED_ACCESS_LOG } from './primary-config.ts';
import { BIN, type Finished, stringtapJson } from './proxy.ts';

const CERTNAME = 'replay.lab';
/** Replayed agents at the same time; a compilation takes the one JRuby instance for half a second, so that 200 take minutes. */
const AGENTS = Number(process.env.STRINGTAP_LAB_AGENTS ?? 20);

interface Replayed {
  same: boolean;
  summary: ReplaySummary;
  agents: { certname: string; end: string; requests: number }[];
  comparisons: RunComparison[] | null;
}

/** Runs of a real agent, replayed to the real primary that they were recorded at. */
describe.skipIf(skipLab())('stringtap replay', () => {
  const lab = useLab();
  let capture = '';
  let certs = '';
  /** What was changed of the code → as it was. */
  const changed = new Map<string, string>();

  beforeAll(async () => {
    const proxy = await lab.proxy();
    const agent = lab.through(proxy, CERTNAME);
    expectCode(await agent.run(), 2);
    expectCode(await agent.run(), 0);
    await proxy.stop();
    ({ capture, certs } = proxy);
  }, SCENARIO_MS);

  afterEach(() => {
    for (const [file, text] of changed) writeFileSync(file, text);
    changed.clear();
  });

  function change(name: string, edit: (text: string) => string): void {
    const file = join(lab.primary.dir, 'code', 'environments', 'production', 'modules', 'base', name);
    const text = readFileSync(file, 'utf8');
    expect(edit(text)).not.toBe(text);
    changed.set(file, text);
    writeFileSync(file, edit(text));
  }

  function replay(...args: string[]): Promise<Finished> {
    const to = ['--to', `localhost:${lab.primary.port}`, '--from', capture, '--certs', certs];
    return new Promise(resolve => {
      const options = { maxBuffer: 64 << 20, timeout: SCENARIO_MS };
      const child = execFile(process.execPath, [BIN, 'replay', ...to, ...args], options, (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, stdout, stderr });
      });
    });
  }

  async function replayed(code: number, ...args: string[]): Promise<Replayed> {
    const ended = await replay(...args, '--timing', 'fast', '--json');
    if (ended.code !== code) expect.fail(`exit ${ended.code}, not ${code}: ${ended.stderr}${ended.stdout}`);
    return JSON.parse(ended.stdout) as Replayed;
  }

  test('to the same primary: the same requests, no difference', { timeout: SCENARIO_MS }, async () => {
    const since = await lab.primary.mark();
    const { summary, comparisons } = await replayed(0, 'r1', 'r2');
    const lines = ofAgents(await lab.primary.accessLog(since));
    const sent = (
      await stringtapJson<{ method: string; target: string; status: number; phase: string }>(['exchanges', capture])
    ).filter(({ method }) => method !== 'PUT');
    expect(lines.map(line => shape(line, CERTNAME))).toEqual(sent.map(one => shape(one, CERTNAME)));
    expect(summary.requests).toBe(lines.length);
    expect(comparisons?.map(({ same }) => same)).toEqual([true, true]);
    for (const line of lines) if (line.target.startsWith('/puppet/')) expect(line).toMatchObject({ user: CERTNAME });
  });

  test("the primary's own log joins: each request that it answered, with its time in JRuby", {
    timeout: SCENARIO_MS,
  }, async () => {
    await lab.primary.mark(); // what was answered is in the log
    const copy = `${capture}.joined.db`;
    copyFileSync(capture, copy);
    const log = join(lab.primary.dir, 'log', PACKAGED_ACCESS_LOG);
    const [joined] = await stringtapJson<Record<string, number>>(['join', log, copy]);
    const times = await stringtapJson<{ phase: string; status: number; took_ms: number | null; borrow_ms: number | null }>([
      'query',
      `SELECT phase, status, took_ms, borrow_ms FROM v_exchange LEFT JOIN v_primary_time ON exchange = id
       WHERE primary_connection IS NOT NULL AND outcome = 'answered'`,
      copy,
    ]);
    expect(times.length).toBeGreaterThan(10);
    expect(times.filter(row => row.took_ms === null)).toEqual([]);
    expect(joined).toMatchObject({ exchanges: times.length, matched: times.length });
    expect(Math.abs(joined!.offsetMs!)).toBeLessThan(1100); // one clock, told by whole seconds
    for (const row of times.filter(({ phase }) => phase === 'catalog')) expect(row.borrow_ms).toBeGreaterThan(0);
  });

  test('one resource of a manifest, and one file: exactly these differ', { timeout: SCENARIO_MS }, async () => {
    change('manifests/init.pp', text => text.replace('a plain content', 'another content'));
    change('files/motd', text => `${text}and one line more\n`);
    const { comparisons } = await replayed(3, 'r1');
    const [{ counts, catalog, files }] = comparisons as [RunComparison];
    expect(counts).toEqual({ ...zero(counts), resources: 1, files: 1 });
    expect(files).toMatchObject([
      { kind: 'changed', path: 'modules/base/motd', content: { type: 'text', text: { addedLines: 1 } } },
    ]);
    expect(catalog?.resources).toMatchObject([{ kind: 'changed', type: 'File', title: expect.stringMatching(/\/greeting$/) }]);
    expect(catalog?.resources[0]?.changes.map(({ path }) => path)).toEqual([['parameters', 'content']]);
  });

  test('a report that is written is one of this run', { timeout: SCENARIO_MS }, async () => {
    const since = await lab.primary.mark();
    const { summary, same } = await replayed(0, 'r2', '--writes', 'report');
    expect(same).toBe(true);
    const lines = ofAgents(await lab.primary.accessLog(since));
    expect(lines.at(-1)).toMatchObject({ method: 'PUT', status: 200, user: CERTNAME });
    expect(summary.requests).toBe(lines.length);
  });

  test(`${AGENTS} agents: nothing is lost, and the summary is what the primary's log says`, {
    timeout: 2 * SCENARIO_MS,
  }, async () => {
    const since = await lab.primary.mark();
    const args = ['r2', '--agents', String(AGENTS), '--ramp', '5s', '--as', 'load-%04d.lab', '--wait-for-cert', '60s'];
    const { summary, agents } = await replayed(0, ...args);
    const lines = ofAgents(await lab.primary.accessLog(since));
    expect(summary).toMatchObject({ failed: 0, otherStatus: 0, agents: { done: AGENTS } });
    expect(summary.connections).toMatchObject({ opened: AGENTS, failed: 0 });
    expect(lines.length).toBe(summary.requests);
    const statuses = [...Map.groupBy(lines, line => String(line.status))].map(([status, those]) => [status, those.length]);
    expect(summary.statuses).toEqual(Object.fromEntries(statuses));
    const asked = new Map([...Map.groupBy(lines, line => line.user)].map(([user, those]) => [user, those.length]));
    expect(asked).toEqual(new Map(agents.map(({ certname, requests }) => [certname, requests])));
    expect(new Set(lines.map(line => line.session)).size).toBe(AGENTS);
  });
});

/** All counts as 0. */
function zero(counts: RunComparison['counts']): RunComparison['counts'] {
  return Object.fromEntries(Object.keys(counts).map(name => [name, 0])) as unknown as RunComparison['counts'];
}
