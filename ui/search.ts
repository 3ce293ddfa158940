import type { Notice } from './screen.ts';
import { clean, type Line, type Span } from './text.ts';

/** What the next match has to say before anything was searched for. */
export const NOT_SEARCHED: Notice = { text: 'nothing is searched for yet; / does', kind: 'info' };

/** Text of a line as it is shown: what a search looks through. */
export function textOfLine(line: Line): string {
  return line.map(part => part.text).join('');
}

/** A query with an upper-case letter is meant as written, any other whatever the case (vim's smartcase). */
export function matcher(query: string): (text: string) => boolean {
  if (query === '') return () => false;
  if (/\p{Lu}/u.test(query)) return text => text.includes(query);
  return text => text.toLowerCase().includes(query);
}

/** Of a longer text no screen shows more. */
const SHOWN = 8000;

/** The line with what matches made visible. */
export function emphasise(line: Line, query: string): Line {
  if (query === '') return line;
  const exact = /\p{Lu}/u.test(query);
  return line.flatMap((part): Span[] => {
    const text = clean(part.text.slice(0, SHOWN));
    const haystack = exact ? text : text.toLowerCase();
    // Lower-casing may change the length of a text (İ): then nothing is made visible rather than the wrong part.
    if (haystack.length !== text.length || !haystack.includes(query)) return [part];
    const spans: Span[] = [];
    let from = 0;
    for (let at = haystack.indexOf(query); at >= 0; at = haystack.indexOf(query, from)) {
      if (at > from) spans.push({ ...part, text: text.slice(from, at) });
      spans.push({ text: text.slice(at, at + query.length), style: 'match' });
      from = at + query.length;
    }
    if (from < text.length) spans.push({ ...part, text: text.slice(from) });
    return spans;
  });
}

/**
 * The next index that matches, from `start` on and around the end; `null` when none does.
 *
 * @param by 1 forward, -1 backward
 */
export function nextMatch(count: number, start: number, by: 1 | -1, matches: (index: number) => boolean): number | null {
  for (let i = 0; i < count; i += 1) {
    const index = (((start + i * by) % count) + count) % count;
    if (matches(index)) return index;
  }
  return null;
}
