import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { BIN } from './proxy.ts';
import { rubyEnv } from './ruby.ts';

/** Time for one command of an agent. */
const RUN_MS = 120_000;

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The environment in which the lab's agents run, with the folder for temporary files of this agent. */
export function agentEnv(agent: Agent, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: join(agent.dir, 'home'),
    TMPDIR: join(agent.dir, 'tmp'),
    LANG: 'C.UTF-8',
    FACTER_apply_root: agent.root,
    ...rubyEnv(agent.dir, { tls12: false, plain: false }),
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    ...more,
  };
}

/** `puppet SUBCOMMAND` of an agent of the lab; `agent` with what the lab's own runs have. */
export function puppet(agent: Agent, subcommand: string, ...args: readonly string[]): string[] {
  const test = subcommand === 'agent' ? ['--test', '--no-daemonize', '--color=false', '--waitforcert', '0'] : [];
  return [
    'puppet',
    subcommand,
    ...args.slice(0, 1),
    '--config',
    join(agent.dir, 'conf', 'puppet.conf'),
    ...test,
    ...args.slice(1),
  ];
}

/** `stringtap run --capture CAPTURE -- COMMAND`. */
export function stringtapRun(
  capture: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  options: readonly string[] = [],
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, 'run', '--capture', capture, ...options, '--', ...command], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => out.push(part));
    child.stderr.on('data', (part: Buffer) => err.push(part));
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
    child.once('error', reject);
    child.once('close', code => {
      clearTimeout(timer);
      resolve({ code, stdout: Buffer.concat(out).toString('utf8'), stderr: Buffer.concat(err).toString('utf8') });
    });
  });
}

/** Path, mode, owner and SHA-256 of everything below a folder: what must be the same before and after. */
export function fingerprint(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    names.map(name => {
      const file = join(folder, name);
      const stat = lstatSync(file);
      const content = stat.isFile() ? createHash('sha256').update(readFileSync(file)).digest('hex') : '-';
      return [name, `${(stat.mode & 0o7777).toString(8)} ${stat.uid} ${content}`];
    }),
  );
}
