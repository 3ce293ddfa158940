import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RunRow, Store } from '../capture/store.ts';
import { toCertname } from '../model.ts';
import { type Pace, parsePace } from '../replay/pace.ts';
import type { Served } from '../replay/serve-shapes.ts';
import { runsAndCapture } from './filter-argument.ts';
import { idText, requireRun } from './ids.ts';
import { CliError, type Io, printable } from './io.ts';
import { listenPlace, openCapture } from './options.ts';
import { address, listenError } from './proxy.ts';
import { answerLine, summaryJson, summaryLines } from './serve-text.ts';
import { untilSignal } from './signals.ts';

interface ServeFlags {
  listen: { host: string; port: number };
  capture?: string;
  from?: string;
  certs: string;
  name?: string[];
  as?: string[];
  missing: 404 | 500 | 'close';
  timing: Pace;
  quiet?: boolean;
  json?: boolean;
}

/** Recorded exchanges whose questions are held in memory, about 1 kB each. */
const MAX_EXCHANGES = 200_000;

/** `stringtap serve`: the primary, from the capture alone, until SIGINT or SIGTERM. */
export function registerServe(program: Command, io: Io): void {
  program
    .command('serve')
    .description('be the primary for real agents, with the answers of captured runs; no other server is asked')
    .argument('[run...]', 'runs to serve, as in r3 (default: the whole capture); at the end a capture file')
    .addOption(
      new Option('--listen <HOST:PORT>', 'where agents connect')
        .argParser(listenPlace)
        .default({ host: '127.0.0.1', port: 8140 }, '127.0.0.1:8140'),
    )
    .option('--capture <FILE>', 'capture file (default: the newest in captures/)')
    .option('--from <FILE>', 'the same as --capture')
    .option('--certs <DIR>', 'our CA; that of the proxy that captured, and its agents are known here', 'certs')
    .option('--name <NAME>', 'a further name or address on our certificate', gather)
    .option('--as <CERTNAME>', 'serve the run to this agent as well; * stands for anything', gather)
    .option('--missing <WHAT>', 'for what was not recorded: 404, 500 or close', missing, 404)
    .addOption(
      new Option('--timing <PACE>', 'how long answers take: fast, recorded, or x2 for twice as fast as recorded')
        .argParser(timing)
        .default({ type: 'fast' }, 'fast'),
    )
    .option('--quiet', 'no line a request')
    .option('--json', 'nothing but the summary at the end, as one JSON object')
    .action(async (words: string[], flags: ServeFlags) => {
      if (flags.capture !== undefined && flags.from !== undefined)
        throw new CliError('--capture and --from are the same', 'leave one of them out', 2);
      const { runs, file } = runsAndCapture('serve', words, flags.capture ?? flags.from);
      const store = await openCapture(file, 'bodies');
      try {
        await serve(io, store, chosen(store, runs, flags.as ?? []), flags);
      } finally {
        store.close();
      }
    });
}

function gather(text: string, all: string[] = []): string[] {
  return [...all, text];
}

function missing(text: string): ServeFlags['missing'] {
  if (text === 'close') return text;
  if (text === '404' || text === '500') return text === '404' ? 404 : 500;
  throw new InvalidArgumentError('expected 404, 500 or close');
}

function timing(text: string): Pace {
  const pace = parsePace(text);
  if (pace === null) throw new InvalidArgumentError('expected fast, recorded or x2');
  return pace;
}

/** @throws {CliError} for runs that are not there, or that cannot be served together */
function chosen(store: Store, ids: readonly number[], as: readonly string[]): RunRow[] {
  const runs = ids.length === 0 ? [...store.runs()] : ids.map(id => requireRun(store, id));
  if (runs.length === 0)
    throw new CliError(`there is no run in ${store.file}`, 'capture one with: stringtap proxy --primary HOST');
  // It goes into the command line that is printed, and no agent has another.
  const odd = runs.find(({ certname }) => toCertname(certname) === null);
  if (odd !== undefined) {
    throw new CliError(
      `${idText('run', odd.id)} is of ${JSON.stringify(odd.certname)}, which is no certname`,
      'name the runs to serve, as in r3',
    );
  }
  const exchanges = runs.reduce((sum, run) => sum + run.exchanges, 0);
  if (exchanges > MAX_EXCHANGES) {
    throw new CliError(`these runs have ${exchanges} exchanges, over ${MAX_EXCHANGES}`, 'name the runs to serve, as in r3');
  }
  const names = new Set(runs.map(({ certname }) => certname));
  if (as.length > 0 && names.size > 1) {
    throw new CliError(`--as with runs of ${names.size} agents`, 'name one run: its answers are what the other agents get');
  }
  return runs;
}

async function serve(io: Io, store: Store, runs: readonly RunRow[], flags: ServeFlags): Promise<void> {
  const lines = flags.quiet !== true && flags.json !== true;
  let served: Served;
  const { startServe } = await import('../replay/serve.ts');
  try {
    served = await startServe({
      store,
      runs,
      listen: flags.listen,
      certsDir: flags.certs,
      names: flags.name ?? [],
      as: flags.as ?? [],
      missing: flags.missing,
      pace: flags.timing,
      onAnswer: answer => {
        if (lines) io.out(answerLine(answer));
      },
      onNotice: line => io.err(`stringtap: ${printable(line)}`),
    });
  } catch (error) {
    throw listenError(error, flags.listen);
  }
  const say = flags.json === true ? io.err : io.out;
  for (const line of greeting(store, runs, served, flags)) say(line);
  await untilSignal();
  io.chatter('finishing the answers under way; again to leave at once');
  await served.close();
  const summary = served.summary();
  if (flags.json === true) io.out(JSON.stringify(summaryJson(summary)));
  else for (const line of ['', ...summaryLines(summary)]) io.out(line);
  if (summary.missed.length > 0) io.exitCode = 3;
}

function greeting(store: Store, runs: readonly RunRow[], served: Served, flags: ServeFlags): string[] {
  const { host, port } = served.address;
  const reach = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  const loopback = reach === '127.0.0.1' || reach === '::1' || reach === 'localhost';
  const shown = runs.slice(0, 8).map(({ id, certname }) => `${idText('run', id)} ${certname}`);
  const more = runs.length > shown.length ? ` and ${runs.length - shown.length} more` : '';
  return [
    `listening on ${address(served.address)}`,
    `runs         ${shown.join(', ')}${more}, of ${store.file}`,
    ...(flags.as === undefined ? [] : [`served to    ${flags.as.map(printable).join(', ')} as well`]),
    `our CA       SHA-256 ${served.authority.fingerprint}`,
    ...(loopback && host === reach
      ? []
      : ['open to all  whoever reaches this port can enrol as a certname that is served, and read its runs']),
    '',
    'a new agent (empty ssldir), with a certname of these runs:',
    `  puppet agent --test --server ${loopback ? 'localhost' : reach} --serverport ${port} --certname ${runs[0]!.certname}`,
    '',
  ];
}
