import { FILTER_LIMITS, type FilterProblem, type Pattern, type Span } from './filter.ts';
import { compileRegex } from './filter-regex.ts';
import { termInfo } from './filter-terms.ts';

/** A piece of a filter's text. `text` of a word is what was meant, quotes and escapes undone. */
export type Token = Span &
  (
    | { type: 'open' | 'close' | 'and' | 'or' | 'not' }
    | { type: 'name'; name: string }
    | { type: 'word'; text: string; pattern: Pattern }
  );

export class Wrong extends Error {
  readonly problem: FilterProblem;
  constructor(message: string, at: number, end: number, hint: string | null = null) {
    super(message);
    this.problem = { message, at, end, hint };
  }
}

/** What ends a word that is not quoted. An `&` always does: the rest of a URL's query is then asked for too, which comes to the same. */
const ENDS_WORD = /[\s()|&"]/;

/** What a backslash takes the meaning of; before anything else it is a backslash. */
const ESCAPABLE = /[\\*"'()|&~!/\s]/;

/** The problem of a quote that a person may still be typing in. */
export const UNCLOSED = 'the quote is not closed';

/**
 * The pieces of a text, one by one: whoever takes them has those before a mistake.
 *
 * @throws Wrong at the first mistake
 */
export function* tokens(text: string): Generator<Token, void> {
  if (text.length > FILTER_LIMITS.chars) {
    throw new Wrong(`the filter is longer than ${FILTER_LIMITS.chars} characters`, FILTER_LIMITS.chars, text.length);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for
  const control = text.search(/[\0-\x08\x0e-\x1f\x7f]/);
  if (control !== -1) throw new Wrong('a control character cannot be asked for', control, control + 1);
  let at = 0;
  let argument = false;
  while (true) {
    while (/\s/.test(text.charAt(at))) at++;
    if (at >= text.length) return;
    const token: Token = argument && !/[()|&~]/.test(text.charAt(at)) ? word(text, at) : next(text, at);
    yield token;
    at = token.end;
    argument = token.type === 'name' && (termInfo(token.name)?.argument ?? 'none') !== 'none';
  }
}

function next(text: string, at: number): Token {
  const char = text.charAt(at);
  switch (char) {
    case '(':
      return { type: 'open', at, end: at + 1 };
    case ')':
      return { type: 'close', at, end: at + 1 };
    case '!':
      return { type: 'not', at, end: at + 1 };
    case '&':
    case '|':
      // && and || are what many hands type
      return { type: char === '&' ? 'and' : 'or', at, end: text.charAt(at + 1) === char ? at + 2 : at + 1 };
    case '~': {
      const name = /[a-z]*/i.exec(text.slice(at + 1))?.[0] ?? '';
      return { type: 'name', name: name.toLowerCase(), at, end: at + 1 + name.length };
    }
    default:
      return word(text, at);
  }
}

function word(text: string, at: number): Token {
  const quote = text.charAt(at);
  const end = regexEnd(text, at);
  if (end !== null) return regexWord(text, at, end);
  return quote === '"' || quote === "'" ? plainWord(text, at, at + 1, quote) : plainWord(text, at, at, null);
}

/**
 * The end of a regex that starts here: a slash, no blank and no bare slash inside, a slash, and nothing that goes on. A path such as
 * /puppet/v3/catalog is none.
 */
export function regexEnd(text: string, at: number): number | null {
  const match = /^\/((?:\\\S|[^\s\\/])+)\/(?=$|[\s()|&])/.exec(text.slice(at, at + FILTER_LIMITS.textChars));
  return match === null ? null : at + match[0].length;
}

function regexWord(text: string, at: number, end: number): Token {
  const source = text.slice(at + 1, end - 1);
  if (source.length > FILTER_LIMITS.regexChars) {
    throw new Wrong(`the regex is longer than ${FILTER_LIMITS.regexChars} characters`, at, end);
  }
  const compiled = compileRegex(source);
  if ('problem' in compiled) {
    throw new Wrong(`the regex ${source} cannot be used: ${compiled.problem}`, at, end, 'in quotes it is plain text');
  }
  return { type: 'word', text: text.slice(at, end), pattern: { type: 'regex', source }, at, end };
}

function plainWord(text: string, at: number, from: number, quote: string | null): Token {
  const pieces = [''];
  let place = from;
  const add = (char: string): void => {
    pieces[pieces.length - 1] += char;
  };
  while (place < text.length) {
    const char = text.charAt(place);
    if (quote === null ? ENDS_WORD.test(char) : char === quote) break;
    const after = text.charAt(place + 1);
    if (char === '\\' && after !== '' && ESCAPABLE.test(after)) {
      add(after);
      place += 2;
      continue;
    }
    if (char === '*') pieces.push('');
    else add(char);
    place++;
  }
  if (quote !== null && place >= text.length) {
    throw new Wrong(UNCLOSED, at, text.length, `a ${quote} that is meant as such is written \\${quote}`);
  }
  const end = quote === null ? place : place + 1;
  const meant = pieces.join('*');
  if (meant === '') throw new Wrong('the text is empty', at, end, 'leave it out, or ask for *');
  if (meant.length > FILTER_LIMITS.textChars) {
    throw new Wrong(`the text is longer than ${FILTER_LIMITS.textChars} characters`, at, end);
  }
  if (pieces.length > FILTER_LIMITS.wildcards + 1) {
    throw new Wrong(
      `the text has more than ${FILTER_LIMITS.wildcards} wildcards`,
      at,
      end,
      'a * that is meant as such is written \\*',
    );
  }
  return { type: 'word', text: meant, pattern: { type: 'text', pieces }, at, end };
}
