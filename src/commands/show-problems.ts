import type { TlsFailure } from '../analysis/tls-failures.ts';
import { type Page, plural } from './show-text.ts';

/** One cause with the rows (`c5`, `e17`) that it hit. */
export interface Problem {
  words: TlsFailure;
  ids: string[];
}

/** Ids named at one cause; a scanner makes thousands. */
const NAMED = 5;

/** The rows that failed, by cause, in the order in which the causes came. */
export function problems(rows: Iterable<{ id: string; words: TlsFailure | null }>): Problem[] {
  const found = new Map<string, Problem>();
  for (const { id, words } of rows) {
    if (words === null) continue;
    const problem = found.get(words.cause) ?? { words, ids: [] };
    problem.ids.push(id);
    found.set(words.cause, problem);
  }
  return [...found.values()];
}

/** Each cause: what it is, what to do, and how Puppet says it. */
export function showProblems(page: Page, found: readonly Problem[]): void {
  for (const { words, ids } of found) {
    const more = ids.length > NAMED ? ` and ${plural(ids.length - NAMED, 'more', 'more')}` : '';
    page.text('', `${ids.slice(0, NAMED).join(', ')}${more}: ${words.what} [${words.cause}]`);
    page.text('  ', `to do: ${words.remedy}`);
    if (words.puppet !== null) page.text('  ', `Puppet says: ${words.puppet}`);
  }
}
