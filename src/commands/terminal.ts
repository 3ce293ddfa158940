import { CliError, type Io } from './io.ts';

/** @throws CliError when keys cannot be read or screens not be drawn */
export function requireTerminal(io: Io, instead: string): void {
  const isDumb = io.env.TERM === 'dumb';
  if (io.stdoutIsTerminal && process.stdin.isTTY === true && !isDumb) return;
  if (isDumb) throw new CliError('the screens need a terminal that can move its cursor, and TERM is dumb', instead);
  throw new CliError('the screens need a terminal on stdin and stdout', instead);
}
