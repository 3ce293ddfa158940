import type { ExchangeDetail } from '../capture/store.ts';

/** What the agent got is not what the primary answers: a delay, or a slower pace, changes nothing of it. */
export function madeByFault({ fault, answeredBy, outcome }: ExchangeDetail): boolean {
  return fault !== null && (answeredBy === 'proxy' || outcome !== 'answered');
}
