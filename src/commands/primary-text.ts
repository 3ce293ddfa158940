import type { PrimaryTime } from '../capture/primary-time.ts';
import { duration } from './present.ts';

/** What a primary's log said of an exchange, with what the way took. */
export function primaryText({ tookMs, borrowMs, otherMs }: PrimaryTime, oursMs: number): string {
  const way = `${duration(Math.max(0, oursMs - tookMs))} on the way and in the proxy`;
  if (borrowMs === null) return `${duration(tookMs)}; ${way}`;
  return `${duration(tookMs)}: ${duration(borrowMs)} in a JRuby instance, ${duration(Math.max(0, otherMs ?? 0))} waiting for one, reading and sending; ${way}`;
}

/** The same, short, at the end of a request's line. */
export function primaryRemark(time: PrimaryTime | undefined): string {
  if (time === undefined) return '';
  if (time.borrowMs === null) return `  [primary ${duration(time.tookMs)}]`;
  return `  [primary ${duration(time.tookMs)}: JRuby ${duration(time.borrowMs)}, queue and rest ${duration(Math.max(0, time.otherMs ?? 0))}]`;
}
