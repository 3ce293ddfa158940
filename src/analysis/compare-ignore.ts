import { diffLines } from 'diff';
import type { Rich } from '../decode/rich-data.ts';
import { equal } from './compare-values.ts';

/**
 * What is not to be told of a catalog, in the notation of octocatalog-diff (`doc/advanced-ignores.md`): `Type[title]` with `*` in both, then
 * nothing (the whole resource), `+`, `-`, `~`, `!` (only added, removed, changed), or an attribute: `::parameters::owner` from the top, `owner`
 * anywhere; `+::…` and `-::…` for one that was added or removed; with `=>`, `=+>`, `=->` (value equals, in either, the second, the first
 * catalog), `=~>`, `=&>` (one, every changed line matches) or `=s>=` (the same items in another order).
 */
export interface IgnoreRule {
  /** As it was given. */
  text: string;
  /** Lower-case; `*` is any. */
  type: string;
  /** Lower-case, the pieces between `*`; `null` is any. */
  title: readonly string[] | null;
  what:
    | { type: 'all' }
    /** Of `+-~!`. */
    | { type: 'kinds'; kinds: string }
    | {
        type: 'attribute';
        only: 'added' | 'removed' | null;
        fromTop: boolean;
        names: readonly string[];
        value: ValueTest | null;
      };
}

type ValueTest =
  | { type: 'equals'; side: 'either' | 'before' | 'after'; text: string }
  | { type: 'matches'; every: boolean; pattern: RegExp }
  | { type: 'same-items' };

/** Why a rule cannot be read; its message is for a person. */
export class IgnoreError extends Error {}

/** @throws IgnoreError */
export function parseIgnore(text: string): IgnoreRule {
  const match = /^(.+?)\[(.+?)\](?=$|[-+~!:\w\\*])(.*)$/s.exec(text);
  if (match === null) throw new IgnoreError('expected Type[title] or Type[title]::parameters::name');
  // The title goes as far as it can: titles hold brackets.
  const greedy = /^(.+?)\[(.+)\](.*)$/s.exec(text)!;
  const operator = /=[-+~&s]?>/.exec(text);
  const [, type, title, rest] = operator === null ? greedy : match;
  return { text, type: type!.toLowerCase(), title: titleOf(title!), what: whatOf(rest!) };
}

/** `--ignore-attr NAME`: an attribute of any resource. @throws IgnoreError */
export function parseIgnoreAttribute(text: string): IgnoreRule {
  if (text === '') throw new IgnoreError('expected the name of an attribute');
  return { text, type: '*', title: null, what: attributeOf(text) };
}

function titleOf(title: string): readonly string[] | null {
  return /^\*+$/.test(title) ? null : title.toLowerCase().split(/\*+/);
}

/** Piece after piece, each at its first place: linear, whatever the title is, as no regular expression with several `.*` would be. */
function matchesTitle(pieces: readonly string[], given: string): boolean {
  const title = given.toLowerCase();
  const [first = '', ...rest] = pieces;
  const last = rest.pop();
  if (last === undefined) return title === first;
  if (!title.startsWith(first)) return false;
  let from = first.length;
  for (const piece of rest) {
    const at = title.indexOf(piece, from);
    if (at < 0) return false;
    from = at + piece.length;
  }
  return title.length - last.length >= from && title.endsWith(last);
}

function whatOf(rest: string): IgnoreRule['what'] {
  if (rest === '' || rest === '*') return { type: 'all' };
  return /^[-+~!]+$/.test(rest) ? { type: 'kinds', kinds: rest } : attributeOf(rest);
}

function attributeOf(text: string): IgnoreRule['what'] {
  const only = text.startsWith('+') ? 'added' : text.startsWith('-') ? 'removed' : null;
  const condition = /^(.+?)(=[-+~&s]?>)(.+)$/s.exec(only === null ? text : text.slice(1));
  const name = condition?.[1] ?? (only === null ? text : text.slice(1));
  const names = name.split(/::|\\f/);
  const fromTop = names[0] === '' && names.length > 1;
  const parts = names.filter(part => part !== '').map(part => part.toLowerCase());
  if (parts.length === 0) throw new IgnoreError('expected the name of an attribute after Type[title]');
  return {
    type: 'attribute',
    only,
    fromTop,
    names: parts,
    value: condition === null ? null : valueTest(condition[2]!, condition[3]!),
  };
}

