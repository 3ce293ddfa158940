import { type Command, Option } from 'commander';
import { WRITES } from '../replay/agents-plan.ts';
import type { Pace } from '../replay/pace.ts';
import { sha256 } from './ca-option.ts';
import { runsAndCapture } from './filter-argument.ts';
import { CliError, type Io } from './io.ts';
import { hostPort } from './options.ts';
import { addExchange, pace, positive, type ReplayFlags, timeSpan, writes } from './replay-flags.ts';

/** `stringtap replay`; what it does is in replay.ts. */
export function registerReplay(program: Command, io: Io): void {
  program
    .command('replay')
    .description('send captured runs to a primary again, as the agents; exit 3 when it answers otherwise than then')
    .argument('<run...>', 'the runs, as in r3; they are replayed in this order; at the end a capture file')
    .requiredOption('--to <HOST[:PORT]>', 'a primary, a stringtap serve, or a stringtap proxy', text => hostPort(text, 8140))
    .option('--from <FILE>', 'capture file with the runs (default: the newest in captures/)')
    .option('--certs <DIR>', 'identities and pinned CAs', 'certs')
    .option('--ssldir <DIR>', "use the key and certificate in an agent's own ssldir")
    .option('--ca-cert <FILE>', 'the CA of the target (default: pinned on first contact)')
    .option('--ca-fingerprint <SHA256>', 'the CA of the target must have this fingerprint', sha256)
    .addOption(
      new Option('--timing <PACE>', 'pauses: recorded, fast (none), x2 (half as long), max-gap=5 (at most 5 s)')
        .argParser(pace)
        .default({ type: 'recorded' } satisfies Pace, 'recorded'),
    )
    .addOption(
      new Option('--writes <KINDS>', `also send what changes the primary: ${WRITES.join(',')}`)
        .argParser(writes)
        .default([], 'none'),
    )
    .option('--only <EXCHANGE>', 'only this exchange of the runs, as in e17; repeatable', addExchange)
    .option('--as <NAME>', 'as another certname; with --agents a pattern, as in load-%04d.example')
    .option('--enrol', 'names without an identity are enrolled at the target first')
    .option('--agents <N>', 'as so many agents, for load; with --enrol', positive)
    .option('--ramp <TIME>', 'with --agents: they begin one after another within this time (30s)', timeSpan)
    .option('--herd', 'with --agents: all begin at once')
    .option('--splay <TIME>', 'with --agents: each begins somewhere in this time', timeSpan)
    .addOption(
      new Option('--wait-for-cert <TIME>', 'how long the primary may take to sign what is enrolled')
        .argParser(timeSpan)
        .default(15_000, '15s'),
    )
    .option('--capture <FILE>', 'record the replay as a capture of its own')
    .option('--dry-run', 'show what would be sent and what not, and send nothing')
    .option('--progress', 'a line on stderr for each request, also where that is no terminal')
    .option('--json', 'as one JSON object')
    .action(async (words: string[], flags: ReplayFlags) => {
      const { asNamed, file } = runsAndCapture('replay', words, flags.from);
      if (asNamed.length === 0)
        throw new CliError('the run is missing', `as in: stringtap replay r3${file === undefined ? '' : ` ${file}`}`, 2);
      const { runReplay } = await import('./replay.ts');
      await runReplay(io, asNamed, file, flags);
    });
}
