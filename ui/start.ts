import { render, type SuspendTerminal } from 'ink';
import { createElement } from 'react';
import type { Store } from '../src/capture/store.ts';
import { App } from './app.ts';
import { endChildren, watchChildren } from './child.ts';
import { createEngine, type Engine } from './engine.ts';
import { followCapture } from './feed.ts';
import { guardTerminal } from './guard.ts';
import { keysFile, readKeyMap } from './keys-file.ts';
import { createMouseReader, MOUSE_OFF, MOUSE_ON, withoutReports } from './mouse.ts';
import { navigate } from './navigate.ts';
import { createPainter } from './painter.ts';
import { pointAt } from './pointer.ts';
import { createSource } from './source.ts';
import { themeOf } from './theme.ts';
import { helpScreen } from './views/help.ts';
import { runsScreen } from './views/runs.ts';

export interface UiOptions {
  store: Store;
  env: Readonly<Record<string, string | undefined>>;
  /** Only ASCII signs. */
  ascii: boolean;
  /** The shell's own job, which ctrl-z may stop. */
  alone?: boolean;
  /** Why the UI ends from outside: the proxy that it came with was told to. */
  signal?: AbortSignal;
}

/**
 * Shows a capture until the user quits. The terminal is a real one, which the caller has made sure of; it is left as it was, whatever ends
 * the UI: Ink restores it when the process ends, also by a signal or an exception.
 */
export async function startUi({ store, env, ascii, alone = true, signal }: UiOptions): Promise<void> {
  const { map, problems } = readKeyMap(keysFile(env));
  const source = createSource(store);
  const { stdout } = process;
  const [problem] = problems;
  const theme = themeOf(env, ascii);
  const painter = createPainter(stdout);
  let ended = (): void => {};
  const engine: Engine = createEngine({
    source,
    theme,
    map,
    size: { columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 },
    first: runsScreen,
    navigate,
    help: helpScreen,
    ...(problem !== undefined && { notice: { text: problem, kind: 'warning' } }),
    onQuit: () => ended(),
    onSuspend: () => suspend(),
    onMouse: on => void stdout.write(on ? MOUSE_ON : MOUSE_OFF),
    onRedraw: () => void stdout.emit('resize'),
    onEscape: sequence => void stdout.write(sequence),
  });
  const terminal: { suspend: SuspendTerminal | null } = { suspend: null };
  const onReady = (suspend: SuspendTerminal): void => {
    terminal.suspend = suspend;
  };
  const tree = createElement(App, { engine, onReady, ...(!theme.reader && { painter }) });
  const guard = guardTerminal();
  watchChildren(guard.child);
  const app = render(tree, {
    stdin: withoutReports(
      process.stdin,
      createMouseReader(event => pointAt(engine, event)),
    ),
    alternateScreen: true,
    // A CI variable in the environment makes a terminal no less of one.
    interactive: true,
    exitOnCtrlC: false,
    incrementalRendering: true,
    maxFps: 60,
    patchConsole: true,
  });
  const mouse = (on: boolean): void => void (engine.state().mouse && stdout.write(on ? MOUSE_ON : MOUSE_OFF));
  const leaveMouse = (): void => mouse(false);
  mouse(true);
  process.once('exit', leaveMouse);
  // Behind Ink's own listener, which clears some lines; before it where Ink draws, so that it draws the new frame and not the old one too.
  const resized = (): void => {
    painter.forget();
    engine.resize({ columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 });
    // Commits at once what React would commit a little later.
    app.rerender(tree);
    painter.restore();
  };
  if (theme.reader) stdout.prependListener('resize', resized);
  else stdout.on('resize', resized);
  ended = () => app.unmount();
  const stop = followCapture(
    store,
    engine.refresh,
    // Read aloud, what only counts on would be said again and again.
    () => engine.state().live && !theme.reader,
  );
  const leave = (): void => app.unmount();
  signal?.addEventListener('abort', leave);
  for (const name of SIGNALS) process.on(name, leave);
  try {
    await app.waitUntilExit();
  } finally {
    stop();
    leaveMouse();
    process.off('exit', leaveMouse);
    guard.end();
    endChildren();
    await source.close();
    stdout.off('resize', resized);
    signal?.removeEventListener('abort', leave);
    for (const name of SIGNALS) process.off(name, leave);
  }

  /** Gives the terminal back, stops as the shell expects it, and draws the screen anew when the shell lets it go on. */
  function suspend(): void {
    if (alone) {
      painter.pause();
      leaveMouse();
      void terminal
        .suspend?.(async () => void process.kill(process.pid, 'SIGTSTP'))
        .then(() => {
          mouse(true);
          painter.restore();
        });
    } else engine.say({ text: 'a proxy started these screens: Q leaves them, the proxy goes on', kind: 'info' });
  }
}

const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;
