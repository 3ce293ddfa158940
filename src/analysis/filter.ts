import type { Phase } from '../model.ts';

/*
 * The filter language, see docs/filter.md: the letters of mitmproxy's filter expressions with Puppet's words added. A filter is plain data:
 * filter-parse.ts makes it of text, filter-print.ts text of it, capture/filter-sql.ts the condition that SQLite runs.
 */

/** What a list shows; not every term is a question to each of them. */
export const SUBJECTS = ['exchange', 'run', 'connection', 'finding'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** Where something stands in the text of a filter: offsets in UTF-16 units, `end` exclusive. */
export interface Span {
  at: number;
  end: number;
}

/**
 * What a text is compared with, upper and lower case of ASCII letters alike.
 *
 * `text`: one piece is looked for anywhere; several are the pieces between the `*` of a pattern that has to cover the whole text.
 * `regex`: found anywhere. Its source is as written, see filter-regex.ts for what it may hold.
 */
export type Pattern = { type: 'text'; pieces: readonly string[] } | { type: 'regex'; source: string };

/** Terms that compare a text; `any` is bare text, `run` and `conn` are those whose argument is no number. */
export const TEXT_TERMS = [
  'any',
  'u',
  'm',
  'd',
  'h',
  'hq',
  'hs',
  'b',
  'bq',
  'bs',
  't',
  'tq',
  'ts',
  'certname',
  'env',
  'res',
  'fact',
  'find',
  'fault',
  'run',
  'conn',
] as const;
export type TextTerm = (typeof TEXT_TERMS)[number];

/** One question to a row. Ranges include both ends. */
export type Term =
  | { type: 'text'; on: TextTerm; pattern: Pattern }
  | { type: 'status'; from: number; to: number }
  | { type: 'ids'; of: 'run' | 'conn'; from: number; to: number }
  | { type: 'phase'; phase: Phase }
  | { type: 'flag'; flag: 'q' | 's' | 'e' };

/** A filter; `and` and `or` have two terms or more. */
export type Filter = (
  | Term
  | { type: 'and'; terms: readonly Filter[] }
  | { type: 'or'; terms: readonly Filter[] }
  | { type: 'not'; term: Filter }
) &
  Span;

/** What is wrong with a text, where, and what to do about it. */
export interface FilterProblem extends Span {
  message: string;
  hint: string | null;
}

/** `filter` is `null` when the text is empty: everything is wanted. */
export type Parsed = { type: 'filter'; filter: Filter | null } | { type: 'wrong'; problem: FilterProblem };

/** A filter comes from a person, a file or another program: it is bounded before it costs anything. */
export const FILTER_LIMITS = {
  /** UTF-16 units of the whole text. */
  chars: 4_000,
  /** Parentheses and `!` inside each other. */
  depth: 32,
  /** Questions in one filter. */
  terms: 64,
  /** UTF-16 units of one text; of one regex. */
  textChars: 1_000,
  regexChars: 200,
  /** `*` in one text. */
  wildcards: 8,
} as const;
