import { type Engine, viewSize } from './engine.ts';
import { tabAt } from './frame.ts';
import { rowShown } from './hits.ts';
import type { MouseEvent } from './mouse.ts';

/** What the mouse does: the wheel moves, a click goes to a row or a tab, a click on the row that the cursor is on opens it. */

const WHEEL_ROWS = 3;

export function pointAt(engine: Engine, { type, column, row }: MouseEvent): void {
  const state = engine.state();
  if (type !== 'press') {
    const key = type === 'wheel-up' ? 'up' : 'down';
    // Among completions and in the palette, the arrow that goes there too.
    if (state.prompt !== null) engine.press([key]);
    else for (let n = 0; n < WHEEL_ROWS; n += 1) engine.act({ name: key, argument: null });
    return;
  }
  if (state.prompt !== null) return;
  const screen = state.stack.at(-1)!;
  const tabs = screen.tabs();
  if (tabs !== null && row === 1) {
    const tab = tabAt(tabs, state.size.columns, column);
    if (tab !== null) engine.act({ name: 'tab', argument: String(tab + 1) });
    return;
  }
  const top = tabs === null ? 1 : 2;
  if (row < top || row >= top + viewSize(state.size, tabs !== null, state.hints).rows) return;
  const line = screen.draw(engine.env())[row - top];
  const index = line === undefined ? null : rowShown(line);
  if (line === undefined || index === null) return;
  const isCursor = line.some(span => span.style === 'selected');
  engine.act(isCursor ? { name: 'open', argument: null } : { name: 'go', argument: String(index + 1) });
}
