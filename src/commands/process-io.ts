import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { CliError, type Io } from './io.ts';

/** Commands that agents wait for, or that wait for a primary: they never stand still for whoever reads their lines. */
const SERVING: ReadonlySet<string> = new Set(['proxy', 'run', 'serve', 'replay', 'demo']);

/** The Io of this process. @param command its first word; decides how a slow reader of stdout is met */
export function processIo(command: string): Io {
  const isTerminal = isatty(1);
  const io: Io = {
    out: line => io.write(Buffer.from(`${withoutControls(line, isTerminal)}\n`)),
    err: line => void process.stderr.write(`${withoutControls(line, true)}\n`),
    chatter: line => void (process.stderr.isTTY && process.stderr.write(`${withoutControls(line, true)}\n`)),
    write: isTerminal || SERVING.has(command) ? bytes => void process.stdout.write(bytes) : writeAll,
    stdoutIsTerminal: isTerminal,
    columns: (isTerminal ? process.stdout.columns : undefined) ?? 120,
    env: process.env,
    exitCode: 0,
  };
  // Nobody is left who could be told.
  process.stderr.on('error', () => undefined);
  if (isTerminal || SERVING.has(command)) {
    let failed = false;
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (failed) return;
      failed = true;
      if (error.code === 'EPIPE') leave();
      else {
        io.err(`stringtap: cannot write to stdout: ${error.code}`);
        process.exitCode = io.exitCode = 1;
      }
    });
  }
  return io;
}

const ESCAPE = String.fromCharCode(27);
/** In a line that may have been piped to a terminal: JSON has none, people's lines are escaped where they are made. */
const CONTROLS = /(?![\n\t\u007f-\u009f])\p{Cc}/gu;
/** On a terminal, but for the colours of ours. JSON leaves what is not ASCII as it is, and C1 controls, bidi overrides and the like with it. */
const STEERING = new RegExp(`(?![\\n\\t]|${ESCAPE}\\[(?:[0-7]|[2-9]\\d)m)[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]`, 'gu');

/** A capture may be a stranger's: words in it that only stringtap writes may be others. What is escaped is so as JSON may write it. */
function withoutControls(line: string, isTerminal: boolean): string {
  return line.replace(isTerminal ? STEERING : CONTROLS, text =>
    text.replace(/[\s\S]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/** A reader that closes the pipe (`| head`) ends the program quietly; one that serves ends as at a signal. */
function leave(): void {
  if (!process.emit('SIGTERM', 'SIGTERM')) process.exit(0);
}

const RETRY_MS = 5;

/**
 * Writes all of it before it returns: a list of a million rows is read as fast as it is taken, and nothing of it waits in memory.
 * @throws {CliError} for a full disk and the like
 */
function writeAll(bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') process.exit(0);
      if (code !== 'EAGAIN') throw new CliError(`cannot write to stdout: ${code}`);
      // somebody made the pipe non-blocking
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}
