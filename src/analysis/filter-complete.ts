import type { Subject } from './filter.ts';
import { printText } from './filter-print.ts';
import { argumentValues, TERMS, type TermInfo, termInfo } from './filter-terms.ts';
import { type Token, tokens, UNCLOSED, Wrong } from './filter-tokens.ts';

/** What can stand in the place of what is being typed. */
export interface Suggestion {
  /** With the blank that has to follow, where one has. */
  text: string;
  about: string;
}

/** `text.slice(at, end)` is what a suggestion takes the place of. */
export interface Completion {
  at: number;
  end: number;
  suggestions: readonly Suggestion[];
}

/** Values that are known to occur, by the name of the term: certnames, environments, rules of findings. */
export type KnownValues = Readonly<Partial<Record<string, readonly string[]>>>;

const MAX_SUGGESTIONS = 50;

/**
 * What could be meant at a cursor, the likeliest first; `null` where nothing can be said. Never throws.
 *
 * @param cursor offset in UTF-16 units
 */
export function completeFilter(text: string, cursor: number, subject: Subject, known: KnownValues = {}): Completion | null {
  const typed = text.slice(0, cursor);
  const { found, open } = tokensOf(typed);
  if (found === null) return null;
  const last = found.at(-1);
  const end = endOfWord(text, cursor);
  if (open !== null) return values(asking(found.at(-1)), typed.slice(open + 1), open, end, known);
  if (last === undefined || last.end < cursor) {
    const info = asking(last);
    return info === null ? names('', cursor, cursor, subject) : values(info, '', cursor, cursor, known);
  }
  switch (last.type) {
    case 'name':
      return names(last.name, last.at, end, subject);
    case 'word':
      return values(asking(found.at(-2)), last.text, last.at, end, known);
    case 'close':
      return null;
    default:
      return names('', cursor, cursor, subject);
  }
}

/** The tokens before the cursor, and where a quote was opened that is not closed yet. */
function tokensOf(typed: string): { found: Token[] | null; open: number | null } {
  const found: Token[] = [];
  try {
    for (const token of tokens(typed)) found.push(token);
    return { found, open: null };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    const { at, message } = error.problem;
    return message === UNCLOSED ? { found, open: at } : { found: null, open: null };
  }
}

/** The term that waits for its argument after this token. */
function asking(token: Token | undefined): TermInfo | null {
  const info = token?.type === 'name' ? termInfo(token.name) : null;
  return info?.argument === 'none' ? null : info;
}

function endOfWord(text: string, cursor: number): number {
  return cursor + (/^[^\s()|&]*/.exec(text.slice(cursor))?.[0].length ?? 0);
}

function names(typed: string, at: number, end: number, subject: Subject): Completion | null {
  const suggestions = TERMS.filter(({ name, subjects }) => name.startsWith(typed) && subjects.includes(subject)).map(
    ({ name, argument, about }) => ({ text: argument === 'none' ? `~${name}` : `~${name} `, about }),
  );
  return some({ at, end, suggestions });
}

function values(info: TermInfo | null, typed: string, at: number, end: number, known: KnownValues): Completion | null {
  if (info === null) return null;
  const all = Object.hasOwn(known, info.name) ? (known[info.name] ?? []) : argumentValues(info.argument);
  const wanted = typed.toLowerCase();
  const inside = all.filter(value => value.toLowerCase().includes(wanted));
  const starting = inside.filter(value => value.toLowerCase().startsWith(wanted));
  const suggestions = [...starting, ...inside.filter(value => !starting.includes(value))]
    .slice(0, MAX_SUGGESTIONS)
    .map(value => ({ text: printText(value), about: info.about }));
  return some({ at, end, suggestions });
}

function some(completion: Completion): Completion | null {
  return completion.suggestions.length === 0 ? null : completion;
}
