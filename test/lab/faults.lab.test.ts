import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { skipLab } from './available.ts';
import { exchangesOf, expectCode, ofAgents, SCENARIO_MS, useLab } from './lab.ts';
import { type ExchangeJson, stringtap, stringtapJson } from './proxy.ts';

const ms = { timeout: SCENARIO_MS };

type Faulted = ExchangeJson & { fault: string | null; durationMs: number };

interface FindingJson {
  run: string | null;
  rule: string;
  evidence: { exchanges: string[] };
}

/** Rules that speak of the primary, or of what it costs. */
const BLAMES = /^(catalog-compile-failed|primary-unreachable|server-busy|slow-compile|report-rejected)$/;

describe.skipIf(skipLab())('faults on purpose, with a real agent and a real primary', () => {
  const lab = useLab();
  const faults = (...rules: string[]): string[] => rules.flatMap(rule => ['--fault', rule]);

  test('a catalog that is late, one that is a 500, one that never comes: what the agent makes of each', ms, async () => {
    const of = 'times=1 ~phase catalog ~certname late.lab';
    await using proxy = await lab.proxy(
      ...faults(
        ...['delay=6s', 'status=500', 'reset', 'cut=200', 'stall', 'status=503 retry-after=2s'].map(action => `${action} ${of}`),
      ),
    );
    expect(proxy.stdout()).toMatch(/^FAULTS {7}/m);
    const agent = lab.through(proxy, 'late.lab');
    const since = await lab.primary.mark();

    const late = await agent.run();
    expectCode(late, 2);
    expect(late.lastRunReport).toMatchObject({ status: 'changed', cached_catalog_status: 'not_used' });
    expect(late.ms).toBeGreaterThan(6000);

    const cached = async (says: string | RegExp, ...args: string[]): Promise<void> => {
      const run = await agent.run(['--onetime', ...args]);
      expectCode(run, 0);
      expect(run.stderr).toMatch(says);
      expect(run.stdout).toContain("Using cached catalog from environment 'production'");
      expect(run.lastRunReport).toMatchObject({ status: 'unchanged', cached_catalog_status: 'on_failure' });
    };
    await cached('Error 500 on SERVER: stringtap: a fault on purpose (--fault status=500)');
    await cached(/Connection reset by peer/);
    await cached(/interrupted after .*\n.*\nend of file reached|end of file reached/);
    await cached(/timed out read operation after 5\.\d+ seconds/, '--http_read_timeout', '5s');
    // A Puppet 7 sleeps, and then fails on an error of its own; a later one asks again.
    const sleepy = await agent.run(['--onetime']);
    expectCode(sleepy, 0);
    expect(`${sleepy.stdout}${sleepy.stderr}`).toContain('Sleeping for 2 seconds before retrying the request');

    // The next one is the primary's own again.
    const well = await agent.run(['--onetime']);
    expectCode(well, 0);
    expect(well.lastRunReport).toMatchObject({ cached_catalog_status: 'not_used' });
    const asked = ofAgents(await lab.primary.accessLog(since)).filter(({ target }) => target.startsWith('/puppet/v3/catalog/'));
    await proxy.stop();

    const catalogs = (await stringtapJson<Faulted>(['exchanges', proxy.capture, '~phase catalog'])).slice();
    const faulted = catalogs.filter(one => one.fault !== null);
    expect(faulted.map(one => [one.fault?.split(' ')[0], one.status, one.outcome, one.answeredBy])).toEqual([
      ['delay=6s', 200, 'answered', 'primary'],
      ['status=500', 500, 'failed', 'proxy'],
      ['reset', null, 'failed', 'proxy'],
      ['cut=200', 200, 'failed', 'primary'],
      ['stall', null, 'abandoned', 'proxy'],
      ['status=503', 503, 'failed', 'proxy'],
    ]);
    expect(faulted[0]!.durationMs).toBeGreaterThanOrEqual(6000);
    // The primary saw those, and only those, that went to it.
    expect(asked).toHaveLength(catalogs.filter(one => one.answeredBy === 'primary').length);

    const found = await stringtapJson<FindingJson>(['findings', proxy.capture]);
    const injected = found.filter(({ rule }) => rule === 'faults-injected').flatMap(({ evidence }) => evidence.exchanges);
    expect(injected.sort()).toEqual(faulted.map(({ id }) => id).sort());
    expect(found.filter(({ rule }) => BLAMES.test(rule))).toEqual([]);
    const served = await stringtap(['show', faulted[1]!.id, proxy.capture]);
    expect(served.stdout).toMatch(/FAULT +on purpose, by --fault 'status=500 times=1 /);
  });

  test('another catalog, from a file that is edited beside it, changes what the agent applies', ms, async () => {
    const folder = lab.folder('edited');
    const file = join(folder, 'catalog.json');
    writeFileSync(file, '{}');
    await using first = await lab.proxy();
    const plain = lab.through(first, 'edited.lab');
    expectCode(await plain.run(), 2);
    expect(readFileSync(join(plain.root, 'greeting'), 'utf8')).toBe('a plain content\n');
    const out = join(folder, 'out');
    await stringtap(['export', 'r1', first.capture, '--format', 'files', '--reveal', '-o', out]);
    const catalog = readFileSync(join(out, 'r1-edited.lab', 'catalog.json'), 'utf8');
    expect(catalog).toContain('a plain content');

    await using proxy = await lab.proxy(
      '--certs',
      first.certs,
      '--fault',
      `answer=${file} times=2 ~phase catalog ~certname edited*`,
    );
    const through = ['--serverport', String(proxy.port)];
    for (const [content, code] of [
      ['another content', 2],
      ['a third content', 2],
    ] as const) {
      writeFileSync(file, catalog.replaceAll('a plain content', content));
      const run = await plain.run(through);
      expectCode(run, code);
      expect(run.stdout).toContain('Caching catalog for edited.lab');
      expect(readFileSync(join(plain.root, 'greeting'), 'utf8')).toBe(`${content}\n`);
    }
    // Not to be taken for what the primary compiles.
    expectCode(await plain.run(through), 2);
    expect(readFileSync(join(plain.root, 'greeting'), 'utf8')).toBe('a plain content\n');
    await proxy.stop();
    const catalogs = (await exchangesOf(proxy, '~phase catalog')) as Faulted[];
    expect(catalogs.map(one => [one.fault === null, one.answeredBy, one.outcome])).toEqual([
      [false, 'proxy', 'answered'],
      [false, 'proxy', 'answered'],
      [true, 'primary', 'answered'],
    ]);
    const contents = await stringtap([
      'query',
      "SELECT run, json_extract(parameters, '$.content') FROM v_resource WHERE title LIKE '%/greeting' ORDER BY run",
      proxy.capture,
      '--json',
    ]);
    expect(contents.stdout).toMatch(/another content[\s\S]*a third content[\s\S]*a plain content/);
  });

  test('plugins, a file, its content and the report: what each costs the agent', ms, async () => {
    const content = join(lab.folder('content'), 'motd');
    writeFileSync(content, 'not what was promised\n');
    await using first = await lab.proxy();
    const agent = lab.through(first, 'parts.lab');
    expectCode(await agent.run(), 2);
    await using proxy = await lab.proxy(
      '--certs',
      first.certs,
      ...faults(
        'status=500 times=1 ~phase pluginsync',
        'status=500 times=1 ~u mounted.txt',
        'reset times=2 ~phase report',
        `answer=${content} times=1 ~u motd`,
      ),
    );
    const through = ['--serverport', String(proxy.port)];
    rmSync(join(agent.root, 'motd'));
    const parts = await agent.run(through);
    expectCode(parts, 4);
    expect(parts.stderr).toContain('Error: Fault of stringtap');
    expect(parts.stderr).toContain(
      'Could not retrieve file metadata for puppet:///depot/mounted.txt: Error 500 on SERVER: stringtap',
    );
    expect(parts.stderr).toContain('File written to disk did not match desired checksum; discarding changes');
    expect(parts.stderr).toMatch(/Could not send report: .*Connection reset by peer/);
    expect(existsSync(join(agent.root, 'motd'))).toBe(false);
    // What was missing comes now; that the report is lost again changes nothing of the exit code.
    const again = await agent.run(through);
    expectCode(again, 2);
    expect(again.stderr).toMatch(/Could not send report: .*Connection reset by peer/);
    expect(readFileSync(join(agent.root, 'motd'), 'utf8')).toBe('motd of production\n');
    const well = await agent.run(through);
    expectCode(well, 0);
    expect(well.stderr).toBe('');
  });
});
