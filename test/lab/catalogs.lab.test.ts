import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Agent, hasMsgpack } from './agent.ts';
import { outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { expectCode, expectSameStory, type Lab, SCENARIO_MS, shape, useLab } from './lab.ts';
import { type RunJson, stringtap, stringtapJson } from './proxy.ts';

const ms = { timeout: SCENARIO_MS };

/** Runs that end otherwise than well, or ask for something else than usual: each next to the same run without a proxy. */
describe.skipIf(skipLab())('with a real agent and a real primary: catalogs', () => {
  const lab = useLab();

  /** One agent straight, one through a proxy, put through the same; both have run `steps` the same way. */
  async function both(
    name: string,
    steps: (agent: Agent, port: number) => Promise<void>,
    more: Parameters<Lab['direct']>[1] = {},
  ) {
    const straight = lab.direct(`${name}-direct.lab`, more);
    await steps(straight, lab.primary.port);
    const proxy = await lab.proxy();
    const certname = `${name}.lab`;
    const agent = lab.through(proxy, certname, more);
    const since = await lab.primary.mark();
    await steps(agent, proxy.port);
    return { proxy, certname, since };
  }

  test('a compilation that fails: the agent gets the 500 of the primary and its words', ms, async () => {
    const seen: unknown[] = [];
    const env = { FACTER_break_compile: '1' };
    const { proxy, certname, since } = await both('compile', async agent => {
      const run = await agent.run([], env);
      expectCode(run, 1);
      expect(run.stderr).toContain('the compilation is told to fail');
      expect(run.lastRunReport?.status).toBe('failed');
      seen.push(outcome(agent, run));
    });
    await using _ = proxy;
    expect(seen[1]).toEqual(seen[0]);
    const exchanges = await expectSameStory(lab, proxy, since, certname);
    const catalog = exchanges.find(one => one.phase === 'catalog')!;
    expect(catalog).toMatchObject({ status: 500, outcome: 'answered', answeredBy: 'primary' });
    const body = await stringtap(['show', catalog.id, proxy.capture, '--body', 'response', '--raw']);
    expect(body.stdout).toContain('the compilation is told to fail');
    expect(exchanges.at(-1)).toMatchObject({ phase: 'report', status: 200 });
  });

  test('--noop, then a run with a resource that fails', ms, async () => {
    const seen: unknown[] = [];
    const { proxy, certname, since } = await both('noop', async agent => {
      const noop = await agent.run(['--noop']);
      expectCode(noop, 0);
      expect(noop.lastRunReport).toMatchObject({ noop: true, noop_pending: true });
      expect(noop.files).toEqual([]);
      const broken = await agent.run([], { FACTER_break_apply: '1' });
      expectCode(broken, 6);
      expect(broken.lastRunReport?.status).toBe('failed');
      seen.push([outcome(agent, noop), outcome(agent, broken)]);
    });
    await using _ = proxy;
    expect(seen[1]).toEqual(seen[0]);
    await expectSameStory(lab, proxy, since, certname);
    const rows = await stringtapJson<RunJson>(['runs', proxy.capture]);
    // What failed is a resource on the agent; every exchange went well.
    expect(rows.map(row => [row.end, row.failed])).toEqual([
      ['report', 0],
      ['report', 0],
    ]);
  });

  test('the environment of the external node classifier is the one that is captured', ms, async () => {
    const seen: unknown[] = [];
    await using proxy = await lab.proxy();
    const since = await lab.primary.mark();
    for (const agent of [lab.direct('canary-direct.lab'), lab.through(proxy, 'canary.lab')]) {
      const run = await agent.run();
      expectCode(run, 2);
      expect(run.lastRunReport?.environment).toBe('canary');
      expect(readFileSync(join(agent.root, 'where'), 'utf8')).toBe('environment canary role lab\n');
      seen.push(outcome(agent, run));
      if (agent.certname !== 'canary.lab') continue;
      const lines = (await lab.primary.accessLog(since)).filter(line => line.user === agent.certname);
      const exchanges = await stringtapJson<Parameters<typeof shape>[0]>([
        'exchanges',
        proxy.capture,
        '--certname',
        agent.certname,
      ]);
      expect(exchanges.map(one => shape(one, agent.certname))).toEqual(lines.map(line => shape(line, agent.certname)));
    }
    expect(seen[1]).toEqual(seen[0]);
    const rows = await stringtapJson<RunJson>(['runs', proxy.capture]);
    expect(rows).toMatchObject([{ certname: 'canary.lab', environment: 'canary' }]);
  });

  test('a file bucket: what a run overwrites is asked for by HEAD and kept by PUT', ms, async () => {
    const seen: unknown[] = [];
    const { proxy, certname, since } = await both('bucket', async (agent, port) => {
      const env = { FACTER_bucket_server: 'localhost', FACTER_bucket_port: String(port) };
      expectCode(await agent.run([], env), 2);
      writeFileSync(join(agent.root, 'greeting'), `changed by hand on ${agent.certname}\n`);
      const run = await agent.run([], env);
      expectCode(run, 2);
      expect(run.lastRunReport?.corrective_change).toBe(true);
      seen.push(outcome(agent, run).resources.map(one => [one.ref, one.changed, one.corrective_change, one.failed]));
    });
    await using _ = proxy;
    expect(seen[1]).toEqual(seen[0]);
    const exchanges = await expectSameStory(lab, proxy, since, certname);
    const bucket = exchanges.filter(one => one.phase === 'filebucket');
    expect(bucket.map(one => [one.method, one.status])).toEqual([
      ['HEAD', 404],
      ['PUT', 200],
    ]);
    expect(bucket[0]!.target).toContain('/puppet/v3/file_bucket_file/sha256/');
    const kept = readdirSync(join(lab.primary.dir, 'var', 'bucket'), { recursive: true, encoding: 'utf8' });
    const digest = /sha256\/([0-9a-f]{64})/.exec(bucket[0]!.target)![1]!;
    expect(kept.some(name => name.endsWith(digest))).toBe(true);
  });

  test('MessagePack: offered in every request, and the report that the primary cannot read', ms, async context => {
    if (!hasMsgpack() && process.env.STRINGTAP_REQUIRE_PUPPET !== '1')
      context.skip('Debian package ruby-msgpack is not installed');
    const seen: unknown[] = [];
    const settings = { preferred_serialization_format: 'msgpack' };
    const { proxy, certname, since } = await both(
      'msgpack',
      async agent => {
        const run = await agent.run();
        seen.push(
          outcome(agent, run),
          shape({ method: '', target: run.stderr.replace(/localhost:\d+/g, '<primary>'), status: run.code }, agent.certname),
        );
      },
      { settings },
    );
    await using _ = proxy;
    expect(seen.slice(2)).toEqual(seen.slice(0, 2));
    const exchanges = await expectSameStory(lab, proxy, since, certname);
    const report = exchanges.find(one => one.phase === 'report')!;
    expect(report).toMatchObject({ status: 415, outcome: 'answered' });
    const sent = await stringtap(['show', report.id, proxy.capture, '--headers']);
    expect(sent.stdout).toContain('application/x-msgpack');
    expect(report.requestBytes).toBeGreaterThan(1000);
  });
});
