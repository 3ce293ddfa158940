import { CliError, type Io } from './io.ts';

/** Columns of a line; without a terminal nothing is cut: the reader is a program. */
export function lineWidth({ stdoutIsTerminal, columns }: Io): number {
  return stdoutIsTerminal ? columns : Number.MAX_SAFE_INTEGER;
}

/** Whether a line may have colours and bold (no-color.org: any value that is not empty forbids them). */
export function takesColour({ stdoutIsTerminal, env }: Io): boolean {
  return stdoutIsTerminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

/** @throws CliError when keys cannot be read or screens not be drawn */
export function requireTerminal(io: Io, instead: string): void {
  const isDumb = io.env.TERM === 'dumb';
  if (io.stdoutIsTerminal && process.stdin.isTTY === true && !isDumb) return;
  if (isDumb) throw new CliError('the screens need a terminal that can move its cursor, and TERM is dumb', instead);
  throw new CliError('the screens need a terminal on stdin and stdout', instead);
}
