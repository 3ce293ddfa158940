import type { KeyName } from './keys.ts';

/**
 * Every key as data: what it runs, where, and in which words help, footer and palette tell of it. Handlers and help read the same table, so
 * that no help is ever out of date.
 */

/**
 * Where a command can be run: a view, one tab of it, or anywhere. The most special scope of a screen wins. `problems`: a list that can have
 * some; `opens`: enter leads on from its rows; `filtered`: back takes a filter off.
 */
export type Scope =
  | 'any'
  | 'list'
  | 'runs'
  | 'requests'
  | 'run'
  | 'waterfall'
  | 'exchange'
  | 'tree'
  | 'text'
  | 'table'
  | 'problems'
  | 'opens'
  | 'filtered'
  | 'raw'
  | 'connections'
  | 'diff'
  | 'replay'
  | 'sql'
  | 'findings'
  | 'times'
  | 'help';

export interface CommandSpec {
  /** As typed after `:` and named in keys.yaml. */
  readonly name: string;
  /** What it does, for help and palette: a sentence without a full stop. */
  readonly help: string;
  /** One or two words for the footer; without it the footer does not show the command. */
  readonly short?: string;
  readonly scopes: readonly Scope[];
  /** Keys that run it; `['1', '1']`: the key `1` runs it with the argument `1`. */
  readonly keys: readonly (KeyName | readonly [key: KeyName, argument: string])[];
  /** What may stand behind its name after `:`. */
  readonly argument?: string;
}

const command = <Name extends string>(spec: CommandSpec & { readonly name: Name }): CommandSpec & { readonly name: Name } => spec;

const ANY: readonly Scope[] = ['any'];
const PROBLEMS: readonly Scope[] = ['runs', 'requests', 'waterfall', 'problems'];
/** Lists that are sorted and filtered. */
const SORTED: readonly Scope[] = ['runs', 'requests', 'times'];
const SEARCHED: readonly Scope[] = ['waterfall', 'tree', 'text', 'table'];
const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];

