import type { Pattern } from '../analysis/filter.ts';

/** A condition and what it binds, in order. */
export interface Condition {
  sql: string;
  values: ReadonlyArray<string | number>;
}

export const NEVER: Condition = { sql: '0', values: [] };

/** Of conditions, one at least. */
export function anyOf(conditions: readonly Condition[]): Condition {
  return joined(conditions, ' OR ');
}

export function allOf(conditions: readonly Condition[]): Condition {
  return joined(conditions, ' AND ');
}

function joined(conditions: readonly Condition[], sign: string): Condition {
  return {
    sql: `(${conditions.map(({ sql }) => sql).join(sign)})`,
    values: conditions.flatMap(({ values }) => values),
  };
}

/** LIKE of SQLite: ASCII letters of either case, `%` for anything. */
function like(pieces: readonly string[]): string {
  const inner = pieces.map(piece => piece.replace(/[\\%_]/g, '\\$&')).join('%');
  return pieces.length === 1 ? `%${inner}%` : inner;
}

function isLike(column: string, pattern: string): Condition {
  return { sql: `${column} LIKE ? ESCAPE '\\'`, values: [pattern] };
}

/** A text that is in a column; NULL has none. */
export function textIn(column: string, pattern: Pattern): Condition {
  if (pattern.type === 'text') return isLike(column, like(pattern.pieces));
  return { sql: `filter_text(${column}, ?)`, values: [JSON.stringify(pattern)] };
}

export function textInOneOf(columns: readonly string[], pattern: Pattern): Condition {
  return anyOf(columns.map(column => textIn(column, pattern)));
}

/** Text that is the same in JSON, and cannot reach over the end of a JSON string. */
const PLAIN = /^[\w /.;=+:@?-]+$/;

/** A text with more colons than a header line has is compared the slow way. */
const MAX_OVER = 4;

/**
 * A header line, `name: value`, among lines that are stored as `[["name","value"],…]`. Most texts are looked for in the JSON itself, several times
 * faster than reading it: there, a text that reaches from the name into the value has `","` where the line has `: `.
 */
export function lineIn(lines: string, pattern: Pattern): Condition {
  const exact: Condition = { sql: `filter_line(${lines}, ?)`, values: [JSON.stringify(pattern)] };
  if (pattern.type === 'regex') return exact;
  if (pattern.pieces.length > 1 || !PLAIN.test(pattern.pieces[0]!))
    return { ...exact, sql: `(${lines} IS NOT NULL AND ${exact.sql})` };
  const text = pattern.pieces[0]!;
  const over: string[] = [];
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) {
    const rest = text.slice(at + 1);
    if (rest === '' || rest.startsWith(' ')) over.push(`${text.slice(0, at)}","${rest.slice(1)}`);
  }
  if (text.startsWith(' ')) over.push(`","${text.slice(1)}`);
  if (over.length > MAX_OVER) return exact;
  return anyOf([text, ...over].map(part => isLike(lines, like([part]))));
}

/** The Content-Type among lines. What is not in the JSON at all is never read out of it. */
export function typeIn(lines: string, pattern: Pattern): Condition {
  const exact: Condition = { sql: `filter_type(${lines}, ?)`, values: [JSON.stringify(pattern)] };
  const known = pattern.type === 'text' ? pattern.pieces.filter(piece => PLAIN.test(piece)) : [];
  return allOf([isLike(lines, like(['', '"content-type","', ...known, ''])), exact]);
}
