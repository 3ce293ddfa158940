import type { Argument, Command, Option } from 'commander';
import { completeFilter } from '../analysis/filter-complete.ts';

/*
 * What can stand where a shell completes a word. Commands, options and their choices are read off the program itself; what depends on captures
 * is asked of Known, by the name that a value has in the help (`<RUN>`, `[capture]`).
 */

export interface Candidate {
  /** The whole word, unquoted. */
  text: string;
  about: string;
}

/** Values by what they are called in the help; `capture` is the file that was named, the newest one without. Never rejects. */
export type Known = (name: string, capture: string | undefined) => Promise<readonly Candidate[]>;

export interface Completion {
  candidates: readonly Candidate[];
  /** Names of files or folders fit here, too: the shell knows those. */
  paths: 'files' | 'folders' | null;
}

const NOTHING: Completion = { candidates: [], paths: null };

/** The end of the words before the cursor: what they lead to. */
interface Place {
  command: Command;
  /** Words that are no options, after the command. */
  words: readonly string[];
  /** The option whose value is next. */
  option: Option | null;
  /** Values of options by their long name. */
  given: ReadonlyMap<string, string>;
  /** Only words follow: after `--`, or in another program's command line. */
  isOnlyWords: boolean;
}

/** @param typed the words after the program's name, unquoted, without the current one */
export async function complete(program: Command, typed: readonly string[], current: string, known: Known): Promise<Completion> {
  const place = follow(program, typed);
  const { command, option, words } = place;
  if (option !== null) return valueFor(option, current, place, known);
  if (current.startsWith('-') && !place.isOnlyWords) {
    const equals = current.indexOf('=');
    if (equals < 0) return { candidates: options(command, current), paths: null };
    const long = optionOf(command, current.slice(0, equals));
    if (long === null || !takesValue(long)) return NOTHING;
    const { candidates, paths } = await valueFor(long, current.slice(equals + 1), place, known);
    return { candidates: candidates.map(({ text, about }) => ({ text: current.slice(0, equals + 1) + text, about })), paths };
  }
  if (command.name() === 'help') return fitting(subcommands(follow(program, words).command), current);
  if (command.commands.length > 0 && words.length === 0) return fitting(subcommands(command), current);
  const argument = argumentAt(command, words.length);
  if (argument !== null) return positional(argument, current, place, known);
  return words.length > 0 || place.isOnlyWords ? NOTHING : { candidates: options(command, current), paths: null };
}

function follow(program: Command, typed: readonly string[]): Place {
  let command = program;
  const words: string[] = [];
  const given = new Map<string, string>();
  let option: Option | null = null;
  let isOnlyWords = false;
  for (const word of typed) {
    const isOption = !isOnlyWords && word.startsWith('-') && word !== '-';
    if (option !== null && !(isOption && (option.optional || option.variadic))) {
      given.set(option.long ?? '', word);
      if (!option.variadic) option = null;
    } else if (word === '--' && !isOnlyWords) {
      isOnlyWords = true;
    } else if (isOption) {
      const [name = '', value] = word.split('=', 2);
      const found = optionOf(command, name);
      option = found !== null && value === undefined && takesValue(found) ? found : null;
      if (found !== null && value !== undefined) given.set(found.long ?? '', value);
    } else {
      option = null;
      const sub = words.length === 0 ? subcommandOf(command, word) : undefined;
      if (sub === undefined) words.push(word);
      else command = sub;
      isOnlyWords ||= words.length > 0 && isOfAnother(argumentAt(command, words.length - 1));
    }
  }
  return { command, words, option, given, isOnlyWords };
}

/** `stringtap run` ends with the command line of another program: options in it are not ours once its first word is there. */
function isOfAnother(argument: Argument | null): boolean {
  return argument?.name() === 'command' && argument.variadic && argument.required;
}

function subcommandOf(command: Command, word: string): Command | undefined {
  return command
    .createHelp()
    .visibleCommands(command)
    .find(one => one.name() === word);
}

function subcommands(command: Command): Candidate[] {
  const visible = command.createHelp().visibleCommands(command);
  return visible.map(one => ({ text: one.name(), about: one.description() }));
}

