import { parseFilter } from '../src/analysis/filter-parse.ts';
import type { BrowsedRows, Page, PageRequest } from '../src/capture/browse-shapes.ts';
import { readAround } from './browsed.ts';
import { listedOf, type RowList, rowsAround } from './row-list.ts';
import type { Env, Job, Screen } from './screen.ts';
import { both } from './within.ts';

/** The next row that went wrong of a list, in its order and of what it is filtered for: a capture may have a million that are fine. */
export interface ProblemSearch<List extends 'exchange' | 'run'> {
  readonly list: RowList<List>;
  /** What went wrong, as a filter. */
  readonly filter: string;
  /** Where it begins: the row itself is not looked at. */
  readonly from: BrowsedRows[List];
  readonly forward: boolean;
  /** The screen with the list at what was found. */
  found(list: RowList<List>): Screen;
  readonly none: string;
}

/** Looks for it in the browser's thread, and can be cancelled. */
export function problemJob<List extends 'exchange' | 'run'>(search: ProblemSearch<List>, env: Env, height: number): Job {
  const { list, from, forward } = search;
  return {
    label: forward ? 'looking for the next problem' : 'looking for the problem before',
    async run(report, signal) {
      const parsed = parseFilter(search.filter, list.list);
      const listed = listedOf(list);
      const wrong = { ...listed, filter: both(parsed.type === 'filter' ? parsed.filter : null, listed.filter ?? null), limit: 1 };
      const browser = env.source.browser();
      const to = forward ? 'after' : 'before';
      let where: Partial<PageRequest<List>> = { fromRow: { id: from.id, to } };
      for (;;) {
        const page: Page<BrowsedRows[List]> = await browser.page<List>({ ...wrong, ...where }, signal);
        const { rows, first, reached } = page;
        const [row] = rows;
        if (row !== undefined && first !== null) {
          const around = await readAround(listed, row, first, browser, signal);
          return { screen: search.found(rowsAround(list, around, env, height)) };
        }
        if (reached === null) break;
        report(`at ${list.list === 'run' ? 'r' : 'e'}${reached.id}`);
        where = { [to]: reached };
      }
      return { say: { text: search.none, kind: 'info' } };
    },
  };
}
