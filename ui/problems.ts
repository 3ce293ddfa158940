import { parseFilter } from '../src/analysis/filter-parse.ts';
import type { BrowsedRows, Cursor, Page, PageRequest } from '../src/capture/browse-shapes.ts';
import { type RowList, rowsAt } from './row-list.ts';
import type { Env, Job, Screen } from './screen.ts';

/** The next row that went wrong of a list in the order of time: a capture may have a million that are fine. */
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
      const filter = parsed.type === 'filter' ? parsed.filter : null;
      const browser = env.source.browser();
      for (let place: Cursor | null = { key: from.id, id: from.id }; place !== null; ) {
        const request: PageRequest<List> = {
          list: list.list,
          filter,
          sort: list.sort,
          limit: 1,
          ...(forward ? { after: place } : { before: place }),
        };
        const page: Page<BrowsedRows[List]> = await browser.page(request, signal);
        const [row] = page.rows;
        if (row !== undefined) return { screen: search.found(rowsAt(list, row, env, height)) };
        place = page.reached;
        if (place !== null) report(`at ${list.list === 'run' ? 'r' : 'e'}${place.id}`);
      }
      return { say: { text: search.none, kind: 'info' } };
    },
  };
}
