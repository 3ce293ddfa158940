import { type Command, Option } from 'commander';
import type { DoctorFlags } from './doctor.ts';
import { CliError, type Io } from './io.ts';
import { primaryOption } from './primary-option.ts';

/** `stringtap doctor`; what it does is in doctor.ts. */
export function registerDoctor(program: Command, io: Io): void {
  program
    .command('doctor')
    .description('check the primary, certificates, clocks, files and disk; exit code 3 when something is wrong')
    .option('--primary <HOST[:PORT]>', 'the primary to look at, or http://HOST[:PORT], or SRV:DOMAIN', primaryOption)
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .option('--ca-cert <FILE>', "the primary's CA (default: the pinned one, or what it gives)")
    .addOption(
      new Option('--identity <WAY>', 'how the primary is told which agent it is, as of `stringtap proxy`').choices([
        'certificate',
        'headers',
      ]),
    )
    .option('--json', 'one JSON object a line')
    .action(async (flags: DoctorFlags) => {
      if (flags.caCert !== undefined && flags.primary === undefined)
        throw new CliError('--ca-cert is the CA of a primary', 'name it: --primary HOST', 2);
      if (flags.identity !== undefined && flags.primary === undefined)
        throw new CliError('--identity is told to a primary', 'name it: --primary HOST', 2);
      const { runDoctor } = await import('./doctor.ts');
      await runDoctor(io, flags);
    });
}