function optionOf(command: Command, name: string): Option | null {
  const visible = command.createHelp().visibleOptions(command);
  return visible.find(({ long, short }) => long === name || short === name) ?? null;
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

function options(command: Command, current: string): Candidate[] {
  const visible = command.createHelp().visibleOptions(command);
  return visible
    .map(({ long, short, description }) => ({ text: long ?? short ?? '', about: description }))
    .filter(({ text }) => text.startsWith(current));
}

/** The argument at a place; the last one again when it takes any number of words. */
function argumentAt(command: Command, place: number): Argument | null {
  const all = command.registeredArguments;
  const last = all.at(-1);
  return all[place] ?? (last?.variadic === true ? last : null);
}

/** Long names of options whose file is a capture that is there already. */
const CAPTURES: ReadonlySet<string> = new Set(['--capture', '--from', '--other', '--compare']);

async function valueFor(option: Option, current: string, place: Place, known: Known): Promise<Completion> {
  if (option.argChoices !== undefined) return fitting(choices(option.argChoices), current);
  const name = metavar(option);
  const source = CAPTURES.has(option.long ?? '') ? 'capture' : option.long === '--certname' ? 'certname' : name.toLowerCase();
  const { candidates } = fitting(await known(source, captureOf(place)), current);
  if (candidates.length > 0) return { candidates, paths: null };
  const paths = /FILE|CAPTURE/.test(name) ? 'files' : name === 'DIR' ? 'folders' : null;
  return { candidates, paths };
}

/** `FILE` of `--capture <FILE>`, `NAME` of `--name <NAME...>`. */
function metavar({ flags }: Option): string {
  return /[<[]([^>\]]+)/.exec(flags)?.[1]?.replace(/\.+$/, '') ?? '';
}

function choices(texts: readonly string[]): Candidate[] {
  return texts.map(text => ({ text, about: '' }));
}

const SUBJECTS = {
  runs: 'run',
  exchanges: 'exchange',
  connections: 'connection',
  findings: 'finding',
  times: 'exchange',
} as const;

async function positional(argument: Argument, current: string, place: Place, known: Known): Promise<Completion> {
  if (argument.argChoices !== undefined) return fitting(choices(argument.argChoices), current);
  if (isOfAnother(argument)) return { candidates: [], paths: 'files' };
  const capture = captureOf(place);
  const name = place.command.name();
  const filters = Object.hasOwn(SUBJECTS, name) ? await filterWords(place, current, known) : [];
  const source = argument.name().replace(/s$/, '');
  const named = source === 'filter' ? [] : fitting(await known(source, capture), current).candidates;
  const candidates = [...named, ...filters];
  return { candidates, paths: candidates.length === 0 ? 'files' : null };
}

/** The filter that stands in one word or in many, completed at its end; a word that the shell cannot change is left as it is. */
async function filterWords({ command, words, given }: Place, current: string, known: Known): Promise<Candidate[]> {
  const subject = SUBJECTS[command.name() as keyof typeof SUBJECTS];
  const before = words.filter((word, n) => !((n === 0 || n === words.length - 1) && isCapture(word)));
  const text = [...before, current].join(' ');
  const start = text.length - current.length;
  const capture = captureOf({ words, given });
  const values = { certname: await known('certname', capture), env: await known('environment', capture) };
  const texts = (of: readonly Candidate[]): string[] => of.map(one => one.text);
  const found = completeFilter(text, text.length, subject, { certname: texts(values.certname), env: texts(values.env) });
  if (found === null || found.at < start) return [];
  return found.suggestions
    .map(one => ({ text: current.slice(0, found.at - start) + one.text.trimEnd(), about: one.about }))
    .filter(one => one.text.startsWith(current));
}

function isCapture(word: string): boolean {
  return /\.db$|^\.{1,2}(?:\/|$)/i.test(word);
}

/** The capture that was named so far. */
function captureOf({ words, given }: Pick<Place, 'words' | 'given'>): string | undefined {
  return given.get('--capture') ?? given.get('--from') ?? words.find(isCapture);
}

function fitting(all: readonly Candidate[], current: string): Completion {
  return { candidates: all.filter(({ text }) => text.startsWith(current)), paths: null };
}
