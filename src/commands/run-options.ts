import { type Command, Option } from 'commander';
import { FAULT_HELP, gatherFaults } from './fault-option.ts';
import type { Io } from './io.ts';
import { byteCount } from './options.ts';
import type { RunFlags } from './run.ts';

/** `stringtap run`; what it does is in run.ts. */
export function registerRun(program: Command, io: Io): void {
  program.enablePositionalOptions();
  program
    .command('run')
    .description("run one puppet command of this host's agent through a proxy of its own")
    .argument('<command...>', 'as in: stringtap run -- puppet agent --test')
    .passThroughOptions()
    .option('--capture <FILE>', 'capture file, made or appended to (default: captures/<UTC time>.db)')
    .addOption(new Option('--pool <POLICY>', 'connections to the primary').choices(['pooled', 'mirror']).default('mirror'))
    .option('--keylog <FILE>', 'append the TLS secrets of both legs (NSS format), for Wireshark; keep it as a key')
    .option('--fault <RULE>', FAULT_HELP, gatherFaults)
    .option('--max-body <BYTES>', 'store at most so much of each body; all of it is forwarded', byteCount)
    .addOption(
      new Option('--durability <WHEN>', 'commit: an answer leaves when it is on disk')
        .choices(['commit', 'async'])
        .default('commit'),
    )
    .action(async (command: string[], flags: RunFlags) => {
      const { run } = await import('./run.ts');
      io.exitCode = await run(io, command, flags);
    });
}
