import type { Line } from './text.ts';

/** Which row of a list a line shows: what a click on it means. Lines are passed on as they are from pane to screen, and so is this. */
const indices = new WeakMap<Line, number>();

/** @param index of the row in its list, as the move `{ to }` has it */
export function showsRow(line: Line, index: number): Line {
  indices.set(line, index);
  return line;
}

export function rowShown(line: Line): number | null {
  return indices.get(line) ?? null;
}
