import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { openRecorder } from '../../src/capture/recorder.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import type { Io } from '../../src/commands/io.ts';
import { registerReplay } from '../../src/commands/replay-options.ts';
import { startProxy } from '../../src/proxy/proxy.ts';
import { runDemoAgent } from '../peers/agent.ts';
import { type AgentState, newAgentState } from '../peers/options.ts';
import { type DemoPrimary, type DemoPrimaryOptions, type Seen, startDemoPrimary } from '../peers/primary.ts';
import { authorityFiles } from '../rig/rig.ts';

const SERVER = 'puppet.example.com';

/** Runs of agents through a real proxy to an embedded primary, captured; the primary goes on. */
export interface Recorded extends AsyncDisposable {
  readonly dir: string;
  readonly primary: DemoPrimary;
  /** What `--certs` names: the identities of the agents are in it. */
  readonly certs: string;
  readonly capture: string;
  open(): Store;
  /** What agents have asked the primary for since the recording, in order. */
  since(): readonly Seen[];
}

/** @param runs certnames in order; each has a first run, and when it comes again a later one */
export async function record(
  runs: readonly string[],
  options: DemoPrimaryOptions & { factsMs?: number } = {},
): Promise<Recorded> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-replay-test-'));
  const certs = join(dir, 'certs');
  const capture = join(dir, 'capture.db');
  const { factsMs = 0, ...primaryOptions } = options;
  for (const [name, text] of await authorityFiles()) {
    mkdirSync(dirname(join(certs, name)), { recursive: true, mode: 0o700 });
    writeFileSync(join(certs, name), text, { mode: 0o600 });
  }
  const primary = await startDemoPrimary({ certname: SERVER, keyType: 'ec', ...primaryOptions });
  const recorder = await openRecorder({
    file: capture,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: 'test',
      pool: 'pooled',
      primaries: [`localhost:${primary.port}`],
      listen: '127.0.0.1:0',
    },
    durability: 'commit',
    maxBodyBytes: null,
  });
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: { host: 'localhost', port: primary.port },
    certsDir: certs,
    names: [SERVER],
    pool: 'pooled',
    connectOnlyPrimary: true,
    caPem: null,
    caFingerprint: null,
    tape: recorder,
    onNotice: () => undefined,
  });
  const states = new Map<string, AgentState>();
  try {
    for (const certname of runs) {
      const state = states.get(certname) ?? newAgentState();
      states.set(certname, state);
      const place = { ...proxy.address, serverName: SERVER, via: null };
      const { error } = await runDemoAgent({ certname, place, state, keyType: 'ec', factsMs });
      if (error !== null && !primary.failing.has(certname)) throw new Error(error);
    }
  } finally {
    await proxy.close();
    await recorder.close();
  }
  const before = primary.seen.length;
  return {
    dir,
    primary,
    certs,
    capture,
    open: () => openStore(capture, 'bodies'),
    // What stringtap asks for itself (CA, CRLs) is no agent's request.
    since: () =>
      primary.seen
        .slice(before)
        .filter(({ fields }) => !fields.some(([name, value]) => name.toLowerCase() === 'user-agent' && value === 'stringtap')),
    async [Symbol.asyncDispose]() {
      await primary[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** `stringtap replay ARGS`, in this process. */
export async function replay(recorded: Recorded, ...args: string[]): Promise<Ran> {
  const lines = { out: [] as string[], err: [] as string[] };
  const io: Io = {
    out: line => void lines.out.push(line),
    err: line => void lines.err.push(line),
    chatter: () => undefined,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 120,
    env: {},
    exitCode: 0,
  };
  const program = new Command().exitOverride().configureOutput({ writeErr: text => void lines.err.push(text) });
  registerReplay(program, io);
  let code = 0;
  const own = ['--from', recorded.capture, '--certs', recorded.certs];
  await program.parseAsync(['node', 'stringtap', 'replay', ...own, ...args]).catch((error: Error & { hint?: string }) => {
    code = 1;
    lines.err.push(error.message, `hint: ${error.hint ?? ''}`);
  });
  return { code: code || io.exitCode, out: lines.out.join('\n'), err: lines.err.join('\n') };
}

export const to = (recorded: Recorded): string[] => ['--to', `localhost:${recorded.primary.port}`];

export interface Result {
  same: boolean;
  interrupted: boolean;
  summary: {
    requests: number;
    failed: number;
    otherStatus: number;
    abandoned: number;
    otherContent: number;
    connections: { opened: number; recorded: number; failed: number };
    statuses: Record<string, number>;
    phases: { phase: string; requests: number; p50Ms: number; p99Ms: number }[];
    agents: { done: number; gaveUp: number };
    failures: { reason: string }[];
  };
  agents: { certname: string; end: string; requests: number }[];
  requests: { recorded: string; status: number | null; totalMs: number; answerMs: number }[];
  comparisons: { counts: Record<string, number> }[] | null;
}

export const parsed = ({ out }: Ran): Result => JSON.parse(out) as Result;
