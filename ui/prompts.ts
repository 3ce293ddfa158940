import { type InputState, startInput } from './input.ts';
import {
  type Action,
  type CommandName,
  type CommandSpec,
  commandsFor,
  type KeyMap,
  keysText,
  type Scope,
  toCommand,
} from './keymap.ts';
import { LIST_START, type ListState, moveList } from './list.ts';
import { highlighted } from './paint.ts';
import type { Env, Prompt } from './screen.ts';
import { type Line, pad, span } from './text.ts';

/** The lines that are typed at the bottom: `:` with completion, the palette, and the argument of a command. */

type Spec = CommandSpec & { name: CommandName };

/** `:NAME ARGUMENT`. Tab completes the name. */
export function commandPrompt(scopes: readonly Scope[], history: readonly string[], input = startInput('', history)): Prompt {
  const specs = commandsFor(scopes);
  const name = input.text.trimStart().split(' ', 1)[0] ?? '';
  const matching = specs.filter(spec => spec.name.startsWith(name));
  const action = actionOf(input.text, specs);
  return {
    label: ':',
    input,
    problem: action === null && input.text.trim() !== '' ? `there is no command ${name}; tab completes` : null,
    draw: env =>
      name === '' || input.text.includes(' ') ? hint(action, specs) : list(matching, { cursor: -1, top: 0 }, null, env, 6),
    change: next => ({ prompt: commandPrompt(scopes, history, next) }),
    key(key) {
      if (key !== 'tab') return null;
      const completed = completion(name, matching);
      return commandPrompt(scopes, history, { ...input, text: completed, cursor: completed.length });
    },
    submit: () => (action === null ? {} : { action }),
  };
}

function hint(action: Action | null, specs: readonly Spec[]): Line[] {
  const spec = specs.find(known => known.name === action?.name);
  return spec === undefined ? [] : [[span(` ${spec.name} ${spec.argument ?? ''}`, 'name'), span(`  ${spec.help}`, 'dim')]];
}

/** As much of the name as all that match have in common; of a single one all of it. */
function completion(name: string, matching: readonly Spec[]): string {
  const [first] = matching;
  if (first === undefined) return name;
  if (matching.length === 1) return first.argument === undefined ? first.name : `${first.name} `;
  let end = first.name.length;
  for (const spec of matching) while (!spec.name.startsWith(first.name.slice(0, end))) end -= 1;
  return first.name.slice(0, end);
}

/** A whole name, or the start of one that only one command has. */
function actionOf(text: string, specs: readonly Spec[]): Action | null {
  const trimmed = text.trim();
  const [word = ''] = trimmed.split(/\s/, 1);
  const argument = trimmed.slice(word.length).trim();
  const starting = specs.filter(spec => spec.name.startsWith(word));
  const exact = toCommand(word);
  const name = exact !== null ? exact : starting.length === 1 ? starting[0]!.name : null;
  return name === null || word === '' ? null : { name, argument: argument === '' ? null : argument };
}

/** Every command with its key; typing narrows it, enter runs the one under the cursor. */
export function palette(
  scopes: readonly Scope[],
  map: KeyMap,
  input: InputState = startInput(),
  place: ListState = LIST_START,
): Prompt {
  const words = input.text.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = commandsFor(scopes).filter(spec =>
    words.every(word => `${spec.name} ${spec.help}`.toLowerCase().includes(word)),
  );
  // Who types a name wants that command, not those that speak of it.
  const isNamed = ({ name }: Spec): boolean => name.startsWith(words[0] ?? '');
  const found = [...matching.filter(isNamed), ...matching.filter(spec => !isNamed(spec))];
  const height = (env: Env): number => Math.max(1, Math.min(found.length, env.size.rows - 2));
  const again = (next: InputState, at: ListState): Prompt => palette(scopes, map, next, at);
  const at = found[place.cursor];
  return {
    label: 'command: ',
    input,
    problem: found.length === 0 ? 'no command matches' : null,
    draw: env => list(found, place, map, env, height(env)),
    change: next => ({ prompt: again(next, LIST_START) }),
    key(key, env) {
      const move = {
        down: 'down',
        up: 'up',
        'ctrl-n': 'down',
        'ctrl-p': 'up',
        tab: 'down',
        'shift-tab': 'up',
        pgdn: 'page-down',
        pgup: 'page-up',
      } as const;
      const to = Object.hasOwn(move, key) ? move[key as keyof typeof move] : null;
      return to === null ? null : again(input, moveList(place, to, found.length, height(env)));
    },
    submit: () => (at === undefined ? {} : { action: { name: at.name, argument: null } }),
  };
}

function list(specs: readonly Spec[], place: ListState, map: KeyMap | null, env: Env, limit: number): Line[] {
  const name = Math.min(22, Math.max(8, ...specs.map(spec => spec.name.length + (spec.argument?.length ?? -1) + 1)));
  const keys = map === null ? 0 : Math.min(16, Math.floor(env.size.columns / 5));
  return specs.slice(place.top, place.top + limit).map((spec, i) => {
    const row: Line = [
      span(` ${pad(`${spec.name} ${spec.argument ?? ''}`.trimEnd(), name)}  `, 'name'),
      span(map === null ? '' : `${pad(keysText(map, spec.name), keys)}  `, 'key'),
      span(spec.help),
    ];
    return place.top + i === place.cursor ? highlighted(row, env.size.columns, 'selected') : row;
  });
}

/**
 * The argument of a command that was run without one.
 *
 * @param live runs the command with every key, so that a search shows its first match while one types
 */
export function argumentPrompt(
  name: string,
  label: string,
  history: readonly string[],
  live: boolean,
  input = startInput('', history),
): Prompt {
  const command = toCommand(name)!;
  const action = (text: string): Action => ({ name: command, argument: text });
  return {
    label,
    input,
    problem: null,
    draw: () => [],
    change: next => ({ prompt: argumentPrompt(name, label, history, live, next), ...(live && { action: action(next.text) }) }),
    key: () => null,
    submit: () => ({ action: action(input.text) }),
    ...(live && { cancel: action('') }),
  };
}
