import type { Filter } from '../src/analysis/filter.ts';
import type { TimesBy, TimesGroup } from '../src/analysis/times.ts';

/** Some exchanges of a capture: what a list is about, whatever it is filtered for besides. */
export interface Within {
  /** What they have in common, in words; empty: nothing. */
  readonly title: string;
  readonly filter: Filter | null;
  readonly groups: readonly TimesGroup[];
}

export const WHOLE_CAPTURE: Within = { title: '', filter: null, groups: [] };

/** What stands for the name of a group that has none. */
export const NAMELESS: Readonly<Record<TimesBy, string>> = {
  phase: 'no phase',
  certname: 'no certname',
  environment: 'no environment',
  request: 'no request',
  status: 'not answered',
  run: 'in no run',
};

/** Of these, those in a group. */
export function inGroup(within: Within, group: TimesGroup): Within {
  const { by, name } = group;
  const words = name === null ? NAMELESS[by] : by === 'request' || by === 'run' ? name : `${by} ${name}`;
  return { ...within, title: joined(within.title, words), groups: [...within.groups, group] };
}

/** Of these, those that a filter wants. @param text of the filter */
export function filteredBy(within: Within, filter: Filter | null, text: string): Within {
  if (filter === null) return within;
  return { ...within, title: joined(within.title, text), filter: both(within.filter, filter) };
}

/** Both filters; `null` wants everything. */
export function both(a: Filter | null, b: Filter | null): Filter | null {
  if (a === null || b === null) return a ?? b;
  return { type: 'and', terms: [a, b], at: 0, end: 0 };
}

function joined(a: string, b: string): string {
  return a === '' ? b : `${a}, ${b}`;
}
