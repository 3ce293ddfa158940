import { type KeyName, typed } from './keys.ts';

/** One line of typed text: a pure reducer with the keys of a shell (readline's emacs mode). */
export interface InputState {
  readonly text: string;
  /** In UTF-16 units, never inside of what is read as one character. */
  readonly cursor: number;
  /** Older lines, the newest last. */
  readonly history: readonly string[];
  /** Which of them is shown; `null`: the line that is being typed, which is kept in `draft`. */
  readonly recalled: number | null;
  readonly draft: string;
}

/** A line longer than this was pasted by mistake. */
export const MAX_TEXT = 10_000;

export function startInput(text = '', history: readonly string[] = []): InputState {
  return { text, cursor: text.length, history, recalled: null, draft: '' };
}

/** The line with a text at its cursor. */
export function insertText(state: InputState, text: string): InputState {
  const { cursor } = state;
  return edited(state, state.text.slice(0, cursor) + text + state.text.slice(cursor), cursor + text.length);
}

/** Cut to what a line may have, between two characters. */
function edited(state: InputState, text: string, at: number): InputState {
  const whole = text.length <= MAX_TEXT ? text : text.slice(0, CHARACTERS.segment(text).containing(MAX_TEXT)?.index);
  return { ...state, text: whole, cursor: Math.min(at, whole.length), recalled: null };
}

/** The line after a key; `null` when the key is none of a line's (enter, esc, tab, …). */
export function editInput(state: InputState, key: KeyName): InputState | null {
  const { text, cursor } = state;
  const without = (from: number, to: number): InputState => edited(state, text.slice(0, from) + text.slice(to), from);
  const character = typed(key);
  if (character !== null) return insertText(state, character);
  switch (key) {
    case 'backspace':
      return without(before(text, cursor), cursor);
    case 'delete':
    case 'ctrl-d':
      return without(cursor, after(text, cursor));
    case 'left':
    case 'ctrl-b':
      return { ...state, cursor: before(text, cursor) };
    case 'right':
    case 'ctrl-f':
      return { ...state, cursor: after(text, cursor) };
    case 'alt-b':
      return { ...state, cursor: wordBefore(text, cursor) };
    case 'alt-f':
      return { ...state, cursor: wordAfter(text, cursor) };
    case 'home':
    case 'ctrl-a':
      return { ...state, cursor: 0 };
    case 'end':
    case 'ctrl-e':
      return { ...state, cursor: text.length };
    case 'ctrl-u':
      return without(0, cursor);
    case 'ctrl-k':
      return without(cursor, text.length);
    case 'ctrl-w':
      return without(text.slice(0, cursor).replace(/\S+\s*$/, '').length, cursor);
    case 'alt-backspace':
      return without(wordBefore(text, cursor), cursor);
    case 'alt-d':
      return without(cursor, wordAfter(text, cursor));
    case 'up':
    case 'ctrl-p':
      return recall(state, -1);
    case 'down':
    case 'ctrl-n':
      return recall(state, 1);
    default:
      return null;
  }
}

function recall(state: InputState, by: -1 | 1): InputState {
  const { history, recalled } = state;
  const draft = recalled === null ? state.text : state.draft;
  const next = (recalled ?? history.length) + by;
  if (next < 0 || next > history.length) return state;
  const text = history[next] ?? draft;
  return { ...state, text, cursor: text.length, recalled: next === history.length ? null : next, draft };
}

/** A history with one line more; the same line is never there twice. */
export function remember(history: readonly string[], text: string, limit = 100): string[] {
  if (text.trim() === '') return [...history];
  return [...history.filter(known => known !== text), text].slice(-limit);
}

/** What is read as one character may be several code points: a letter with its accents, a family of emoji. */
const CHARACTERS = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

function before(text: string, cursor: number): number {
  return cursor === 0 ? 0 : (CHARACTERS.segment(text).containing(cursor - 1)?.index ?? 0);
}

function after(text: string, cursor: number): number {
  const found = CHARACTERS.segment(text).containing(cursor);
  return found === undefined ? text.length : found.index + found.segment.length;
}

/** The character that the cursor is on; empty at the end of the line. */
export function characterAt({ text, cursor }: InputState): string {
  return text.slice(cursor, after(text, cursor));
}

/** Words are letters and digits, as readline has them for alt-b and alt-f. */
function wordBefore(text: string, cursor: number): number {
  return text.slice(0, cursor).replace(/[\p{L}\p{M}\p{N}]*[^\p{L}\p{M}\p{N}]*$/u, '').length;
}

function wordAfter(text: string, cursor: number): number {
  return cursor + (/^[^\p{L}\p{M}\p{N}]*[\p{L}\p{M}\p{N}]*/u.exec(text.slice(cursor))?.[0].length ?? 0);
}
