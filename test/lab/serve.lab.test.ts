import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { startServe } from '../../src/replay/serve.ts';
import type { ServeSummary } from '../../src/replay/serve-shapes.ts';
import { type Agent, type AgentRun, direct, hasMsgpack, makeAgent } from './agent.ts';
import { type Outcome, outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { expectCode, SCENARIO_MS, useLab } from './lab.ts';

const ms = { timeout: SCENARIO_MS };

/** What an agent does before a run, and the run; once with the primary, once with the capture in its place. */
interface Step {
  words: string;
  code: number;
  prepare?(agent: Agent): void;
  args?: readonly string[];
}

/** Fresh, steady, noop with something to do: a run of each kind, one after the other. */
const STEPS: readonly Step[] = [
  { words: 'fresh', code: 2 },
  { words: 'steady', code: 0 },
  { words: 'noop', code: 0, prepare: agent => rmSync(join(agent.root, 'greeting')), args: ['--noop'] },
];
const MSGPACK = { preferred_serialization_format: 'msgpack' };

describe.skipIf(skipLab())('captured runs, served to real agents when the primary is gone', () => {
  const lab = useLab();
  const captured: Outcome[] = [];
  let msgpack: Outcome | null = null;
  let capture = '';
  let certs = '';
  let dir = '';
  let msgpackDir = '';

  beforeAll(async () => {
    const proxy = await lab.proxy();
    ({ capture, certs } = proxy);
    const agent = lab.through(proxy, 'served.lab');
    ({ dir } = agent);
    for (const step of STEPS) captured.push(outcome(agent, await run(agent, step)));
    if (hasMsgpack()) {
      const other = lab.through(proxy, 'msgpack.lab', { settings: MSGPACK });
      msgpackDir = other.dir;
      msgpack = outcome(other, await other.run());
    }
    await proxy.stop();
    await lab.primary[Symbol.asyncDispose]();
  }, SCENARIO_MS);

  async function run(agent: Agent, { code, prepare, args }: Step): Promise<AgentRun> {
    prepare?.(agent);
    const done = await agent.run(args);
    expectCode(done, code);
    return done;
  }

  /** One run of the agent against the served run; the folder is that of the captured agent, whose paths the catalog names. */
  async function against(
    run: number,
    certname: string,
    where: string,
    act: (agent: Agent) => Promise<AgentRun>,
    settings: Record<string, string> = {},
  ): Promise<{ done: AgentRun; outcome: Outcome; summary: ServeSummary }> {
    const store = openStore(capture, 'bodies');
    const served = await startServe({
      store,
      runs: [store.run(run)!],
      listen: { host: '127.0.0.1', port: 0 },
      certsDir: certs,
      names: [],
      as: [],
      missing: 404,
      pace: { type: 'fast' },
    });
    try {
      const way = direct(served.address.port);
      const agent = makeAgent({ dir: where, certname, ...way, settings: { ...way.settings, ...settings } });
      const done = await act(agent);
      return { done, outcome: outcome(agent, done), summary: served.summary() };
    } finally {
      await served.close();
      store.close();
    }
  }

  test('a fresh agent, then a steady run, then noop: exit codes, files and reports are the captured ones', ms, async () => {
    rmSync(dir, { recursive: true });
    for (const [n, step] of STEPS.entries()) {
      const { outcome, summary } = await against(n + 1, 'served.lab', dir, agent => run(agent, step));
      expect(outcome, step.words).toEqual(captured[n]);
      expect(summary.missed, step.words).toEqual([]);
      expect(summary.unused, step.words).toEqual([]);
      expect(summary.unusable).toEqual([]);
      expect(summary.answers, step.words).toMatchObject({ content: 0, refused: 0, missed: 0 });
    }
  });

  test('the steady run to a fresh agent: what it did not fetch is found by its checksum', ms, async () => {
    rmSync(dir, { recursive: true });
    const { outcome, summary } = await against(2, 'served.lab', dir, agent => run(agent, STEPS[0]!));
    const { files, code } = captured[0]!;
    expect({ files: outcome.files, code: outcome.code }).toEqual({ files, code });
    expect(summary.missed).toEqual([]);
    expect(summary.answers.content).toBeGreaterThan(5);
  });

  test('an agent with MessagePack: offered, and the report refused, as then', ms, async context => {
    if (msgpack === null) return context.skip('Debian package ruby-msgpack is not installed');
    rmSync(msgpackDir, { recursive: true });
    const { outcome, summary } = await against(4, 'msgpack.lab', msgpackDir, agent => agent.run(), MSGPACK);
    expect(outcome).toEqual(msgpack);
    expect(summary.missed).toEqual([]);
    expect(summary.unused).toEqual([]);
  });
});
