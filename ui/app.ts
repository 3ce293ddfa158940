import { Box, type SuspendTerminal, Text, useApp, useInput, usePaste } from 'ink';
import { createElement, memo, type ReactElement, useEffect, useLayoutEffect, useSyncExternalStore } from 'react';
import type { Engine } from './engine.ts';
import { frameOf } from './frame.ts';
import { keysOf } from './keys.ts';
import type { Painter } from './painter.ts';

export interface AppProps {
  engine: Engine;
  /** Draws the lines in place of Ink, which is several times as slow. Without one they are Ink's text elements: for a screen reader. */
  painter?: Painter;
  onReady?: (suspend: SuspendTerminal) => void;
}

/**
 * Keys to the engine, and the engine's state to the screen, as one line of text a row of it: never more than the terminal has. Written
 * without JSX, which Node does not run: `node src/bin.ts ui` works from a checkout.
 */
export function App({ engine, painter, onReady }: AppProps): ReactElement | null {
  const { suspendTerminal } = useApp();
  useEffect(() => onReady?.(suspendTerminal), [onReady, suspendTerminal]);
  useSyncExternalStore(engine.subscribe, engine.state);
  useInput((input, key) => {
    const keys = keysOf(input, key);
    if (keys.length > 0) engine.press(keys);
  });
  usePaste(text => engine.paste(text));
  const lines = frameOf(engine);
  useLayoutEffect(() => painter?.draw(lines));
  if (painter !== undefined) return null;
  const rows: ReactElement[] = [];
  for (const [row, text] of lines.entries()) rows.push(createElement(Row, { key: row, text }));
  return createElement(Box, { flexDirection: 'column' }, rows);
}

/** An empty text element has no height, and the lines below would move up. */
const Row = memo(
  ({ text }: { text: string }): ReactElement => createElement(Text, { wrap: 'truncate' }, text === '' ? ' ' : text),
);
