import { clock, duration } from '../src/commands/present.ts';

/** What the time column says: the clock, since the start of the run, since the row before, or how long. */
export const TIME_COLUMNS = ['clock', 'start', 'before'] as const;
export type TimeColumn = (typeof TIME_COLUMNS)[number];

interface Timed {
  startedAt: string;
  startMono: number;
  endMono: number;
  recording: number;
}

export function nextTime(time: TimeColumn): TimeColumn {
  return TIME_COLUMNS[(TIME_COLUMNS.indexOf(time) + 1) % TIME_COLUMNS.length]!;
}

/**
 * @param before the row before, of which only the same recording's moments can be compared
 * @param from monotonic moment that `start` counts from
 */
export function timeText(row: Timed, time: TimeColumn, before: Timed | null, from: number | null): string {
  switch (time) {
    case 'clock':
      return clockOf(row.startedAt);
    case 'start':
      return from === null ? clockOf(row.startedAt) : `+${shortDuration(Math.max(0, row.startMono - from))}`;
    case 'before': {
      if (before === null || before.recording !== row.recording) return '-';
      const gap = row.startMono - before.endMono;
      return gap < 0 ? 'overlaps' : `+${shortDuration(gap)}`;
    }
  }
}

/** For a column: `1m 08s` in place of `1 min 08 s`, for which there is no room. */
export function shortDuration(ms: number): string {
  return duration(ms).replace(/^(\d+) (\w)\w* (\d+) (\w)\w*$/, '$1$2 $3$4');
}

/** `14:03:21.123` of the local day. */
export function clockOf(at: string): string {
  return clock(Date.parse(at));
}

/** `2026-11-23 14:03:21.123`, local as in the lists; what is no time is left as it is. */
export function momentOf(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date.getTime())}`;
}

/** The local day with a blank behind it; empty for today. */
export function dayOf(at: string, now: number): string {
  const date = new Date(at);
  if (date.toDateString() === new Date(now).toDateString()) return '';
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} `;
}

/** The time of what was today, day and time of what is older. */
export function whenOf(at: string, now: number): string {
  const day = dayOf(at, now);
  return `${day}${clockOf(at).slice(0, day === '' ? 8 : 5)}`;
}
