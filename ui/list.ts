/** Where a list stands, whatever its rows are: a pure reducer that costs the same for ten rows and for a million. */

export interface ListState {
  /** Row that the cursor is on, from 0. */
  readonly cursor: number;
  /** First row that is shown. */
  readonly top: number;
}

export type Move = 'up' | 'down' | 'half-up' | 'half-down' | 'page-up' | 'page-down' | 'top' | 'bottom' | { readonly to: number };

export const LIST_START: ListState = { cursor: 0, top: 0 };

/** Rows that a move goes by; `null` for one that goes to a place. */
export function stepOf(move: Move, height: number): number | null {
  switch (move) {
    case 'up':
      return -1;
    case 'down':
      return 1;
    case 'half-up':
      return -Math.max(1, Math.floor(height / 2));
    case 'half-down':
      return Math.max(1, Math.floor(height / 2));
    case 'page-up':
      return -Math.max(1, height - 1);
    case 'page-down':
      return Math.max(1, height - 1);
    default:
      return null;
  }
}

/**
 * @param count rows of the list
 * @param height rows that are shown
 */
export function moveList(state: ListState, move: Move, count: number, height: number): ListState {
  const step = stepOf(move, height);
  if (step !== null) return settle({ ...state, cursor: state.cursor + step }, count, height);
  if (move === 'top') return settle({ cursor: 0, top: 0 }, count, height);
  if (move === 'bottom') return settle({ ...state, cursor: count - 1 }, count, height);
  return settle({ ...state, cursor: typeof move === 'object' ? move.to : state.cursor }, count, height);
}

/** A state that a list of `count` rows in `height` lines can have: after a move, a resize, or rows that came or went. */
export function settle(state: ListState, count: number, height: number): ListState {
  const cursor = Math.max(0, Math.min(state.cursor, count - 1));
  const last = Math.max(0, count - Math.max(1, height));
  let top = Math.max(0, Math.min(state.top, last));
  if (cursor < top) top = cursor;
  if (height > 0 && cursor >= top + height) top = cursor - height + 1;
  return { cursor, top };
}

/** Wraps around: the next of `count` tabs. */
export function cycle(index: number, by: 1 | -1, count: number): number {
  return count === 0 ? 0 : (index + by + count) % count;
}
