import { Command, CommanderError } from 'commander';
import { CaptureError } from './capture/errors.ts';
import { examplesOf } from './commands/examples.ts';
import { CliError, type Io, printable } from './commands/io.ts';
import { processIo } from './commands/process-io.ts';
import { PkiError } from './pki/error.ts';
import { ContactError } from './proxy/contact-error.ts';
import { packageVersion } from './version.ts';

type Register = (program: Command, io: Io) => void;

/** Each command's file is loaded only when it is named: `stringtap runs` loads no TLS server, and starts that much sooner. */
const COMMANDS: Record<string, () => Promise<Register>> = {
  proxy: async () => (await import('./commands/proxy.ts')).registerProxy,
  run: async () => (await import('./commands/run-options.ts')).registerRun,
  'agent-setup': async () => (await import('./commands/agent-setup.ts')).registerAgentSetup,
  doctor: async () => (await import('./commands/doctor-options.ts')).registerDoctor,
  demo: async () => (await import('./commands/demo-options.ts')).registerDemo,
  ui: async () => (await import('./commands/ui.ts')).registerUi,
  runs: async () => (await import('./commands/lists.ts')).registerRuns,
  exchanges: async () => (await import('./commands/lists.ts')).registerExchanges,
  connections: async () => (await import('./commands/lists.ts')).registerConnections,
  findings: async () => (await import('./commands/findings.ts')).registerFindings,
  show: async () => (await import('./commands/show.ts')).registerShow,
  search: async () => (await import('./commands/search.ts')).registerSearch,
  redecode: async () => (await import('./commands/redecode.ts')).registerRedecode,
  replay: async () => (await import('./commands/replay-options.ts')).registerReplay,
  serve: async () => (await import('./commands/serve.ts')).registerServe,
  diff: async () => (await import('./commands/diff.ts')).registerDiff,
  reuse: async () => (await import('./commands/reuse.ts')).registerReuse,
  times: async () => (await import('./commands/times.ts')).registerTimes,
  export: async () => (await import('./commands/export.ts')).registerExport,
  share: async () => (await import('./commands/share.ts')).registerShare,
  note: async () => (await import('./commands/note.ts')).registerNote,
  join: async () => (await import('./commands/join.ts')).registerJoin,
  import: async () => (await import('./commands/import.ts')).registerImport,
  query: async () => (await import('./commands/query.ts')).registerQuery,
  identity: async () => (await import('./commands/identity.ts')).registerIdentity,
  ca: async () => (await import('./commands/ca.ts')).registerCa,
  completion: async () => (await import('./commands/completion.ts')).registerCompletion,
};

/** The composition root: options to command to exit code. Never throws. */
export async function main(words: readonly string[], io: Io = processIo(words[2] ?? '')): Promise<void> {
  // commander's own help knows the first word of a command only
  const argv = words[2] === 'help' && words.length > 4 ? [...words.slice(0, 2), ...words.slice(3), '--help'] : words;
  const program = new Command('stringtap')
    .description('An intercepting debug proxy for the HTTPS between Puppet agents and their primary')
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError()
    // words of a command are on its own page: with them no room would be left for what it does
    .configureHelp({ subcommandTerm: command => command.name() })
    .configureOutput({
      writeOut: text => io.out(text.replace(/\n$/, '')),
      writeErr: text => {
        // an error may bring a suggestion on a line of its own; help goes here too when no command is given
        if (text.startsWith('error: ')) io.err(`stringtap: ${printable(usageText(text.slice(7)))}`);
        else io.err(text.replace(/\n$/, ''));
      },
    });
  const name = argv[2] ?? '';
  const named = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  try {
    const topic = name === 'help' ? (argv[3] ?? 'help') : 'help';
    if (!/^(?:help|-.*)$/.test(topic) && !Object.hasOwn(COMMANDS, topic))
      throw new CliError(`unknown command '${topic}'`, 'stringtap help shows the commands', 2);
    for (const load of needed(argv)) (await load())(program, io);
    addExamples(program);
    await program.parseAsync([...argv]);
  } catch (error) {
    io.exitCode = report(error, io, named ? name : null);
  }
  process.exitCode = io.exitCode;
}

/** To the help of the program, and of each command and what is below it. */
function addExamples(command: Command, words = ''): void {
  command.addHelpText('after', () => examplesOf(words));
  for (const sub of command.commands) addExamples(sub, `${words} ${sub.name()}`.trim());
}

/** The commands that these words are about. */
function needed(argv: readonly string[]): (() => Promise<Register>)[] {
  const [, , name = '', , dashes, first, ...more] = argv;
  const all = Object.values(COMMANDS);
  if (Object.hasOwn(COMMANDS, name)) return [COMMANDS[name]!];
  if (name === '-V' || name === '--version') return [];
  // a shell that completes a word: complete SHELL -- COMMAND … WORD
  if (name !== 'complete') return all;
  const typed =
    dashes === '--' && more.length > 0 && first !== undefined && Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : null;
  return typed ? [...new Set([typed, COMMANDS.completion!])] : all;
}

/** What commander says of a wrong word, in one line and as the rest of the program speaks. */
function usageText(text: string): string {
  return text
    .trim()
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^command-argument value '(.*?)' is invalid for argument '(.*?)'\. /, "$2 '$1' is invalid: ")
    .replace(/ argument ('.*?') is invalid\. /, ' $1 is invalid: ')
    .replace(/Allowed choices are (.*)\.$/, 'expected $1')
    .replace(/^option '(\S+) .*?' (?='.*' is invalid)/, '$1 ')
    .replace(/^required option '(.*)' not specified$/, '$1 is missing')
    .replace(/^missing required argument '(.*)'$/, 'the $1 is missing')
    .replace(/^option '(.*)' argument missing$/, '$1 has no value');
}

/** Shows an error as one line and a hint; the exit code. */
function report(error: unknown, io: Io, command: string | null): number {
  if (error instanceof CommanderError) {
    // commander has printed its message already; help and version are no errors
    if (error.exitCode === 0) return 0;
    if (!/^commander\.help/.test(error.code))
      io.err(
        command === null ? 'hint: stringtap help shows the commands' : `hint: stringtap help ${command} shows how it is used`,
      );
    return 2;
  }
  if (error instanceof CliError || error instanceof CaptureError || error instanceof PkiError || error instanceof ContactError) {
    // messages name files and words of the command line, and tell what a primary said
    io.err(`stringtap: ${printable(error.message)}`);
    if (error.hint) io.err(`hint: ${printable(error.hint)}`);
    return error instanceof CliError ? error.exitCode : 1;
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  io.err(`stringtap: ${printable(message.split('\n')[0] ?? '')}`);
  io.err('hint: this is a defect of stringtap; STRINGTAP_DEBUG=1 shows where');
  if (io.env.STRINGTAP_DEBUG) io.err(stack ?? '');
  return 1;
}
