import type { Command } from 'commander';
import { CliError, type Io } from './io.ts';
import { openCapture } from './options.ts';

/** `stringtap ui`: the screens over one capture, also while a proxy writes it. */
export function registerUi(program: Command, io: Io): void {
  program
    .command('ui')
    .description('browse a capture; follows one that is being written')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--ascii', 'only signs that every font has')
    .action(async (file: string | undefined, options: { ascii?: boolean }) => {
      requireTerminal(io, 'stringtap runs, exchanges, show and query print the same as text, with --json for programs');
      const store = openCapture(file, 'bodies');
      try {
        const { startUi } = await loadUi();
        await startUi({ store, env: io.env, ascii: options.ascii === true });
      } finally {
        store.close();
      }
    });
}

/** @throws CliError when keys cannot be read or screens not be drawn */
export function requireTerminal(io: Io, instead: string): void {
  if (io.stdoutIsTerminal && process.stdin.isTTY === true) return;
  throw new CliError('the screens need a terminal on stdin and stdout', instead);
}

/** React decides by NODE_ENV when it is loaded; its development build takes several times as long for each frame. */
export async function loadUi(): Promise<typeof import('../../ui/start.ts')> {
  process.env.NODE_ENV ??= 'production';
  return await import('../../ui/start.ts');
}
