import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CliError } from './io.ts';

/** Signals that are passed on; a terminal sends the first two to the command as well. */
const FROM_TERMINAL = ['SIGINT', 'SIGQUIT'] as const;
const PASSED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

/**
 * Runs a command with this process's own input, output and terminal, to its end.
 * @returns its exit code; 128 and the signal's number when a signal ended it, as a shell says it
 * @throws {CliError} when it cannot be started
 */
export function runChild(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [program, ...args] = command;
  const child = spawn(program!, args, { stdio: 'inherit', env });
  const listeners: [NodeJS.Signals, () => void][] = [
    // In the foreground of a terminal the command has it already; Puppet takes a second one for "at once".
    ...FROM_TERMINAL.map(
      signal => [signal, () => void (process.stdin.isTTY || child.kill(signal))] as [NodeJS.Signals, () => void],
    ),
    ...PASSED.map(signal => [signal, () => void child.kill(signal)] as [NodeJS.Signals, () => void]),
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return new Promise<number>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'there is no such program' : (error.code ?? error.message);
      reject(new CliError(`cannot start ${program!}: ${why}`, 'after -- comes a command as a shell takes it'));
    });
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  }).finally(() => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  });
}
