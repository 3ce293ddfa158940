import { type SuspendTerminal, Text, useApp, useInput, usePaste } from 'ink';
import { createElement, type ReactElement, useEffect, useSyncExternalStore } from 'react';
import type { Engine } from './engine.ts';
import { frameOf } from './frame.ts';
import { keysOf } from './keys.ts';

/**
 * Draws the engine's state. One text element a frame: Ink lays out nothing, so a frame costs the same whatever it shows, and is never
 * higher than the terminal. Written without JSX, which Node does not run: `node src/bin.ts ui` works from a checkout.
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
  return createElement(Text, { wrap: 'truncate' }, frameOf(engine));
}
