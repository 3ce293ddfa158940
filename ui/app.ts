import { Box, type SuspendTerminal, Text, useApp, useInput, usePaste } from 'ink';
import { createElement, memo, type ReactElement, useEffect, useSyncExternalStore } from 'react';
import type { Engine } from './engine.ts';
import { frameOf } from './frame.ts';
import { keysOf } from './keys.ts';

/**
 * Draws the engine's state: one text element a line of the screen, of which Ink measures only those that changed. There are never more
 * of them than the terminal has lines. Written without JSX, which Node does not run: `node src/bin.ts ui` works from a checkout.
 */
export function App({ engine, onReady }: { engine: Engine; onReady?: (suspend: SuspendTerminal) => void }): ReactElement {
  const { suspendTerminal } = useApp();
  useEffect(() => onReady?.(suspendTerminal), [onReady, suspendTerminal]);
  useSyncExternalStore(engine.subscribe, engine.state);
  useInput((input, key) => {
    const keys = keysOf(input, key);
    if (keys.length > 0) engine.press(keys);
  });
  usePaste(text => engine.paste(text));
  const rows: ReactElement[] = [];
  for (const [row, text] of frameOf(engine).entries()) rows.push(createElement(Row, { key: row, text }));
  return createElement(Box, { flexDirection: 'column' }, rows);
}

/** An empty text element has no height, and the lines below would move up. */
const Row = memo(
  ({ text }: { text: string }): ReactElement => createElement(Text, { wrap: 'truncate' }, text === '' ? ' ' : text),
);
