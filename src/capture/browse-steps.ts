/** What a step of a scan may take: requests that come meanwhile, and cancellations, wait for so long at most. */
export const STEP_MS = 15;

/** Ids of the first step; later ones are as long as STEP_MS allows. */
const FIRST_STEP = 100;
const LONGEST_STEP = 2 ** 40;

/** A range of ids, walked through in steps that are as long as their time allows. */
export function* steps(first: number, last: number, up: boolean): Generator<{ from: number; to: number }> {
  let length = FIRST_STEP;
  let place = up ? first : last;
  while (up ? place <= last : place >= first) {
    const began = performance.now();
    const range = up
      ? { from: place, to: Math.min(last, place + length - 1) }
      : { from: Math.max(first, place - length + 1), to: place };
    yield range;
    const factor = STEP_MS / Math.max(0.1, performance.now() - began);
    length = Math.ceil(Math.min(LONGEST_STEP, Math.max(1, length * Math.min(4, Math.max(0.1, factor)))));
    place = up ? range.to + 1 : range.from - 1;
  }
}
