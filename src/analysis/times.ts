import type { Phase } from '../model.ts';
import { type Percentiles, percentiles } from './percentiles.ts';

/** What is looked at of an exchange. */
export interface TimedExchange {
  phase: Phase;
  method: string;
  target: string;
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

/** Exchanges by group, those first that took most time together. */
export function foldTimes<Row extends TimedExchange>(
  exchanges: Iterable<Row>,
  groupOf: (row: Row) => string | null,
): Map<string | null, Times> {
  const groups = new Map<string | null, Omit<Times, keyof Percentiles | 'requests'> & { each: number[] }>();
  for (const row of exchanges) {
    const name = groupOf(row);
    let group = groups.get(name);
    if (group === undefined) {
      group = { each: [], failed: 0, totalMs: 0, requestBytes: 0, responseBytes: 0 };
      groups.set(name, group);
    }
    group.each.push(row.durationMs);
    group.failed += Number(row.outcome !== 'answered' || (row.status ?? 0) >= 500);
    group.totalMs += row.durationMs;
    group.requestBytes += row.requestBytes;
    group.responseBytes += row.responseBytes;
  }
  const folded = [...groups].map(
    ([name, { each, ...sums }]) => [name, { requests: each.length, ...percentiles(each), ...sums }] as const,
  );
  return new Map(folded.sort(([, a], [, b]) => b.totalMs - a.totalMs));
}
