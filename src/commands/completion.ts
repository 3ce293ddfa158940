import { existsSync, readFileSync } from 'node:fs';
import { Argument, type Command } from 'commander';
import { type Candidate, complete } from './complete.ts';
import { knownValues } from './complete-known.ts';
import { CliError, type Io, printable } from './io.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

const EXAMPLES = `
To have it in each new shell:
  bash   source <(stringtap completion bash)       in ~/.bashrc
  zsh    source <(stringtap completion zsh)        in ~/.zshrc, after compinit
  fish   stringtap completion fish | source        in ~/.config/fish/config.fish`;

/** Descriptions beside candidates are cut to this; shells cut them to what the terminal has room for. */
const ABOUT_LENGTH = 100;

/** `stringtap completion bash|zsh|fish`, and what its script asks at each tab: `stringtap complete SHELL -- WORDS`. */
export function registerCompletion(program: Command, io: Io): void {
  program
    .command('completion')
    .description('print a script that completes the words of stringtap in a shell')
    .addArgument(new Argument('<shell>', 'the shell to source it in').choices(SHELLS))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => io.out(script(shell)));
  program
    .command('complete', { hidden: true })
    .description('the candidates for the last word, a line each with a tab before its description; then what paths fit')
    .addArgument(new Argument('<shell>', 'whose quoting the words have').choices(SHELLS))
    .argument('[words...]', 'after --, those before the cursor, the current one last')
    .action(async (shell: Shell, words: string[]) => {
      const texts = words.map(word => (shell === 'fish' ? word.replace(/^['"]/, '') : unquoted(word)));
      const { candidates, paths } = await complete(program, texts.slice(0, -1), texts.at(-1) ?? '', knownValues());
      for (const candidate of candidates) io.out(line(candidate));
      io.out(`:${paths ?? ''}`);
    });
}

function line({ text, about }: Candidate): string {
  return `${text}\t${printable(about).slice(0, ABOUT_LENGTH)}`;
}

/** A word as the shell would give it to a program; a quote that is still open is not part of it. Nothing is expanded. */
export function unquoted(word: string): string {
  return word.replace(
    /'([^']*)(?:'|$)|"((?:[^"\\]|\\[\s\S])*)(?:"|\\?$)|\\([\s\S]|$)/g,
    (_all, single?: string, double?: string, escaped?: string) =>
      single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? '',
  );
}

/** The script, from completion/: two folders above src/commands, three above dist/src/commands. */
function script(shell: Shell): string {
  const places = ['../..', '../../..'].map(path => new URL(`${path}/completion/stringtap.${shell}`, import.meta.url));
  const file = places.find(place => existsSync(place));
  if (file === undefined) throw new CliError(`stringtap.${shell} is missing`, 'install stringtap again');
  return readFileSync(file, 'utf8').trimEnd();
}