export const COMMANDS = [
  command({ name: 'down', help: 'move down', scopes: ANY, keys: ['j', 'down'] }),
  command({ name: 'up', help: 'move up', scopes: ANY, keys: ['k', 'up'] }),
  command({ name: 'left', help: 'move left, or fold', scopes: ANY, keys: ['h', 'left'] }),
  command({ name: 'right', help: 'move right, or unfold', scopes: ANY, keys: ['l', 'right'] }),
  command({ name: 'top', help: 'go to the start', scopes: ANY, keys: ['g', 'home'] }),
  command({ name: 'bottom', help: 'go to the end', scopes: ANY, keys: ['G', 'end'] }),
  command({ name: 'half-down', help: 'half a page down', scopes: ANY, keys: ['ctrl-d'] }),
  command({ name: 'half-up', help: 'half a page up', scopes: ANY, keys: ['ctrl-u'] }),
  command({ name: 'page-down', help: 'a page down', scopes: ANY, keys: ['ctrl-f', 'pgdn'] }),
  command({ name: 'page-up', help: 'a page up', scopes: ANY, keys: ['ctrl-b', 'pgup'] }),
  command({ name: 'go', help: 'go to a row by its place in the list', scopes: ANY, keys: [], argument: 'N' }),
  command({ name: 'back', help: 'go back to the view before', short: 'back', scopes: ANY, keys: ['esc', 'q'] }),
  command({ name: 'next-tab', help: 'next tab', short: 'tab', scopes: ANY, keys: [']', 'tab'] }),
  command({ name: 'previous-tab', help: 'previous tab', scopes: ANY, keys: ['[', 'shift-tab'] }),
  command({
    name: 'tab',
    help: 'go to a tab by its number or name',
    scopes: ANY,
    keys: ['1', '2', '3', '4', '5', '6', '7', '8', '9'].map(n => [n, n] as const),
    argument: 'NAME',
  }),
  command({
    name: 'follow',
    help: 'follow what is newest',
    short: 'follow',
    scopes: ['runs', 'requests', 'waterfall'],
    keys: ['F'],
  }),
  command({
    name: 'sort',
    help: 'sort by the next column, or the one named',
    short: 'sort',
    scopes: SORTED,
    keys: ['o'],
    argument: 'COLUMN',
  }),
  command({
    name: 'filter',
    help: 'only rows that a filter wants (~c 500 & ~phase file, …)',
    short: 'filter',
    scopes: SORTED,
    keys: ['/', 'f'],
    argument: 'FILTER',
  }),
  command({ name: 'filter-off', help: 'filter off, and on again', scopes: SORTED, keys: ['ctrl-t'] }),
  command({ name: 'reverse', help: 'turn the order around', scopes: SORTED, keys: ['O'] }),
  command({
    name: 'by',
    help: 'what requests are put together by: the next, the one before, or the one named',
    short: 'by',
    scopes: ['times'],
    keys: ['b', ['B', 'before']],
    argument: 'WHAT',
  }),
  command({
    name: 'time',
    help: 'time column: clock, since the start, since the one before',
    scopes: ['requests', 'waterfall'],
    keys: ['t'],
  }),
  command({
    name: 'zoom-in',
    help: 'zoom in on the time around the cursor',
    short: 'zoom',
    scopes: ['waterfall'],
    keys: ['+', '='],
  }),
  command({ name: 'zoom-out', help: 'zoom out', scopes: ['waterfall'], keys: ['-', '_'] }),
  command({ name: 'zoom-all', help: 'show all of the time', scopes: ['waterfall'], keys: ['0'] }),
  command({ name: 'legs', help: 'lanes of both legs, the agent leg, the primary leg', scopes: ['waterfall'], keys: ['L'] }),
  command({
    name: 'search',
    help: 'search in this view',
    short: 'search',
    scopes: SEARCHED,
    keys: ['/'],
    argument: 'TEXT',
  }),
  command({ name: 'next-match', help: 'next match', scopes: SEARCHED, keys: ['n'] }),
  command({ name: 'previous-match', help: 'previous match', scopes: SEARCHED, keys: ['N'] }),
  command({ name: 'fold', help: 'fold or unfold', short: 'fold', scopes: ['tree'], keys: ['z', 'space'] }),
  command({ name: 'fold-all', help: 'fold everything, or unfold it', scopes: ['tree'], keys: ['Z'] }),
  command({ name: 'wrap', help: 'all of a long row below the list, or not', scopes: ['tree', 'table'], keys: ['w'] }),
  command({ name: 'hex', help: 'bytes as hex, or as text', scopes: ['raw'], keys: ['x'] }),
  command({ name: 'leg', help: 'the body on the agent leg, or on the primary leg', scopes: ['exchange'], keys: ['L'] }),
  command({
    name: 'maximise',
    help: 'lanes and list, the list alone, the lanes alone',
    short: 'max',
    scopes: ['waterfall'],
    keys: ['\\'],
  }),
  command({ name: 'next-row', help: 'the exchange after this one', scopes: ['exchange'], keys: ['J'] }),
  command({ name: 'previous-row', help: 'the exchange before this one', scopes: ['exchange'], keys: ['K'] }),
  command({
    name: 'mark',
    help: 'mark a row, or take its mark away',
    short: 'mark',
    scopes: ['list', 'exchange'],
    keys: ['space'],
  }),
  command({
    name: 'name',
    help: 'give the row a letter',
    scopes: ['list', 'exchange'],
    keys: LETTERS.map(letter => [`m ${letter}`, letter] as const),
    argument: 'LETTER',
  }),
  command({ name: 'next-problem', help: 'next error or finding', short: 'error', scopes: PROBLEMS, keys: ['e'] }),
  command({ name: 'previous-problem', help: 'previous error or finding', scopes: PROBLEMS, keys: ['E'] }),
  command({
    name: 'open',
    help: 'open what the cursor is on',
    short: 'open',
    scopes: ['list', 'tree', 'table', 'opens'],
    keys: ['enter'],
  }),
  command({
    name: 'named',
    help: 'go to the row that has a letter',
    scopes: ANY,
    keys: LETTERS.map(letter => [`' ${letter}`, letter] as const),
    argument: 'LETTER',
  }),
  command({ name: 'marks-off', help: 'take all marks and letters away', scopes: ANY, keys: ['U'] }),
  command({
    name: 'diff',
    help: 'what differs between two marked rows; of a run alone, from the one before',
    scopes: ANY,
    keys: ['d'],
    argument: 'A B',
  }),
  command({ name: 'replay', help: 'send this exchange again (asks first)', scopes: ANY, keys: ['r'], argument: 'HOST[:PORT]' }),
  command({ name: 'replay-run', help: 'send this run again (asks first)', scopes: ANY, keys: ['R'], argument: 'HOST[:PORT]' }),
  command({ name: 'send', help: 'send it, after a yes', short: 'send', scopes: ['replay'], keys: ['S'] }),
  command({ name: 'options', help: 'another target, other options', short: 'options', scopes: ['replay'], keys: ['o'] }),
  command({ name: 'sql', help: 'ask the capture in SQL', scopes: ANY, keys: [';'], argument: 'SELECT …' }),
  command({
    name: 'copy',
    help: 'copy the URL, as curl, the body, the header fields, as JSON',
    scopes: ANY,
    keys: [
      ['y u', 'url'],
      ['y c', 'curl'],
      ['y b', 'body'],
      ['y h', 'headers'],
      ['y j', 'json'],
    ],
    argument: 'WHAT',
  }),
  command({
    name: 'export',
    help: 'write the run to a file: har, jsonl, curl, files, otlp, html',
    scopes: ANY,
    keys: ['x', 'X'],
    argument: 'FORMAT FILE',
  }),
  command({
    name: 'connections',
    help: 'connections and their reuse: of this run, or of the capture',
    scopes: ANY,
    keys: ['C'],
    argument: 'RUN',
  }),
  command({
    name: 'times',
    help: 'how long requests took: of this list, this run, or the capture',
    scopes: ANY,
    keys: ['T'],
    argument: 'FILTER',
  }),
  command({ name: 'runs', help: 'all agent runs', scopes: ANY, keys: [] }),
  command({ name: 'requests', help: 'all requests of the capture', scopes: ANY, keys: [] }),
  command({ name: 'findings', help: 'what the rules found, in all runs', scopes: ANY, keys: [] }),
  command({ name: 'run', help: 'open a run by its number, or that of the exchange', scopes: ANY, keys: [], argument: 'RUN' }),
  command({ name: 'exchange', help: 'open an exchange by its number', scopes: ANY, keys: [], argument: 'EXCHANGE' }),
  command({ name: 'connection', help: 'open a connection by its number', scopes: ANY, keys: [], argument: 'CONNECTION' }),
  command({ name: 'command', help: 'type a command', scopes: ANY, keys: [':'] }),
  command({ name: 'palette', help: 'every command with its key', scopes: ANY, keys: ['ctrl-p'] }),
  command({ name: 'help', help: 'help for this view', short: 'help', scopes: ANY, keys: ['?'] }),
  command({ name: 'hints', help: 'hide the line of keys, or show it', scopes: ANY, keys: ['H'] }),
  command({ name: 'redraw', help: 'draw the screen anew', scopes: ANY, keys: ['ctrl-l'] }),
  command({
    name: 'mouse',
    help: 'mouse off, so that the terminal selects text, and on again',
    scopes: ANY,
    keys: ['ctrl-y'],
  }),
  command({ name: 'suspend', help: 'back to the shell; fg comes back', scopes: ANY, keys: ['ctrl-z'] }),
  command({ name: 'quit', help: 'quit; a proxy that is capturing goes on', short: 'quit', scopes: ANY, keys: ['Q', 'ctrl-c'] }),
] as const satisfies readonly CommandSpec[];

