import type { PageWindow } from './window.ts';

/** `17 of 200`, or what is known of it. */
export function placeText(window: PageWindow<unknown>, follow: boolean): string {
  const { rows, first, atEnd, cursor } = window;
  const at = first === null ? null : first + cursor + 1;
  const total = first !== null && atEnd ? first + rows.length : null;
  const left = rows.length - cursor - 1;
  const place =
    rows.length === 0
      ? ''
      : at !== null
        ? total === null
          ? `row ${at}`
          : `${at} of ${total}`
        : atEnd && left === 0
          ? 'last'
          : atEnd
            ? `last but ${left}`
            : '';
  return `${follow ? 'following  ' : ''}${place} `;
}

/** Moving away from the newest row ends following; reaching it again does not begin it. */
export function followsAfter({ follow, newestFirst }: { follow: boolean; newestFirst: boolean }, move: unknown): boolean {
  const toNewest = newestFirst ? ['up', 'top', 'page-up', 'half-up'] : ['down', 'bottom', 'page-down', 'half-down'];
  return follow && typeof move === 'string' && toNewest.includes(move);
}
