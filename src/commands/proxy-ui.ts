import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Io } from './io.ts';

/** The screens of `stringtap proxy --ui`. */
export interface Screens {
  /** Where the proxy writes meanwhile: what it says is kept back until the terminal is free again. */
  readonly io: Io;
  /** Ends the screens, and waits for the terminal. */
  close(): Promise<void>;
}

/** Lines that are kept back; the capture has everything that they tell. */
const KEPT_LINES = 200;

/**
 * Shows a capture in a process of its own, so that no frame ever holds up an agent, and no defect of a view ends a proxy. It reads the
 * capture as `stringtap ui` does. When the user quits it, the proxy goes on and prints its lines again.
 */
export function openScreens(io: Io, file: string, ascii: boolean): Screens {
  const args = [...process.execArgv, process.argv[1]!, 'ui', file, '--attached', ...(ascii ? ['--ascii'] : [])];
  // The channel carries nothing: it closes when this process dies, and the screens then leave the terminal.
  const child = spawn(process.execPath, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  let kept: string[] | null = [];
  let closing = false;
  const hold = (print: (line: string) => void, line: string, lasting: boolean): void => {
    if (kept === null) print(line);
    else if (lasting && kept.length < KEPT_LINES) kept.push(line);
  };
  const ended = (failed: string | null): void => {
    const lines = kept ?? [];
    kept = null;
    if (failed !== null) io.err(`stringtap: the screens ended: ${failed}`);
    for (const line of lines) io.err(line);
    if (!closing) io.err(`the proxy goes on; ctrl-c ends it, \`stringtap ui ${file}\` shows the screens again`);
  };
  child.once('error', error => ended(error.message));
  child.once('exit', (code, signal) => ended(code === 0 ? null : (signal ?? `exit code ${code}`)));
  return {
    io: {
      ...io,
      out: line => hold(io.out, line, false),
      err: line => hold(io.err, line, true),
      chatter: line => hold(io.chatter, line, false),
    },
    async close() {
      closing = true;
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