export type CommandName = (typeof COMMANDS)[number]['name'];

/** A command that was asked for, by a key or by its name. */
export interface Action {
  readonly name: CommandName;
  readonly argument: string | null;
}

export interface Binding {
  /** A key, or a sequence with blanks between. */
  readonly keys: string;
  readonly action: Action;
  readonly scopes: readonly Scope[];
}

export type KeyMap = readonly Binding[];

export function specOf(name: CommandName): CommandSpec {
  return COMMANDS.find(known => known.name === name)!;
}

export function toCommand(text: string): CommandName | null {
  return COMMANDS.find(known => known.name === text)?.name ?? null;
}

export function defaultKeyMap(): Binding[] {
  return COMMANDS.flatMap((spec: CommandSpec & { name: CommandName }) =>
    spec.keys.map(entry => {
      const [keys, argument] = typeof entry === 'string' ? [entry, null] : entry;
      return { keys, action: { name: spec.name, argument }, scopes: spec.scopes };
    }),
  );
}

/**
 * The map with the keys of one command in place of its own. Where another command of a scope in common had one of them, it loses it.
 */
export function rebind(map: KeyMap, action: Action, keys: readonly string[]): Binding[] {
  const { scopes } = specOf(action.name);
  const shared = (binding: Binding): boolean => binding.scopes.some(scope => scopes.includes(scope));
  const isOld = (binding: Binding): boolean => binding.action.name === action.name && binding.action.argument === action.argument;
  const kept = map.filter(binding => !isOld(binding) && !(keys.includes(binding.keys) && shared(binding)));
  return [...kept, ...keys.map(key => ({ keys: key, action, scopes }))];
}

