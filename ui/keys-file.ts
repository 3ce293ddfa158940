import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Data, entriesOf, isMapping, itemsOf, textOf } from '../src/decode/data.ts';
import { attempt } from '../src/decode/limits.ts';
import { parseYaml } from '../src/decode/yaml.ts';
import { type Action, defaultKeyMap, type KeyMap, rebind, toCommand } from './keymap.ts';
import { keySequence } from './keys.ts';

/** A hand-written file; nothing in it can be large. */
const LIMITS = { bodyBytes: 1 << 20, depth: 4, items: 2000, aliases: 0 };

/** `$XDG_CONFIG_HOME/stringtap/keys.yaml` (XDG Base Directory: `~/.config` when the variable is empty or relative). */
export function keysFile(env: Readonly<Record<string, string | undefined>>): string {
  const home = env.XDG_CONFIG_HOME ?? '';
  return join(home.startsWith('/') ? home : join(env.HOME ?? homedir(), '.config'), 'stringtap', 'keys.yaml');
}

/**
 * The key map with what the file changes. What is wrong in it is told and passed over: nobody is kept from their screens by a typing error.
 *
 * ```yaml
 * follow: [f, F]     # one key or several, in place of its own
 * tab 3: alt-3       # with an argument
 * quit: []           # none
 * yank url: "y u"    # a sequence
 * ```
 */
export function readKeyMap(file: string): { map: KeyMap; problems: string[] } {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return { map: defaultKeyMap(), problems: code === 'ENOENT' ? [] : [`${file}: ${code}`] };
  }
  const parsed = attempt(() => parseYaml(bytes, LIMITS));
  if ('error' in parsed) return { map: defaultKeyMap(), problems: [`${file}: ${parsed.error}`] };
  return apply(parsed.value, file);
}

function apply(data: Data, file: string): { map: KeyMap; problems: string[] } {
  let map: KeyMap = defaultKeyMap();
  const problems: string[] = [];
  if (data !== null && data !== undefined && !isMapping(data)) {
    return { map, problems: [`${file}: expected lines of the form "command: key"`] };
  }
  for (const [name, value] of entriesOf(data)) {
    const words = textOf(name) ?? '';
    const action = actionOf(words);
    const texts = Array.isArray(value) ? itemsOf(value).map(textOf) : value === null ? [] : [textOf(value)];
    const keys = texts.map(text => (text === null ? null : keySequence(text)));
    const wrong = texts.find((_, i) => keys[i] === null);
    if (action === null) problems.push(`${file}: there is no command ${JSON.stringify(words)}`);
    else if (wrong !== undefined)
      problems.push(`${file}: ${words}: ${JSON.stringify(wrong)} is no key (as in j, G, ctrl-d, enter, "y u")`);
    else
      map = rebind(
        map,
        action,
        keys.filter(key => key !== null),
      );
  }
  return { map, problems };
}

function actionOf(words: string): Action | null {
  const [first = '', ...rest] = words.trim().split(/\s+/);
  const name = toCommand(first);
  return name === null ? null : { name, argument: rest.length === 0 ? null : rest.join(' ') };
}
