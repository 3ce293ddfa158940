import { Tagged, textOf } from '../decode/data.ts';
import type { Facts } from '../decode/facts.ts';
import type { Rich } from '../decode/rich-data.ts';
import type { FactsComparison, ValueChange } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';
import { allowance, compareValues } from './compare-values.ts';

/**
 * Facts that are different at every run of the same machine: by facter's names (facter 3 to 5), with their legacy ones. A path begins with one
 * of these.
 */
const VOLATILE: readonly RegExp[] = [
  /^_timestamp$/,
  /^uptime(?:_\w+)?$/,
  /^system_uptime$/,
  /^load_averages$/,
  /^memory\.(?:system|swap)\.(?:available|used|capacity)(?:_bytes)?$/,
  /^(?:memory|swap)free(?:_mb)?$/,
  /^mountpoints\..*\.(?:available|used|capacity)(?:_bytes)?$/,
  /^partitions\..*\.(?:available|used)(?:_bytes)?$/,
  /^zfs_(?:used|available)$/,
  /^processors\.speed$/,
  /^puppet_vardir_free$/,
];

/** Whether a fact is one that changes by itself. */
export function isVolatileFact(path: readonly string[]): boolean {
  for (let length = 1; length <= Math.min(path.length, 8); length++) {
    const name = path.slice(0, length).join('.');
    if (VOLATILE.some(pattern => pattern.test(name))) return true;
  }
  return false;
}

/** Changed facts: those that are told, and all that changed, in which reasons for other changes are looked for. */
export interface FactsFound {
  told: FactsComparison;
  all: readonly ValueChange[];
}

/** @param allFacts tells also those of {@link isVolatileFact} */
export function compareFacts(before: Facts, after: Facts, allFacts: boolean, secrecy: Secrecy): FactsFound {
  const left = allowance();
  const all = compareValues(before.values as Rich, after.values as Rich, { secrecy, allowance: left });
  const changes = allFacts ? all : all.filter(({ path }) => !isVolatileFact(path));
  return { told: { changes, volatile: all.length - changes.length, omitted: left.omitted }, all };
}

/** Facts that are tried as a reason, and how much of a text is looked through: what is over it is explained by nothing. */
const MAX_FACTS = 500;
const MAX_TEXT = 32_768;

export type Reasons = (changes: readonly ValueChange[]) => string[];

/**
 * Finds the facts that may be why something changed: the old value stands in what was, the new value in what is, each as a word of its own.
 * A value of one character is in everything, and says nothing.
 */
export function reasonsAmong(facts: readonly ValueChange[]): Reasons {
  const usable = facts
    .filter(({ kind, sensitive }) => kind === 'changed' && !sensitive)
    .flatMap(({ path, before, after }) => {
      const [one, other] = [scalarText(before), scalarText(after)];
      return one === null || other === null || one.length < 2 || other.length < 2 ? [] : [{ path: path.join('.'), one, other }];
    })
    .slice(0, MAX_FACTS);
  return changes => {
    if (usable.length === 0) return [];
    const texts = changes.filter(({ kind, sensitive }) => kind === 'changed' && !sensitive).map(sides);
    const found = usable.filter(({ one, other }) => texts.some(([was, is]) => holds(was, one) && holds(is, other)));
    return found.map(({ path }) => path);
  };
}

/** What was and what is: of a text with lines, those that changed. */
function sides({ before, after, text }: ValueChange): [string, string] {
  if (text === null || text.hunks.length === 0) return [scalarText(before) ?? '', scalarText(after) ?? ''];
  const lines = (sign: string): string =>
    text.hunks
      .flatMap(hunk => hunk.lines.filter(line => line.startsWith(sign)))
      .join('\n')
      .slice(0, MAX_TEXT);
  return [lines('-'), lines('+')];
}

function holds(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!isWord(text[at - 1]) && !isWord(text[at + word.length])) return true;
  }
  return false;
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}]/u.test(character);
}

function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return value.slice(0, MAX_TEXT);
  if (value instanceof Tagged) return textOf(value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}