function valueTest(operator: string, text: string): ValueTest {
  switch (operator) {
    case '=>':
      return { type: 'equals', side: 'either', text };
    case '=+>':
      return { type: 'equals', side: 'after', text };
    case '=->':
      return { type: 'equals', side: 'before', text };
    case '=s>':
      if (text !== '=') throw new IgnoreError(`=s> takes = as its value, not ${JSON.stringify(text)}`);
      return { type: 'same-items' };
    default:
      return { type: 'matches', every: operator === '=&>', pattern: patternOf(text) };
  }
}

function patternOf(text: string): RegExp {
  try {
    // Ruby's ^ and $ are of a line, \A and \Z of the whole: each line is matched alone here.
    return new RegExp(text.replace(/\\A/g, '^').replace(/\\[Zz]/g, '$'), 'i');
  } catch {
    throw new IgnoreError(`${JSON.stringify(text)} is no regular expression`);
  }
}

/** The rules that can concern a resource. */
export function rulesFor(rules: readonly IgnoreRule[], type: string, title: string): readonly IgnoreRule[] {
  return rules.filter(
    rule => (rule.type === '*' || rule.type === type.toLowerCase()) && (rule.title === null || matchesTitle(rule.title, title)),
  );
}

/** Whether a resource that was added, removed or changed is not to be told at all; `rules` are those of {@link rulesFor}. */
export function ignoresResource(rules: readonly IgnoreRule[], kind: 'added' | 'removed' | 'changed'): boolean {
  const signs = { added: '+', removed: '-', changed: '~!' }[kind];
  return rules.some(
    ({ what }) => what.type === 'all' || (what.type === 'kinds' && [...signs].some(sign => what.kinds.includes(sign))),
  );
}

/** Whether a change at a path (`['parameters', 'owner']`) is not to be told. */
export function ignoresValue(
  rules: readonly IgnoreRule[],
  path: readonly string[],
  before: Rich | undefined,
  after: Rich | undefined,
): boolean {
  return rules.some(({ what }) => {
    if (what.type !== 'attribute') return false;
    if (what.only === 'added' && before !== undefined) return false;
    if (what.only === 'removed' && after !== undefined) return false;
    if (!isAt(path, what.names, what.fromTop)) return false;
    return what.value === null || passes(what.value, before, after);
  });
}

function isAt(path: readonly string[], names: readonly string[], fromTop: boolean): boolean {
  const last = fromTop ? 0 : path.length - names.length;
  for (let at = 0; at <= last; at++) {
    if (names.every((name, n) => path[at + n]?.toLowerCase() === name)) return true;
  }
  return false;
}

function passes(test: ValueTest, before: Rich | undefined, after: Rich | undefined): boolean {
  switch (test.type) {
    case 'equals': {
      const is = (value: Rich | undefined): boolean => scalarText(value) === test.text;
      if (test.side === 'either') return is(before) || is(after);
      return is(test.side === 'before' ? before : after);
    }
    case 'matches': {
      const lines = changedLines(scalarText(before), scalarText(after));
      if (lines.length === 0) return false;
      const matches = (line: string): boolean => test.pattern.test(line.trim());
      return test.every ? lines.every(matches) : lines.some(matches);
    }
    case 'same-items':
      return Array.isArray(before) && Array.isArray(after) && sameItems(before, after) && sameItems(after, before);
  }
}

/** Longer texts are not looked into by a regular expression of `--ignore`. */
const MAX_MATCHED = 256 * 1024;

/** Changed lines with `-` or `+` in front. */
function changedLines(before: string | null, after: string | null): string[] {
  const [one, other] = [before ?? '', after ?? ''];
  if (one.length > MAX_MATCHED || other.length > MAX_MATCHED) return [];
  const parts = diffLines(one, other, { maxEditLength: 2000 }) ?? [];
  return parts.flatMap(part => {
    if (!part.added && !part.removed) return [];
    return part.value
      .replace(/\n$/, '')
      .split('\n')
      .map(line => `${part.added ? '+' : '-'}${line}`);
  });
}

function scalarText(value: Rich | undefined): string | null {
  if (value === undefined || value === null || typeof value === 'object') return null;
  return String(value);
}

function sameItems(items: readonly Rich[], others: readonly Rich[]): boolean {
  return items.every(item => others.some(other => equal(item, other)));
}
