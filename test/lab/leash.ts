import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';

export interface LeashOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Where output goes: a file descriptor, or `pipe`. */
  output: number | 'pipe';
}

/**
 * A watcher waits for the end of its standard input, which comes even when this process is killed, and then ends the program:
 * SIGTERM, and SIGKILL 15 s later. `$$` stays the pid of the shell, which becomes the program.
 */
const LEASH = `exec 3<&0
(cat <&3 >/dev/null
 kill $$ 2>/dev/null
 for n in $(seq 60); do kill -0 $$ 2>/dev/null || exit; sleep 0.25; done
 kill -9 $$ 2>/dev/null) >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null`;

/** Starts a program that cannot outlive this process. Its pid is the child's; `stdin.end()` is SIGTERM to it. */
export function spawnLeashed(program: string, args: readonly string[], options: LeashOptions): ChildProcess {
  const stdio: StdioOptions = ['pipe', options.output, options.output];
  // A process group of its own: a Ctrl-C at the terminal is for the tests, which then stop it.
  const child = spawn('sh', ['-c', LEASH, 'sh', program, ...args], { cwd: options.cwd, env: options.env, stdio, detached: true });
  // Without a listener, a write to the pipe of a process that is gone would end the tests.
  child.stdin?.on('error', () => {});
  child.once('exit', () => child.stdin?.end());
  return child;
}
