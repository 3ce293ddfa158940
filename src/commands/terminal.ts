import { CliError, type Io } from './io.ts';

/** @throws CliError when keys cannot be read or screens not be drawn */
export function requireTerminal(io: Io, instead: string): void {
  if (io.stdoutIsTerminal && process.stdin.isTTY === true) return;
  throw new CliError('the screens need a terminal on stdin and stdout', instead);
}
