import { type KeyName, typed } from './keys.ts';

/** One line of typed text: a pure reducer with the keys of a shell (readline's emacs mode). */
export interface InputState {
  readonly text: string;
  /** In UTF-16 units, never inside a character. */
  readonly cursor: number;
  /** Older lines, the newest last. */
  readonly history: readonly string[];
  /** Which of them is shown; `null`: the line that is being typed, which is kept in `draft`. */
  readonly recalled: number | null;
  readonly draft: string;
}

/** A line longer than this was pasted by mistake. */
const MAX_TEXT = 10_000;

export function startInput(text = '', history: readonly string[] = []): InputState {
  return { text, cursor: text.length, history, recalled: null, draft: '' };
}

/** The line after a key; `null` when the key is none of a line's (enter, esc, tab, …). */
export function editInput(state: InputState, key: KeyName): InputState | null {
  const { text, cursor } = state;
  const edit = (next: string, at: number): InputState => ({
    ...state,
    text: next.slice(0, MAX_TEXT),
    cursor: Math.min(at, MAX_TEXT),
    recalled: null,
  });
  const character = typed(key);
  if (character !== null) return edit(text.slice(0, cursor) + character + text.slice(cursor), cursor + character.length);
  switch (key) {
    case 'backspace': {
      const from = cursor - widthBefore(text, cursor);
      return edit(text.slice(0, from) + text.slice(cursor), from);
    }
    case 'delete':
      return edit(text.slice(0, cursor) + text.slice(cursor + widthAfter(text, cursor)), cursor);
    case 'left':
    case 'ctrl-b':
      return { ...state, cursor: cursor - widthBefore(text, cursor) };
    case 'right':
    case 'ctrl-f':
      return { ...state, cursor: cursor + widthAfter(text, cursor) };
    case 'home':
    case 'ctrl-a':
      return { ...state, cursor: 0 };
    case 'end':
    case 'ctrl-e':
      return { ...state, cursor: text.length };
    case 'ctrl-u':
      return edit(text.slice(cursor), 0);
    case 'ctrl-k':
      return edit(text.slice(0, cursor), cursor);
    case 'ctrl-w':
    case 'alt-backspace': {
      const from = text.slice(0, cursor).replace(/\S+\s*$/, '').length;
      return edit(text.slice(0, from) + text.slice(cursor), from);
    }
    case 'up':
      return recall(state, -1);
    case 'down':
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

function widthBefore(text: string, cursor: number): number {
  return cursor === 0 ? 0 : ([...text.slice(Math.max(0, cursor - 2), cursor)].at(-1)?.length ?? 0);
}

function widthAfter(text: string, cursor: number): number {
  return [...text.slice(cursor, cursor + 2)][0]?.length ?? 0;
}
