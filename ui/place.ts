import type { PageWindow } from './window.ts';

/**
 * `17 of 200`, or what is known of it.
 *
 * @param counted rows of the whole list, when they were last counted
 */
export function placeText(window: PageWindow<unknown>, counted: number | null): string {
  const { rows, first, atEnd, cursor } = window;
  if (rows.length === 0) return ' ';
  const at = first === null ? null : first + cursor + 1;
  const total = first !== null && atEnd ? first + rows.length : counted;
  // What has come since it was counted is in no count.
  const of = total === null || (at !== null && at > total) ? '' : ` of ${total}`;
  const left = rows.length - cursor - 1;
  if (at !== null) return `${of === '' ? 'row ' : ''}${at}${of} `;
  if (!atEnd) return `${of.trimStart()} `;
  return `${left === 0 ? 'last' : `last but ${left}`}${of} `;
}

/** Moving away from the newest row ends following; reaching it again does not begin it. */
export function followsAfter({ follow, newestFirst }: { follow: boolean; newestFirst: boolean }, move: unknown): boolean {
  const toNewest = newestFirst ? ['up', 'top', 'page-up', 'half-up'] : ['down', 'bottom', 'page-down', 'half-down'];
  return follow && typeof move === 'string' && toNewest.includes(move);
}
