import { type ChildProcess, execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnLeashed } from './leash.ts';

/** The program as it ships. */
export const BIN = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));
const START_MS = 30_000;
const STOP_MS = 30_000;

export interface LabProxyOptions {
  /** An empty folder for `capture.db` and `certs`, or one of an earlier proxy, to go on with them. */
  dir: string;
  /** Port of the primary on `localhost`. */
  primaryPort: number;
  /** In the place of `localhost:PORT`. */
  primary?: string;
  /** More arguments of `stringtap proxy`. */
  args?: readonly string[];
}

export interface LabProxy extends AsyncDisposable {
  readonly port: number;
  readonly capture: string;
  readonly certs: string;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  /** SIGINT, and its end. Rejects when it does not end by itself with exit code 0. */
  stop(): Promise<void>;
}

/** `stringtap` once, to its end. */
export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export async function stringtap(args: readonly string[]): Promise<Finished> {
  return new Promise(resolve => {
    const child = execFile(
      process.execPath,
      [BIN, ...args],
      { maxBuffer: 256 << 20, timeout: 60_000 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, stdout, stderr });
      },
    );
  });
}

/** A reading command with `--json`: one object a line. */
export async function stringtapJson<Row>(args: readonly string[]): Promise<Row[]> {
  const { code, stdout, stderr } = await stringtap([...args, '--json']);
  if (code !== 0) throw new Error(`stringtap ${args.join(' ')}: exit ${code}: ${stderr}`);
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Row);
}

/** One row of `exchanges --json`: the documented shape, less what the lab does not look at. */
export interface ExchangeJson {
  id: string;
  run: string | null;
  phase: string;
  method: string;
  target: string;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  answeredBy: 'primary' | 'proxy';
  failure: { reason: string } | null;
  certname: string | null;
  agentConnection: string;
  agentOrdinal: number;
  primaryConnection: string | null;
  primaryOrdinal: number | null;
  requestBytes: number;
  responseBytes: number;
}

export interface RunJson {
  id: string;
  certname: string;
  transactionUuid: string | null;
  environment: string | null;
  puppetVersion: string | null;
  end: string | null;
  exchanges: number;
  failed: number;
  agentConnections: number;
  primaryConnections: number;
}

export interface ConnectionJson {
  id: string;
  leg: 'agent' | 'primary';
  via: string;
  target: string | null;
  certname: string | null;
  peerName: string | null;
  refusal: string | null;
  error: string | null;
  tlsVersion: string | null;
  exchanges: number;
}

/** Starts `stringtap proxy` on a free port in front of a lab primary, and returns when it listens. */
export async function startProxy(options: LabProxyOptions): Promise<LabProxy> {
  const capture = join(options.dir, 'capture.db');
  const certs = join(options.dir, 'certs');
  mkdirSync(options.dir, { recursive: true });
  const args = ['proxy', '--primary', options.primary ?? `localhost:${options.primaryPort}`, '--listen', '127.0.0.1:0'];
  args.push('--capture', capture, '--certs', certs, ...(options.args ?? []));
  const child = spawnLeashed(process.execPath, [BIN, ...args], { output: 'pipe' });
  const out = gather(child.stdout);
  const err = gather(child.stderr);
  const port = await listening(child, out, err);
  return {
    port,
    capture,
    certs,
    stdout: out,
    stderr: err,
    stop: () => stop(child, err),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop(child, err);
    },
  };
}

function gather(stream: NodeJS.ReadableStream | null): () => string {
  const parts: Buffer[] = [];
  stream?.on('data', (part: Buffer) => parts.push(part));
  return () => Buffer.concat(parts).toString('utf8');
}

function listening(child: ChildProcess, out: () => string, err: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`stringtap proxy ${why}:\n${out()}${err()}`));
    };
    const ended = (code: number | null) => fail(`ended at its start with exit code ${code}`);
    const timer = setTimeout(() => fail(`does not listen after ${START_MS} ms`), START_MS);
    child.once('error', error => fail(error.message));
    child.once('close', ended);
    child.stdout?.on('data', () => {
      const port = /^listening on \S+:(\d+)$/m.exec(out())?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.off('close', ended);
      resolve(Number(port));
    });
  });
}

function stop(child: ChildProcess, err: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`stringtap proxy does not end ${STOP_MS} ms after SIGINT:\n${err()}`));
    }, STOP_MS);
    const over = (code: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(timer);
      if (code === 0) resolve();
      else reject(new Error(`stringtap proxy ended with ${signal ?? `exit code ${code}`}:\n${err()}`));
    };
    if (child.exitCode !== null || child.signalCode !== null) over(child.exitCode, child.signalCode);
    else {
      child.once('close', over);
      child.kill('SIGINT');
    }
  });
}
