import { statSync } from 'node:fs';
import type { Filter, Subject } from '../analysis/filter.ts';
import { parseFilter } from '../analysis/filter-parse.ts';
import type { Store } from '../capture/store.ts';
import { CliError, printable } from './io.ts';
import { openCapture } from './options.ts';

/** What follows the name of a list: `[CAPTURE] [FILTER]`. */
export interface Chosen {
  /** `undefined`: the newest capture. */
  file: string | undefined;
  /** `null`: everything. */
  filter: Filter | null;
}

/** Help for commander's `[capture] [filter...]`. */
export const CAPTURE_HELP = 'capture file (default: the newest in captures/); may be left out before a filter';
export const FILTER_HELP = 'which rows, as in ~c 404 (docs/filter.md)';

/**
 * Reads the words after the name of a list. The first is the capture if it is a file, or cannot be meant as anything else, otherwise the
 * beginning of the filter.
 *
 * @throws CliError with the place of what is wrong in the filter
 */
export function chosen(capture: string | undefined, words: readonly string[], subject: Subject): Chosen {
  const file = capture !== undefined && namesFile(capture) ? capture : undefined;
  const text = [...(file === undefined && capture !== undefined ? [capture] : []), ...words].join(' ');
  const parsed = parseFilter(text, subject);
  if (parsed.type === 'filter') return { file, filter: parsed.filter };
  const { message, at, end, hint } = parsed.problem;
  const part = text.slice(at, Math.min(end, at + 40));
  const place = `at character ${at + 1}${part === '' ? '' : ` (${printable(part)})`}`;
  throw new CliError(
    `wrong filter ${place}: ${printable(message)}`,
    hint === null ? 'docs/filter.md has the language' : printable(hint),
    2,
  );
}

/** A capture that is not there must not become a filter that finds nothing. */
function namesFile(word: string): boolean {
  return /\.db$|^\.{1,2}\//i.test(word) || statSync(word, { throwIfNoEntry: false })?.isFile() === true;
}

/** Opens the capture that was chosen; a filter that asks what was decoded, or what rules found, waits for it. */
export function openChosen({ file, filter }: Chosen): Promise<Store> {
  return openCapture(file, filter !== null && asksBodies(filter) ? 'bodies' : 'runs');
}

function asksBodies(filter: Filter): boolean {
  if (filter.type === 'and' || filter.type === 'or') return filter.terms.some(asksBodies);
  if (filter.type === 'not') return asksBodies(filter.term);
  return filter.type === 'text' && (filter.on === 'res' || filter.on === 'fact' || filter.on === 'find');
}
