import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { openRecorder, type Recorder } from '../capture/recorder.ts';
import { openStore } from '../capture/store.ts';
import { type AgentRun, runDemoAgent } from '../demo/agent.ts';
import { type AgentState, newAgentState } from '../demo/options.ts';
import { type DemoPrimary, startDemoPrimary } from '../demo/primary.ts';
import { type RunningProxy, startProxy } from '../proxy/proxy.ts';
import { packageVersion } from '../version.ts';
import { CliError, type Io, printable } from './io.ts';
import { listRuns } from './lists.ts';
import { CAPTURES } from './options.ts';
import { clip } from './present.ts';

/** The name by which the agents know their primary. Nothing resolves it: they connect to the proxy. */
const SERVER = 'puppet.example.com';
/** How long the agents gather facts: short enough for an impatient person, long enough to be seen in a capture. */
const FACTS_MS = 200;

/** `stringtap demo`: the whole chain on this machine, without Puppet, over real TLS. */
export function registerDemo(program: Command, io: Io): void {
  program
    .command('demo')
    .description('try it without Puppet: an embedded primary and agents, run through the proxy and captured')
    .option('--capture <FILE>', 'capture file, made or appended to (default: captures/demo-<UTC time>.db)')
    .action((flags: { capture?: string }) => runDemo(io, flags.capture ?? null));
}

async function runDemo(io: Io, given: string | null): Promise<void> {
  const file = given ?? defaultFile();
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-demo-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  const interrupted = (signal: NodeJS.Signals): void => {
    remove();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  let failed: string[];
  try {
    failed = await play(io, file, dir);
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    remove();
  }
  const store = openStore(file);
  try {
    io.out('');
    io.out(`The runs in ${file}:`);
    io.out('');
    listRuns(io, [...store.runs()]);
  } finally {
    store.close();
  }
  const where = given === null ? '' : ` ${given}`;
  io.out('');
  io.out('Go on with (in a checkout: npx stringtap …):');
  io.out(`  stringtap show r1${where}`);
  io.out(`  stringtap exchanges${where} --run r1`);
  io.out(`  stringtap connections${where} --leg primary`);
  io.out('  stringtap proxy --primary YOUR.PRIMARY');
  if (failed.length > 0) throw new CliError(`the demo did not go as it should: ${failed.join('; ')}`, 'please report this');
}

/** The four runs; what went wrong with them. */
async function play(io: Io, file: string, dir: string): Promise<string[]> {
  await using primary = await startDemoPrimary({ certname: SERVER });
  const address = `${primary.host}:${primary.port}`;
  io.out('stringtap stands between Puppet agents and their primary, and captures what they say over TLS.');
  io.out('This demo needs no Puppet: primary and agents are embedded, the TLS between them is real.');
  io.out('');
  const recorder = await openRecorder({
    file,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: packageVersion(),
      pool: 'pooled',
      primaries: [address],
      listen: '127.0.0.1:0',
    },
    durability: 'commit',
    maxBodyBytes: null,
  });
  try {
    const proxy = await openProxy(io, primary, recorder, dir);
    try {
      io.out(`  primary  ${address}, with a CA of its own that signs what it is asked to`);
      io.out(
        `  proxy    ${proxy.address.host}:${proxy.address.port}, our CA: SHA-256 ${proxy.authority.fingerprint.slice(0, 23)}…`,
      );
      io.out('');
      return await runs(io, primary, proxy);
    } finally {
      await proxy.close();
    }
  } finally {
    await recorder.close();
  }
}

function openProxy(io: Io, primary: DemoPrimary, recorder: Recorder, dir: string): Promise<RunningProxy> {
  return startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: { host: primary.host, port: primary.port },
    certsDir: dir,
    names: [SERVER],
    pool: 'pooled',
    connectOnlyPrimary: true,
    caPem: primary.ca.caPem,
    caFingerprint: null,
    tape: recorder,
    onNotice: line => io.chatter(`  (${printable(line)})`),
  });
}

async function runs(io: Io, primary: DemoPrimary, proxy: RunningProxy): Promise<string[]> {
  const straight = { ...proxy.address, serverName: SERVER, via: null };
  const byConnect = { host: SERVER, port: primary.port, serverName: SERVER, via: proxy.address };
  const failed: string[] = [];
  const run = async (
    words: string,
    certname: string,
    place: typeof straight | typeof byConnect,
    state: AgentState,
    expected: AgentRun['exitCode'],
  ): Promise<void> => {
    const { exitCode, steps, error } = await runDemoAgent({ certname, place, state, factsMs: FACTS_MS });
    const outcome = error === null ? '' : `: ${printable(error)}`;
    const what = `${certname.padEnd(14)} ${words.padEnd(42)} ${String(steps.length).padStart(2)} requests`;
    io.out(`  ${what}, exit ${exitCode}${clip(outcome, 40)}`);
    if (exitCode !== expected) failed.push(`${certname}, ${words}: exit ${exitCode}${outcome}`);
  };
  const one = newAgentState();
  await run('first run: enrols, syncs plugins, applies', 'demo1.example', straight, one, 2);
  await run('second run: nothing to do', 'demo1.example', straight, one, 0);
  await run('first run, through CONNECT', 'demo2.example', byConnect, newAgentState(), 2);
  primary.failing.add('demo1.example');
  await run('third run: its catalog does not compile', 'demo1.example', straight, one, 1);
  return failed;
}

function defaultFile(): string {
  try {
    mkdirSync(CAPTURES, { recursive: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new CliError(`cannot make the folder ${CAPTURES}: ${code}`, '--capture FILE writes elsewhere');
  }
  return join(CAPTURES, `demo-${new Date().toISOString().replace(/[:.]/g, '-').slice(0, 19)}Z.db`);
}
