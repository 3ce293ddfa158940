import { path, routeOf } from '../decode/route.ts';
import { PHASES, type Phase } from '../model.ts';
import { type Percentiles, percentiles } from './percentiles.ts';

/** What requests are put together by. */
export const TIMES_BY = ['phase', 'certname', 'environment', 'request', 'status', 'run'] as const;
export type TimesBy = (typeof TIMES_BY)[number];

/** What is looked at of an exchange. */
export interface TimedExchange {
  status: number | null;
  outcome: string;
  durationMs: number;
  requestBytes: number;
  responseBytes: number;
}

/** How long the exchanges of a group took: from the head of the request to the last byte of the answer, as the agent saw it. */
export interface Times extends Percentiles {
  requests: number;
  /** Those that failed, were abandoned, or were answered with a 5xx. */
  failed: number;
  /** All of them together. */
  totalMs: number;
  requestBytes: number;
  responseBytes: number;
}

/** Times of a group by its name, `null`: of what has none. */
export interface GroupTimes extends Times {
  group: string | null;
}

/** One group of exchanges. */
export interface TimesGroup {
  by: TimesBy;
  name: string | null;
}

/** What an exchange is grouped by. */
export interface GroupedExchange {
  phase: Phase;
  method: string;
  target: string;
  certname: string | null;
  status: number | null;
  run: number | null;
}

/** Phases whose key is the name of an agent: their requests are one kind, whoever asks. */
const OF_AN_AGENT: ReadonlySet<string> = new Set<Phase>(['csr', 'certificate', 'node', 'catalog', 'report']);

/** Name of a kind of request: `GET file_metadata/modules/ntp/ntp.conf`, `POST catalog/{certname}`. */
export function requestName(method: string, target: string, phase: string): string {
  const { indirection } = routeOf(method, target);
  const short = path(target).replace(/^\/puppet(?:-ca)?\/v\d\//, '');
  return `${method} ${OF_AN_AGENT.has(phase) && indirection !== null ? `${indirection}/{certname}` : short}`;
}

/** Name of the group that an exchange is in; `null`: it has none. */
export function groupOf(row: GroupedExchange, by: TimesBy): string | null {
  switch (by) {
    case 'phase':
      return row.phase;
    case 'certname':
      return row.certname;
    case 'environment':
      return routeOf(row.method, row.target).environment;
    case 'status':
      return row.status === null ? null : String(row.status);
    case 'run':
      return row.run === null ? null : `r${row.run}`;
    case 'request':
      return requestName(row.method, row.target, row.phase);
  }
}

/** Puts exchanges together, one by one; what it is asked for meanwhile is true of those that came. Holds 8 bytes an exchange. */
export interface TimesFold {
  add(name: string | null, exchange: TimedExchange): void;
  /** One group after the other; of those that nothing was added to since, nothing is worked out again. */
  groups(): Generator<GroupTimes>;
}

type Sums = Omit<Times, keyof Percentiles | 'requests'>;

export function createTimesFold(): TimesFold {
  const groups = new Map<string | null, { each: number[]; sums: Sums; told: GroupTimes | null }>();
  return {
    add(name, { status, outcome, durationMs, requestBytes, responseBytes }) {
      let group = groups.get(name);
      if (group === undefined) {
        group = { each: [], sums: { failed: 0, totalMs: 0, requestBytes: 0, responseBytes: 0 }, told: null };
        groups.set(name, group);
      }
      const { each, sums } = group;
      each.push(durationMs);
      sums.failed += Number(outcome !== 'answered' || (status ?? 0) >= 500);
      sums.totalMs += durationMs;
      sums.requestBytes += requestBytes;
      sums.responseBytes += responseBytes;
      group.told = null;
    },
    *groups() {
      for (const [name, group] of groups) {
        group.told ??= { group: name, requests: group.each.length, ...percentiles(group.each), ...group.sums };
        yield group.told;
      }
    },
  };
}

/** Exchanges by group, those first that took most time together. */
export function foldTimes<Row extends TimedExchange>(
  exchanges: Iterable<Row>,
  nameOf: (row: Row) => string | null,
): Map<string | null, Times> {
  const fold = createTimesFold();
  for (const row of exchanges) fold.add(nameOf(row), row);
  const folded = [...fold.groups()].sort((a, b) => b.totalMs - a.totalMs);
  return new Map(folded.map(({ group, ...times }) => [group, times]));
}

/** What groups can be sorted by; `name`: phases in the order of a run, runs and statuses by their number. */
export const TIMES_SORTS = ['name', 'requests', 'failed', 'p50', 'p95', 'p99', 'max', 'total', 'up', 'down'] as const;
export interface TimesSort {
  by: (typeof TIMES_SORTS)[number];
  descending: boolean;
}

/** As groups stand when nobody asks for another order: phases as in a run, all else as it took most time. */
export function usualSort(by: TimesBy): TimesSort {
  return by === 'phase' ? { by: 'name', descending: false } : { by: 'total', descending: true };
}

const FIGURES = {
  requests: 'requests',
  failed: 'failed',
  p50: 'p50Ms',
  p95: 'p95Ms',
  p99: 'p99Ms',
  max: 'maxMs',
  total: 'totalMs',
  up: 'requestBytes',
  down: 'responseBytes',
} as const satisfies Record<Exclude<TimesSort['by'], 'name'>, keyof Times>;

/** Groups in an order; equal ones by name, and what has none last. */
export function sortTimes(groups: readonly GroupTimes[], by: TimesBy, sort: TimesSort): GroupTimes[] {
  const sign = sort.descending ? -1 : 1;
  const figure = sort.by === 'name' ? null : FIGURES[sort.by];
  return groups.toSorted((a, b) => {
    if (figure === null) return sign * byName(a.group, b.group, by);
    return sign * (a[figure] - b[figure]) || byName(a.group, b.group, by);
  });
}

function byName(a: string | null, b: string | null, by: TimesBy): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (by === 'phase') return PHASES.indexOf(a as Phase) - PHASES.indexOf(b as Phase);
  if (by === 'status') return Number(a) - Number(b);
  if (by === 'run') return Number(a.slice(1)) - Number(b.slice(1));
  return a < b ? -1 : a > b ? 1 : 0;
}
