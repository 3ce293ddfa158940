import type { Action } from './keymap.ts';
import { cycle } from './list.ts';
import type { Notice } from './screen.ts';

/** What an action means to a screen with tabs: the tab it leads to, or that there is none; `null`: it is no action of tabs. */
export function tabAfter(
  { name, argument }: Action,
  current: number,
  names: readonly string[],
): { readonly tab: number } | { readonly say: Notice } | null {
  if (name === 'next-tab') return { tab: cycle(current, 1, names.length) };
  if (name === 'previous-tab') return { tab: cycle(current, -1, names.length) };
  if (name !== 'tab') return null;
  if (argument === null) return { say: { text: 'which tab? as in :tab 3', kind: 'info' } };
  const tab = tabOf(argument.toLowerCase(), names);
  return tab === null ? { say: { text: `there is no tab ${argument}`, kind: 'info' } } : { tab };
}

/** The number of a tab, or the start of its name. */
function tabOf(wanted: string, names: readonly string[]): number | null {
  const found = /^\d+$/.test(wanted) ? Number(wanted) - 1 : names.findIndex(name => name.toLowerCase().startsWith(wanted));
  return wanted !== '' && found >= 0 && found < names.length ? found : null;
}
