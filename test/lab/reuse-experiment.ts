import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LegReuse } from '../../src/analysis/reuse.ts';
import { type Agent, direct, makeAgent } from './agent.ts';
import type { Primary } from './primary.ts';
import { startProxy, stringtapJson } from './proxy.ts';
import { type FrontOptions, startClosingFront } from './reuse-front.ts';
import { type Observed, type Observer, startObserver } from './reuse-observer.ts';

/** One agent run under named conditions. */
export interface Condition {
  name: string;
  /** Arguments of `puppet agent`. */
  args?: readonly string[];
  /** A custom fact that takes so long. */
  slowFactsS?: number;
  /** A web server in front of the primary that sends `Connection: close`. */
  front?: Omit<FrontOptions, 'certs'>;
  /** What the agent ends with; 0 without changes. */
  code?: number;
}

/** `stringtap reuse --json`, as far as it is looked at. */
export interface Report {
  agent: LegReuse;
  primary: LegReuse;
  advice: ReadonlyArray<{ leg: string; setting: string | null; change: string }>;
}

export interface Result {
  condition: Condition;
  report: Report;
  /** What the observers between agent and proxy, and between proxy and primary, counted. */
  observed: { agent: Observed; primary: Observed };
}

/** A first run, a second one, slow facts with three limits of the agent, and a front that closes under three kinds of TLS. */
export const CONDITIONS: readonly Condition[] = [
  { name: 'first run, defaults', code: 2 },
  { name: 'second run, defaults' },
  { name: 'slow facts (5 s), defaults (4 s)', slowFactsS: 5 },
  { name: 'slow facts, http_keepalive_timeout=1s', slowFactsS: 5, args: ['--http_keepalive_timeout', '1s'] },
  { name: 'slow facts, http_keepalive_timeout=25s', slowFactsS: 5, args: ['--http_keepalive_timeout', '25s'] },
  { name: 'Connection: close, TLS 1.3', front: { tls: 'TLSv1.3' } },
  { name: 'Connection: close, TLS 1.2, tickets', front: { tls: 'TLSv1.2', tickets: true } },
  { name: 'Connection: close, TLS 1.2, no tickets', front: { tls: 'TLSv1.2', tickets: false } },
];

export interface Bench extends AsyncDisposable {
  run(condition: Condition): Promise<Result>;
}

/** An agent, with one observer before and one behind the proxies that its runs go through. */
export async function openBench(dir: string, primary: Primary, certname = 'reuse.lab'): Promise<Bench> {
  const before = await startObserver();
  const behind = await startObserver();
  const agent = makeAgent({ dir: join(dir, 'agent'), certname, ...direct(before.port) });
  const certs = join(dir, 'certs');
  let count = 0;
  return {
    run: condition => runOnce(condition, { dir: join(dir, `${++count}`), certs, agent, before, behind, primary }),
    async [Symbol.asyncDispose]() {
      await before[Symbol.asyncDispose]();
      await behind[Symbol.asyncDispose]();
    },
  };
}

interface Parts {
  dir: string;
  certs: string;
  agent: Agent;
  before: Observer;
  behind: Observer;
  primary: Primary;
}

async function runOnce(condition: Condition, parts: Parts): Promise<Result> {
  const { dir, certs, agent, before, behind, primary } = parts;
  await using front = condition.front === undefined ? null : await startClosingFront(primary, { ...condition.front, certs });
  behind.target = front?.port ?? primary.port;
  const proxy = await startProxy({ dir, primaryPort: behind.port, args: ['--certs', certs] });
  try {
    before.target = proxy.port;
    before.reset();
    // What the proxy asks for itself when it starts is over, and belongs to no capture.
    behind.reset();
    const facts = slowFacts(join(dir, 'facts'), condition.slowFactsS ?? 0);
    const run = await agent.run(condition.args ?? [], facts);
    if (run.code !== (condition.code ?? 0))
      throw new Error(`${condition.name}: the agent ended with ${run.code}:\n${run.stdout}\n${run.stderr}`);
    // The agent's last goodbye is under way.
    await sleep(200);
  } finally {
    await proxy.stop();
  }
  const [report] = await stringtapJson<Report>(['reuse', '--capture', proxy.capture]);
  return { condition, report: report!, observed: { agent: { ...before.seen }, primary: { ...behind.seen } } };
}

function slowFacts(dir: string, seconds: number): Record<string, string> {
  if (seconds === 0) return {};
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'slow.rb'), `Facter.add(:slow) { setcode { sleep ${seconds}; 'slept' } }\n`);
  return { FACTERLIB: dir };
}
