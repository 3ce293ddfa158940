import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { tempDir } from '../capture/rig.ts';
import { rows, stringtap } from './stringtap.ts';

const dir = tempDir();
const here = dir.file('.');

beforeAll(() => copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), dir.file('a.db')));
afterAll(() => dir[Symbol.dispose]());

/** The same, worked out from the list of exchanges. */
async function expected(...filter: string[]): Promise<object> {
  const all = await rows(here, 'exchanges', 'a.db', ...filter);
  const times = all.map(row => row.durationMs as number).sort((a, b) => a - b);
  const rank = (share: number): number => times[Math.ceil(share * times.length) - 1]!;
  const sum = (name: string): number => all.reduce((total, row) => total + (row[name] as number), 0);
  return {
    requests: all.length,
    failed: all.filter(row => row.outcome !== 'answered' || (row.status as number) >= 500).length,
    p50Ms: rank(0.5),
    p95Ms: rank(0.95),
    p99Ms: rank(0.99),
    maxMs: times.at(-1),
    totalMs: expect.closeTo(sum('durationMs'), 6) as number,
    requestBytes: sum('requestBytes'),
    responseBytes: sum('responseBytes'),
  };
}

describe('times', () => {
  test('of each phase, in the order of a run, equal what the list of exchanges says', async () => {
    const found = await rows(here, 'times', 'a.db');
    expect(found.map(row => row.group)).toEqual([
      'ca',
      'crl',
      'csr',
      'certificate',
      'node',
      'pluginsync',
      'catalog',
      'file',
      'report',
    ]);
    for (const row of found)
      expect(row).toEqual({ by: 'phase', group: row.group, ...(await expected('--phase', String(row.group))), compare: null });
    expect(found.find(row => row.group === 'catalog')).toMatchObject({ failed: 1 });
  });

  test.each([
    ['certname', ['web01.lab', 'db01.lab', null]],
    ['environment', ['production', null]],
    ['status', ['200', '404', '500']],
    ['run', ['r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7']],
  ])('by %s', async (by, groups) => {
    const found = await rows(here, 'times', 'a.db', '--by', by);
    expect(new Set(found.map(row => row.group))).toEqual(new Set(groups));
    const totals = found.map(row => row.totalMs as number);
    expect(totals).toEqual(totals.toSorted((a, b) => b - a));
  });

  test('by request, where the names of agents are one', async () => {
    const found = await rows(here, 'times', 'a.db', '--by', 'request', '--limit', '1');
    expect(found).toEqual([
      { by: 'request', group: 'POST catalog/{certname}', ...(await expected('~phase catalog')), compare: null },
    ]);
    const files = await rows(here, 'times', 'a.db', '~phase file ~u mime', '--by', 'request');
    expect(files.map(row => row.group)).toContain('GET static_file_content/modules/profile/files/mime.types');
  });

  test('in a narrow terminal, the name of a request has room', async () => {
    const lines: string[] = [];
    const nothing = (): void => undefined;
    const io: Io = {
      out: line => void lines.push(line),
      err: nothing,
      chatter: nothing,
      write: nothing,
      stdoutIsTerminal: true,
      columns: 80,
      env: { NO_COLOR: '1' },
      exitCode: 0,
    };
    const before = process.exitCode;
    await main(['node', 'stringtap', 'times', dir.file('a.db'), '--by', 'request', '--limit', '5'], io);
    process.exitCode = before;
    expect(lines[0]).toMatch(/^REQUESTS +P50 +P95 +TOTAL +REQUEST$/);
    expect(lines.join('\n')).toContain('PUT certificate_request/{certname}');
    expect(lines.every(line => line.length <= 80)).toBe(true);
  });

  test('a filter and a moment choose, as for a list', async () => {
    const [one] = await rows(here, 'times', '~run r3 ~phase file', 'a.db');
    expect(one).toMatchObject({ group: 'file', ...(await expected('~run r3 ~phase file')) });
    const late = await rows(here, 'times', 'a.db', '--since', '2026-11-23T01:11:27.500Z', '--by', 'run');
    expect(late.map(row => row.group)).toEqual(['r7']);
  });

  test('as a table', async () => {
    const { stdout, stderr, code } = await stringtap(here, 'times', 'a.db', '~phase catalog');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^PHASE {4}REQUESTS {2}FAILED +P50 +P95 +P99 +MAX +TOTAL +UP +DOWN\ncatalog {9}7 {7}1 .* ms .* kB\n$/);
    expect(await stringtap(here, 'times', 'a.db', '~phase filebucket')).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  test('two captures side by side', async () => {
    copyFileSync(dir.file('a.db'), dir.file('b.db'));
    const found = await rows(here, 'times', 'a.db', '--compare', 'b.db', '~phase node | ~phase catalog');
    expect(found).toHaveLength(2);
    for (const { by: _, group, compare, ...own } of found) expect([group, compare]).toEqual([group, own]);
    const { stdout } = await stringtap(here, 'times', 'a.db', '--compare', 'b.db', '~phase catalog');
    expect(stdout).toMatch(/^a\.db → b\.db\n\nPHASE +REQUESTS +P50 +P95 +P99 +MAX +P50 CHANGE\ncatalog +7 → 7 .* 0 %\n$/);
    expect((await stringtap(here, 'times', 'a.db', '--compare', 'nowhere.db')).code).toBe(1);
  });

  test('what is not measured by is refused', async () => {
    const { code, stderr } = await stringtap(here, 'times', 'a.db', '--by', 'colour');
    expect([code, stderr]).toEqual([
      2,
      "stringtap: --by 'colour' is invalid: expected phase, certname, environment, request, status, run\nhint: stringtap help times shows how it is used\n",
    ]);
  });
});
