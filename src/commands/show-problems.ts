import type { TlsFailure } from '../analysis/tls-failures.ts';
import type { Page } from './show-text.ts';

/** One cause with the rows (`c5`, `e17`) that it hit. */
export interface Problem {
  words: TlsFailure;
  /** The first of them. */
  ids: string[];
  count: number;
}

/** Ids named at one cause; a scanner makes thousands. */
const NAMED = 5;

/** Adds a row to the problems by cause, when it has one. */
export function noteProblem(found: Map<string, Problem>, id: string, words: TlsFailure | null): void {
  if (words === null) return;
  const problem = found.get(words.cause) ?? { words, ids: [], count: 0 };
  if (problem.ids.length < NAMED) problem.ids.push(id);
  problem.count += 1;
  found.set(words.cause, problem);
}

/** The rows that failed, by cause, in the order in which the causes came. */
export function problems(rows: Iterable<{ id: string; words: TlsFailure | null }>): Problem[] {
  const found = new Map<string, Problem>();
  for (const { id, words } of rows) noteProblem(found, id, words);
  return [...found.values()];
}

/** Each cause: what it is, what to do, and how Puppet says it. */
export function showProblems(page: Page, found: Iterable<Problem>): void {
  for (const { words, ids, count } of found) {
    const more = count > ids.length ? ` and ${count - ids.length} more` : '';
    page.text('', `${ids.join(', ')}${more}: ${words.what} [${words.cause}]`);
    page.text('  ', `to do: ${words.remedy}`);
    if (words.puppet !== null) page.text('  ', `Puppet says: ${words.puppet}`);
  }
}