export type Resolved =
  | { readonly type: 'action'; readonly action: Action }
  /** The start of a sequence; what may follow. */
  | { readonly type: 'pending'; readonly keys: string; readonly next: readonly Binding[] }
  | { readonly type: 'none' };

/**
 * What a key does on a screen.
 *
 * @param scopes of the screen, the most special first; `any` comes last and need not be named
 * @param pending keys of a sequence that was begun, with blanks between
 */
export function resolveKey(map: KeyMap, scopes: readonly Scope[], pending: string, key: KeyName): Resolved {
  const keys = pending === '' ? key : `${pending} ${key}`;
  const order: readonly Scope[] = [...scopes, 'any'];
  for (const scope of order) {
    const found = map.find(binding => binding.keys === keys && binding.scopes.includes(scope));
    if (found !== undefined) return { type: 'action', action: found.action };
  }
  const next = map.filter(binding => binding.keys.startsWith(`${keys} `) && binding.scopes.some(scope => order.includes(scope)));
  return next.length === 0 ? { type: 'none' } : { type: 'pending', keys, next };
}

/** Commands that can be run on a screen, those of its own scopes first. */
export function commandsFor(scopes: readonly Scope[]): (CommandSpec & { name: CommandName })[] {
  const all: readonly (CommandSpec & { name: CommandName })[] = COMMANDS;
  const own = all.filter(spec => spec.scopes.some(scope => scope !== 'any' && scopes.includes(scope)));
  return [...own, ...all.filter(spec => spec.scopes.includes('any'))];
}

/** Keys of a command as help shows them: `j, down`; of one with arguments the first and the last: `1 … 9`. */
export function keysText(map: KeyMap, name: CommandName): string {
  const bound = map.filter(binding => binding.action.name === name);
  const keys = bound.map(binding => binding.keys);
  if (bound.length > 4 && bound.every(binding => binding.action.argument !== null)) return `${keys[0]} … ${keys.at(-1)}`;
  return keys.join(', ');
}
