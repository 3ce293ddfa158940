import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RunComparison, ValueChange } from '../../src/analysis/compare-result.ts';
import { skipLab } from './available.ts';
import { expectCode, SCENARIO_MS, useLab } from './lab.ts';
import { stringtap } from './proxy.ts';
import { ENVIRONMENTS } from './site.ts';

/**
 * What `stringtap diff` says of runs of a real agent between which one thing was changed on a real primary: that, and nothing else.
 */
describe.skipIf(skipLab())('diff of real runs', () => {
  const lab = useLab();

  const short = ({ path, kind, before, after, text }: ValueChange): string =>
    text === null
      ? `${kind} ${path.join('/')} ${JSON.stringify(before)} ${JSON.stringify(after)}`
      : `${kind} ${path.join('/')} ${text.hunks.flatMap(({ lines }) => lines.filter(line => !line.startsWith(' '))).join(' ')}`;

  // the runs build on each other, and are dear: every step is looked at, also after one that is not as it should be
  test('says exactly what was changed: a manifest, a file, a template, the environment of the ENC', {
    timeout: SCENARIO_MS,
  }, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'changing.lab');
    const root = agent.root;
    const edit = (file: string, from: string, to: string): void => {
      const text = readFileSync(file, 'utf8');
      expect(text).toContain(from);
      writeFileSync(file, text.replace(from, to));
    };
    const inModules = (name: string, from: string, to: string): void => {
      for (const environment of ENVIRONMENTS) {
        edit(join(lab.primary.dir, 'code', 'environments', environment, 'modules', 'base', name), from, to);
      }
    };
    let runs = 0;
    /** Runs the agent, and compares this run with the one before. */
    const next = async (code: number): Promise<RunComparison> => {
      expectCode(await agent.run(), code);
      runs++;
      const { code: exit, stdout, stderr } = await stringtap(['diff', `r${runs}`, proxy.capture, '--json']);
      if (exit !== 0 && exit !== 3) expect.fail(stderr);
      const comparison = JSON.parse(stdout) as RunComparison;
      expect(exit).toBe(comparison.same ? 0 : 3);
      return comparison;
    };
    /** Resources, files and facts that differ, and the events of the second run. */
    const told = ({ catalog, files, facts, node, report, run }: RunComparison) => ({
      run: run.map(short),
      node: (node ?? []).map(short),
      facts: facts?.changes.map(short).sort(),
      resources: catalog?.resources.map(one => [
        one.kind,
        `${one.type}[${one.title.replace(root, '')}]`,
        ...one.changes.map(short),
      ]),
      edges: catalog?.edges,
      files: files.map(one => [
        one.kind,
        one.path,
        ...one.resources.map(name => name.replace(root, '')),
        ...one.metadata.map(short),
      ]),
      events: report?.events.map(one => `${one.kind} ${one.resource.replace(root, '')} ${one.property ?? ''}`.trim()).sort(),
    });
    const nothing = { run: [], node: [], facts: [], resources: [], edges: [], files: [], events: [] };

    expectCode(await agent.run(), 2);
    runs++;
    // the first run is another one: it enrols, and applies everything; catalog and facts are the same
    const second = await next(0);
    expect.soft({ ...told(second), facts: [], events: [] }).toEqual(nothing);
    const third = await next(0);
    expect.soft(told(third)).toEqual(nothing);
    expect
      .soft(third.counts, JSON.stringify(third.exchanges))
      .toEqual(Object.fromEntries(Object.keys(third.counts).map(name => [name, 0])));
    expect.soft(third.same).toBe(true);

    inModules('manifests/init.pp', 'content => "a plain content\\n"', 'content => "a plain content\\n", mode => "0640"');
    const manifest = await next(2);
    expect.soft(told(manifest)).toEqual({
      ...nothing,
      resources: [['changed', 'File[/greeting]', 'added parameters/mode null "0640"']],
      events: ['added Exec[refreshed]', 'added File[/greeting] mode'],
    });
    expect.soft(manifest.catalog!.resources[0]!.after!.file).toMatch(/init\.pp$/);
    expect.soft(manifest.counts).toMatchObject({ exchanges: 0, unmatched: 0 });

    inModules('files/motd', 'motd of', 'new motd of');
    const file = await next(2);
    expect.soft(told(file)).toEqual({
      ...nothing,
      files: [['changed', 'modules/base/motd', 'File[/motd]']],
      events: ['added File[/motd] content', 'removed Exec[refreshed]', 'removed File[/greeting] mode'],
    });
    expect.soft(file.files[0]!.content).toMatchObject({
      type: 'text',
      text: { hunks: [{ lines: ['-motd of production', '+new motd of production'] }] },
    });
    expect
      .soft(new Set(file.exchanges.onlyB.map(({ target }) => target.split('?')[0])))
      .toEqual(new Set(['/puppet/v3/static_file_content/modules/base/files/motd']));

    inModules('templates/rendered.epp', 'rendered on', 'now rendered on');
    const template = await next(2);
    expect.soft(told(template)).toEqual({
      ...nothing,
      resources: [['changed', 'File[/rendered]', 'changed parameters/content -rendered on Linux +now rendered on Linux']],
      events: ['added File[/rendered] content', 'removed File[/motd] content'],
    });

    expectCode(await agent.run(), 0);
    runs++;
    edit(join(lab.primary.dir, 'bin', 'enc'), 'canary*)', 'canary*|changing.lab)');
    const moved = await next(2);
    expect.soft({ ...told(moved), events: [] }).toEqual({
      ...nothing,
      run: ['changed environment "production" "canary"'],
      facts: ['changed rack/env "production" "canary"', 'changed rack_site "production" "canary"'],
      resources: [
        ['changed', 'File[/where]', 'changed parameters/content -environment production role lab +environment canary role lab'],
      ],
      files: [
        ['changed', 'modules/base/motd', 'File[/motd]'],
        ['changed', 'pluginfacts/rack_site.sh'],
        ['changed', 'plugins/facter/rack.rb'],
      ],
    });
    expect.soft(moved.catalog!.resources[0]!.facts).toContain('rack.env');
    expect.soft(moved.counts.exchanges).toBe(0);
  });
});
