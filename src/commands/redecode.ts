import type { Command } from 'commander';
import { counted } from '../analysis/words.ts';
import { idText } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { captureFile } from './options.ts';

/** `stringtap redecode`: what was derived is built again out of what was captured, with the decoders of this program. */
export function registerRedecode(program: Command, io: Io): void {
  program
    .command('redecode')
    .description('build runs and decoded rows again out of what was captured, as after an update of stringtap')
    .argument('[run]', 'only the bodies of this run (r3)')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .action(async (first: string | undefined, second: string | undefined) => {
      const run = first === undefined ? null : /^r?(\d{1,15})$/.exec(first);
      const file = captureFile(run === null ? first : second);
      if (run === null && second !== undefined) {
        throw new CliError(`redecode takes a run, not ${JSON.stringify(first)}`, 'as in: stringtap redecode r3', 2);
      }
      const [{ redecode, rederive }, { openStore }] = await Promise.all([
        import('../capture/rederive.ts'),
        import('../capture/store.ts'),
      ]);
      openStore(file).close(); // says what is wrong with it, and makes none
      if (run === null) {
        io.chatter(`${counted(rederive(file), 'run')} in ${file} decoded again`);
        return;
      }
      const id = Number(run[1]);
      const exchanges = redecode(file, id);
      if (exchanges === 0)
        throw new CliError(`there is no run ${idText('run', id)} in ${file}`, `stringtap runs ${file} lists them`);
      io.chatter(`${counted(exchanges, 'exchange')} of ${idText('run', id)} decoded again`);
    });
}
