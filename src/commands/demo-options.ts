import type { Command } from 'commander';
import type { DemoFlags } from './demo.ts';
import type { Io } from './io.ts';

/** `stringtap demo`; what it does is in demo.ts. */
export function registerDemo(program: Command, io: Io): void {
  program
    .command('demo')
    .description('try it without Puppet: captured runs served by an embedded primary, replayed through the proxy, compared')
    .option('--capture <FILE>', 'capture file, made or appended to (default: captures/demo-<UTC time>.db)')
    .option('--lines', 'lines also at a terminal, instead of the screens')
    .action(async (flags: DemoFlags) => {
      const { runDemo } = await import('./demo.ts');
      await runDemo(io, flags);
    });
}
