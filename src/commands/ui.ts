import { type Command, Option } from 'commander';
import { keepCompiledCode } from './compiled-code.ts';
import type { Io } from './io.ts';
import { openCapture } from './options.ts';
import { requireTerminal } from './terminal.ts';

/** `stringtap ui`: the screens over one capture, also while a proxy writes it. */
export function registerUi(program: Command, io: Io): void {
  program
    .command('ui')
    .description('browse a capture; follows one that is being written')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--ascii', 'only signs that every font has')
    .addOption(new Option('--attached', 'started by a proxy: leaves the terminal when that ends').hideHelp())
    .action(async (file: string | undefined, options: { ascii?: boolean; attached?: boolean }) => {
      requireTerminal(io, 'stringtap runs, exchanges, show and query print the same as text, with --json for programs');
      const store = await openCapture(file, 'bodies');
      try {
        const { startUi } = await loadUi();
        const attached = options.attached === true;
        await startUi({
          store,
          env: io.env,
          ascii: options.ascii === true,
          alone: !attached,
          ...(attached && { signal: parentGone() }),
        });
      } finally {
        store.close();
      }
    });
}

/** React decides by NODE_ENV when it is loaded; its development build takes several times as long for each frame. */
export async function loadUi(): Promise<typeof import('../../ui/start.ts')> {
  process.env.NODE_ENV ??= 'production';
  keepCompiledCode(process.env);
  return await import('../../ui/start.ts');
}

/** Aborted when the process that started us is gone. */
function parentGone(): AbortSignal {
  const controller = new AbortController();
  process.once('disconnect', () => controller.abort());
  // A listener keeps the channel, and with it the process, open.
  process.channel?.unref();
  return controller.signal;
}
