import { type Command, Option } from 'commander';
import { counted } from '../analysis/words.ts';
import type { Shared } from '../capture/share.ts';
import type { Level } from '../decode/pseudonyms.ts';
import { runsAndCapture } from './filter-argument.ts';
import { idText, requireRun } from './ids.ts';
import { type Io, printable } from './io.ts';
import { openCapture } from './options.ts';

const LEVELS = ['full', 'moderate', 'low'] as const satisfies readonly Level[];

interface Options {
  output: string;
  redact: Level;
  json?: boolean;
}

/** Unreadable bodies that are named one by one. */
const NAMED = 10;

/** `stringtap share [RUN…] [CAPTURE] -o FILE.db`: a capture that may be given to others. */
export function registerShare(program: Command, io: Io): void {
  program
    .command('share')
    .description('write a new capture with pseudonyms for names, addresses, values and secrets, to be given to others')
    .argument('[runs...]', 'runs (r3), and at the end a capture file; default: all of the newest in captures/')
    .requiredOption('-o, --output <FILE>', 'the new capture; it must not exist')
    .addOption(
      new Option('--redact <LEVEL>', 'low: secrets; moderate: names of hosts and addresses too; full: all values and files')
        .choices(LEVELS)
        .default('full'),
    )
    .option('--json', 'what was done, as one JSON object')
    .action(async (words: string[], options: Options) => {
      const { runs: named, file } = runsAndCapture('share', words);
      const { shareCapture } = await import('../capture/share.ts');
      const runs = named.length === 0 ? null : [...named].sort((a, b) => a - b);
      const store = await openCapture(file, 'bodies');
      try {
        for (const run of runs ?? []) requireRun(store, run);
        tell(io, shareCapture(store, runs, options.output, options.redact), options.json === true);
      } finally {
        store.close();
      }
    });
}

function tell(io: Io, shared: Shared, json: boolean): void {
  if (json) {
    const runs = shared.runs.map(({ from, to }) => ({ from: idText('run', from), to: idText('run', to) }));
    const unreadable = shared.unreadable.map(({ exchange, reason }) => ({ exchange: idText('exchange', exchange), reason }));
    io.out(JSON.stringify({ ...shared, runs, unreadable }));
    return;
  }
  const { level, bodies } = shared;
  io.out(
    `${counted(shared.runs.length, 'run')} with ${counted(shared.exchanges, 'exchange')} in ${shared.file}, redacted ${level}`,
  );
  for (const { from, to } of shared.runs)
    if (to !== null && to !== from) io.out(`  ${idText('run', from)} is ${idText('run', to)} there`);
  io.out(`  ${counted(shared.secrets, 'secret')} replaced`);
  if (level !== 'low') {
    io.out(`  ${counted(shared.names, 'name')} of hosts and domains, ${counted(shared.addresses, 'address', 'addresses')}`);
  }
  if (level === 'full') io.out(`  ${counted(shared.words, 'word')}, ${counted(shared.files, 'file')} with other content`);
  io.out(`  ${bodies.rewritten} of ${counted(bodies.rewritten + bodies.kept, 'body', 'bodies')} rewritten`);
  for (const { exchange, reason } of shared.unreadable.slice(0, NAMED)) {
    io.err(`stringtap: only the length of a body of ${idText('exchange', exchange)} is kept: ${printable(reason)}`);
  }
  if (shared.unreadable.length > NAMED) io.err(`stringtap: and of ${shared.unreadable.length - NAMED} more`);
  if (shared.stayed.length > 0) {
    io.err(`stringtap: names that are words of Puppet's own stay: ${printable(shared.stayed.join(', '))}`);
  }
}
