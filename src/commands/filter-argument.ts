import { existsSync, statSync } from 'node:fs';
import type { Filter, Subject } from '../analysis/filter.ts';
import { parseFilter } from '../analysis/filter-parse.ts';
import { newestCapture } from '../capture/newest.ts';
import type { Store } from '../capture/store.ts';
import { CliError } from './io.ts';
import { openCapture } from './options.ts';

/** What follows the name of a list: `[CAPTURE] [FILTER]`, or `[FILTER] [CAPTURE]`. */
export interface Chosen {
  /** `undefined`: the newest capture. */
  file: string | undefined;
  /** `null`: everything. */
  filter: Filter | null;
}

/** Help for commander's `[capture] [filter...]`. */
export const CAPTURE_HELP = 'capture file (default: the newest in captures/); before or after the filter';
export const FILTER_HELP = 'which rows, as in ~c 404 (docs/filter.md)';

/**
 * Reads the words after the name of a list. The first is the capture if it is a file, or cannot be meant as anything else; so is the last
 * where what stands before it is a whole filter. The rest is the filter.
 *
 * @throws CliError with the place of what is wrong in the filter
 */
export function chosen(first: string | undefined, others: readonly string[], subject: Subject): Chosen {
  const words = first === undefined ? others : [first, ...others];
  const last = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const standsAlone = (rest: readonly string[]): boolean => parseFilter(rest.join(' '), subject).type === 'filter';
  if (first !== undefined && namesFile(first)) {
    if (words.length > 1 && /\.db$/i.test(last) && standsAlone(before.slice(1)))
      throw new CliError(`two captures are named, ${first} and ${last}`, 'leave one of them out', 2);
    return { file: first, filter: filterOf(others, subject) };
  }
  if (last !== '' && namesFile(last) && standsAlone(before)) return { file: last, filter: filterOf(before, subject) };
  return { file: undefined, filter: filterOf(words, subject) };
}

function filterOf(words: readonly string[], subject: Subject): Filter | null {
  const text = words.join(' ');
  const parsed = parseFilter(text, subject);
  if (parsed.type === 'filter') return parsed.filter;
  const { message, at, end, hint } = parsed.problem;
  const part = text.slice(at, Math.min(end, at + 40));
  const place = `at character ${at + 1}${part === '' ? '' : ` (${part})`}`;
  throw new CliError(`wrong filter ${place}: ${message}`, hint ?? 'docs/filter.md has the language', 2);
}

/** A capture that is not there must not become a filter that finds nothing. */
function namesFile(word: string): boolean {
  if (/\.db$|^\.{1,2}(?:\/|$)/i.test(word)) return true;
  const found = statSync(word, { throwIfNoEntry: false });
  // The name of a folder may well be a word of a filter, but for a folder with captures; a path of one is not.
  return found?.isFile() === true || (found?.isDirectory() === true && (word.includes('/') || newestCapture(word) !== null));
}

/**
 * Reads `[RUN…] [CAPTURE]`: the last word is the capture when it is no number of a run.
 *
 * @param named what `--capture` said: the file, too
 * @returns runs in the order in which they were named, each once; `asNamed` has them as often as they were
 * @throws CliError for any other word
 */
export function runsAndCapture(
  command: string,
  words: readonly string[],
  named?: string,
): { runs: readonly number[]; asNamed: readonly number[]; file: string | undefined } {
  const last = words.at(-1);
  const isFile = last !== undefined && (!RUN.test(last) || (!last.startsWith('r') && namesFile(last)));
  const asNamed = (isFile ? words.slice(0, -1) : words).map(word => {
    const match = RUN.exec(word);
    if (match !== null) return Number(match[1]);
    throw new CliError(
      `${command} takes runs, and a capture at the end, not ${JSON.stringify(word)}`,
      `as in: stringtap ${command} r3 r4`,
      2,
    );
  });
  if (isFile && !namesFile(last) && !existsSync(last)) {
    throw new CliError(
      `${JSON.stringify(last)} is no number of a run, and no file`,
      `as in: stringtap ${command} r3, or stringtap ${command} r3 FILE.db`,
      2,
    );
  }
  if (isFile && named !== undefined)
    throw new CliError(`two captures are named, ${last} and ${named}`, 'leave one of them out', 2);
  return { runs: [...new Set(asNamed)], asNamed, file: isFile ? last : named };
}

const RUN = /^r?(\d{1,15})$/;

/** Opens the capture that was chosen; runs, whose reports are looked at, and a filter that asks what was decoded, or what rules found, wait for it. */
export function openChosen({ file, filter }: Chosen, subject: Subject): Promise<Store> {
  return openCapture(file, subject === 'run' || (filter !== null && asksBodies(filter)) ? 'bodies' : 'runs');
}

function asksBodies(filter: Filter): boolean {
  if (filter.type === 'and' || filter.type === 'or') return filter.terms.some(asksBodies);
  if (filter.type === 'not') return asksBodies(filter.term);
  return filter.type === 'text' && (filter.on === 'res' || filter.on === 'fact' || filter.on === 'find');
}
