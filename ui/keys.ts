import type { Key } from 'ink';

/**
 * Names of keys, as the key map and keys.yaml write them: `j`, `G`, `?`, `ctrl-d`, `alt-e`, `enter`, `esc`, `space`, `tab`, `shift-tab`,
 * `up`, `down`, `left`, `right`, `pgup`, `pgdn`, `home`, `end`, `backspace`, `delete`. A sequence is keys with blanks between: `y u`.
 */
export type KeyName = string;

const NAMED: readonly KeyName[] = [
  'enter',
  'esc',
  'space',
  'tab',
  'shift-tab',
  'up',
  'down',
  'left',
  'right',
  'pgup',
  'pgdn',
  'home',
  'end',
  'backspace',
  'delete',
];

/** What Ink says about one event of the terminal, as names of keys: several when characters came in one read. */
export function keysOf(input: string, key: Key): KeyName[] {
  if (key.eventType === 'release') return [];
  const named = specialOf(key);
  if (named !== null) return [named];
  if (input === '') return [];
  if (key.ctrl) return [`ctrl-${input.toLowerCase()}`];
  if (key.meta) return [`alt-${input}`];
  return [...input].flatMap(plain);
}

function specialOf(key: Key): KeyName | null {
  if (key.upArrow) return 'up';
  if (key.downArrow) return 'down';
  if (key.leftArrow) return 'left';
  if (key.rightArrow) return 'right';
  if (key.pageUp) return 'pgup';
  if (key.pageDown) return 'pgdn';
  if (key.home) return 'home';
  if (key.end) return 'end';
  if (key.return) return 'enter';
  if (key.escape) return 'esc';
  if (key.tab) return key.shift ? 'shift-tab' : 'tab';
  if (key.backspace) return key.meta ? 'alt-backspace' : 'backspace';
  if (key.delete) return 'delete';
  return null;
}

/** A character as a key. Those that came in one read with others were not named by Ink. */
function plain(character: string): KeyName[] {
  switch (character) {
    case ' ':
      return ['space'];
    case '\r':
    case '\n':
      return ['enter'];
    case '\t':
      return ['tab'];
    case '\x1b':
      return ['esc'];
    case '\x7f':
    case '\b':
      return ['backspace'];
    default: {
      const code = character.codePointAt(0)!;
      if (code < 0x20) return [`ctrl-${String.fromCharCode(code + 0x40).toLowerCase()}`];
      return [character];
    }
  }
}

/** The character that a key types, `null` for one that types none. */
export function typed(key: KeyName): string | null {
  if (key === 'space') return ' ';
  return [...key].length === 1 ? key : null;
}

/** A key or a sequence in its one spelling, `null` when it is none: `Ctrl-D` → `ctrl-d`, `y  u` → `y u`. */
export function keySequence(text: string): string | null {
  const keys = text
    .split(/\s+/)
    .filter(part => part !== '')
    .map(keyName);
  return keys.length === 0 || keys.length > 3 || keys.includes(null) ? null : keys.join(' ');
}

function keyName(text: string): KeyName | null {
  if ([...text].length === 1) return /[\p{Cc}\p{Z}]/u.test(text) ? null : text;
  const lower = text.toLowerCase();
  if (NAMED.includes(lower)) return lower;
  const match = /^(ctrl|alt)-(.+)$/i.exec(text);
  const base = match?.[2] ?? '';
  if (match?.[1]?.toLowerCase() === 'ctrl') return /^[a-z\\\]_@^]$/i.test(base) ? `ctrl-${base.toLowerCase()}` : null;
  return match !== null && [...base].length === 1 ? `alt-${base}` : null;
}
