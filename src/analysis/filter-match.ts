import type { Pattern } from './filter.ts';
import { compileRegex, REGEX_TEXT_CHARS } from './filter-regex.ts';

/** A question to a text. */
export type Matches = (text: string) => boolean;

const ASCII = /^[\0-\x7f]*$/;

/**
 * ASCII letters in lower case, all others as they are: what LIKE of SQLite does, so that a pattern means the same in SQL and here.
 */
export function folded(text: string): string {
  // toLowerCase is several times faster than any replace, and the same where all is ASCII
  return ASCII.test(text) ? text.toLowerCase() : text.replace(/[A-Z]+/g, letters => letters.toLowerCase());
}

/** A pattern as a question to a short text: a target, a name, a header line. */
export function matcher(pattern: Pattern): Matches {
  if (pattern.type === 'regex') return regex(pattern.source);
  const pieces = pattern.pieces.map(folded);
  if (pieces.length === 1) return text => folded(text).includes(pieces[0]!);
  const [first, last, inner] = [pieces[0]!, pieces.at(-1)!, pieces.slice(1, -1)];
  return text => {
    const whole = folded(text);
    if (whole.length < first.length + last.length || !whole.startsWith(first) || !whole.endsWith(last)) return false;
    const place = inOrder(whole, inner, first.length);
    return place !== -1 && place <= whole.length - last.length;
  };
}

/**
 * A pattern as a question to the bytes of a body, read as UTF-8: nobody describes a whole body, so the pieces are looked for anywhere,
 * in their order.
 */
export function bodyMatcher(pattern: Pattern): (bytes: Buffer) => boolean {
  if (pattern.type === 'regex') {
    const test = regex(pattern.source);
    return bytes => test(bytes.toString('utf8', 0, REGEX_TEXT_CHARS));
  }
  const pieces = pattern.pieces.map(folded);
  // A byte a character is much faster than UTF-8, and the same for a pattern of ASCII.
  if (pieces.every(piece => ASCII.test(piece))) return bytes => inOrder(bytes.toString('latin1').toLowerCase(), pieces, 0) !== -1;
  return bytes => inOrder(folded(bytes.toString('utf8')), pieces, 0) !== -1;
}

/** The end of the last of the pieces, each found after the one before; -1 when one is missing. */
function inOrder(text: string, pieces: readonly string[], from: number): number {
  let place = from;
  for (const piece of pieces) {
    const found = text.indexOf(piece, place);
    if (found === -1) return -1;
    place = found + piece.length;
  }
  return place;
}

function regex(source: string): Matches {
  const compiled = compileRegex(source);
  return 'test' in compiled ? compiled.test : () => false;
}
