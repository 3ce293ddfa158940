import type { Database } from 'better-sqlite3';
import type { Pattern } from '../analysis/filter.ts';
import { bodyMatcher, type Matches, matcher } from '../analysis/filter-match.ts';
import { requestName } from '../analysis/times.ts';
import { createPlainReader, type PlainReader } from './body-plain.ts';
import { openForReading } from './database.ts';
import { readFieldLines } from './field-lines.ts';

/** Bodies whose answer is remembered, for each pattern: the same bytes come again with every run. */
const REMEMBERED_BODIES = 200_000;
const REMEMBERED_PATTERNS = 64;

/**
 * Gives a connection the functions that filter-sql.ts uses where SQLite's own do not suffice. Each takes a pattern as JSON.
 *
 * `filter_text(text, pattern)`, `filter_line(lines, pattern)` of header lines, `filter_type(lines, pattern)` of their Content-Type, and
 * `filter_body(body, lines, pattern)`; of NULL each is 0. `request_name(method, target, phase)` names the kind of a request.
 *
 * @param stop asked at each call: `true` ends the statement with {@link Stopped}
 * @returns what closes the connection that bodies are read through: a connection runs no second statement while one runs
 */
export function registerFilterFunctions(db: Database, stop: () => boolean = () => false): () => void {
  let reader: Database | null = null;
  let plain: PlainReader | null = null;
  const bodyOf = (id: number, lines: string | null): Buffer => {
    reader ??= openForReading(db.name);
    plain ??= createPlainReader(reader);
    return plain.byId(id, lines);
  };

  const text = remembered(pattern => matcher(pattern));
  const line = remembered(pattern => lineMatcher(matcher(pattern)));
  const type = remembered(pattern => typeMatcher(matcher(pattern)));
  const body = remembered(pattern => {
    const test = bodyMatcher(pattern);
    const answers = new Map<number, 0 | 1>();
    return (id: number, lines: string | null): 0 | 1 => {
      const known = answers.get(id);
      if (known !== undefined) return known;
      const found = test(bodyOf(id, lines)) ? 1 : 0;
      if (answers.size >= REMEMBERED_BODIES) answers.clear();
      answers.set(id, found);
      return found;
    };
  });

  // Rows are ours, and so are the types of what SQLite passes.
  const options = { deterministic: true, directOnly: true } as const;
  const ofText = (name: string, asked: (pattern: unknown) => Matches): void => {
    db.function(name, options, (value, pattern) => {
      if (stop()) throw new Stopped();
      return typeof value === 'string' && asked(pattern)(value) ? 1 : 0;
    });
  };
  ofText('filter_text', text);
  ofText('filter_line', line);
  ofText('filter_type', type);
  db.function('filter_body', options, (id, lines, pattern) => {
    if (stop()) throw new Stopped();
    return typeof id === 'number' ? body(pattern)(id, typeof lines === 'string' ? lines : null) : 0;
  });
  db.function('request_name', options, (method, target, phase) => {
    if (stop()) throw new Stopped();
    return requestName(String(method), String(target), String(phase));
  });
  return () => reader?.close();
}

/** A statement that was ended because nobody wants its answer any more. */
export class Stopped extends Error {}

function remembered<T>(make: (pattern: Pattern) => T): (json: unknown) => T {
  const made = new Map<string, T>();
  return json => {
    const key = String(json);
    let found = made.get(key);
    if (found === undefined) {
      if (made.size >= REMEMBERED_PATTERNS) made.clear();
      found = make(JSON.parse(key) as Pattern);
      made.set(key, found);
    }
    return found;
  };
}

/** A header line is `name: value`, as mitmproxy has it. */
function lineMatcher(matches: Matches): (lines: string) => boolean {
  return lines => readFieldLines(lines).some(([name, value]) => matches(`${name}: ${value}`));
}

function typeMatcher(matches: Matches): (lines: string) => boolean {
  return lines => readFieldLines(lines).some(([name, value]) => name.toLowerCase() === 'content-type' && matches(value));
}
