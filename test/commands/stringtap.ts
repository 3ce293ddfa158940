import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `stringtap` as a user would, compiled, in `cwd`, without a terminal. */
export function stringtap(cwd: string, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [bin, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  return ended(child);
}

/** NDJSON as rows. */
export async function rows(cwd: string, ...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await stringtap(cwd, ...args, '--json');
  if (code !== 0) throw new Error(stderr);
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>);
}

export interface RunningProxy extends AsyncDisposable {
  port: number;
  pid: number;
  /** All of stdout so far. */
  text(): string;
  signal(signal: NodeJS.Signals): void;
  ended: Promise<Ended>;
}

/** Starts `stringtap proxy` and waits until it says where it listens. */
export async function startProxyCommand(cwd: string, ...args: string[]): Promise<RunningProxy> {
  const child = spawn(process.execPath, [bin, 'proxy', '--listen', '127.0.0.1:0', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', chunk => {
    text += String(chunk);
  });
  const end = ended(child);
  const port = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      const match = /^listening on .*:(\d+)$/.exec(line);
      if (match) resolve(Number(match[1]));
    });
    void end.then(({ stderr }) => reject(new Error(stderr)));
  });
  return {
    port,
    pid: child.pid ?? 0,
    text: () => text,
    signal: signal => child.kill(signal),
    ended: end,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await end;
    },
  };
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', chunk => {
    stdout += String(chunk);
  });
  child.stderr?.on('data', chunk => {
    stderr += String(chunk);
  });
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, stdout, stderr };
}
