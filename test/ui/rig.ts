import './production.ts';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { Text } from 'ink';
import { render } from 'ink-testing-library';
import { createElement } from 'react';
import stringWidth from 'string-width';
import { expect } from 'vitest';
import { openStore, type Store } from '../../src/capture/store.ts';
import { App } from '../../ui/app.ts';
import { createEngine, type Engine } from '../../ui/engine.ts';
import { defaultKeyMap, type KeyMap } from '../../ui/keymap.ts';
import { navigate } from '../../ui/navigate.ts';
import type { Env, Screen, Size } from '../../ui/screen.ts';
import { createSource } from '../../ui/source.ts';
import { createTheme } from '../../ui/theme.ts';
import { helpScreen } from '../../ui/views/help.ts';
import { runsScreen } from '../../ui/views/runs.ts';

/** The screens over a real capture, driven by keys and read as frames; Ink draws them as in a terminal. */

export const SMALL: Size = { columns: 80, rows: 24 };
export const LARGE: Size = { columns: 160, rows: 50 };

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

/** A copy of the sample capture of real runs, with its store; both are gone afterwards. */
export function sample(): { store: Store; file: string; [Symbol.dispose](): void } {
  if (!existsSync(SAMPLE)) throw new Error('captures/sample.db is missing');
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-ui-'));
  const file = join(dir, 'sample.db');
  copyFileSync(SAMPLE, file);
  const store = openStore(file);
  return {
    store,
    file,
    [Symbol.dispose]() {
      store.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Ui {
  engine: Engine;
  /** Keys as a terminal sends them. */
  send(...keys: string[]): Promise<void>;
  /** Types a text and enter. */
  type(text: string): Promise<void>;
  /** Lines of the last frame, without escapes; checked against the size of the screen. */
  frame(): string[];
  /** The last frame as it is written. */
  raw(): string;
  /** Waits until the frame has this text. */
  shows(text: string): Promise<string[]>;
  quits: number;
  escapes: string[];
  [Symbol.dispose](): void;
}

export const KEY = {
  enter: '\r',
  esc: '\x1b',
  tab: '\t',
  up: '\x1b[A',
  down: '\x1b[B',
  right: '\x1b[C',
  left: '\x1b[D',
  pgdn: '\x1b[6~',
  pgup: '\x1b[5~',
  home: '\x1b[H',
  end: '\x1b[F',
  backspace: '\x7f',
  ctrlD: '\x04',
  ctrlU: '\x15',
  ctrlP: '\x10',
  ctrlC: '\x03',
} as const;

export interface UiOptions {
  first?: (env: Env) => Screen;
  map?: KeyMap;
  colour?: boolean;
  ascii?: boolean;
  reader?: boolean;
  now?: () => number;
}

export function openUi(store: Store, size: Size, options: UiOptions = {}): Ui {
  const escapes: string[] = [];
  const ui = { quits: 0, escapes };
  const theme = createTheme({ colour: options.colour ?? true, ascii: options.ascii ?? false, reader: options.reader ?? false });
  const engine = createEngine({
    source: createSource(store),
    theme,
    map: options.map ?? defaultKeyMap(),
    size,
    first: options.first ?? runsScreen,
    navigate,
    help: helpScreen,
    now: options.now ?? (() => Date.parse('2031-01-01T12:00:00Z')),
    onQuit: () => {
      ui.quits += 1;
    },
    onSuspend: () => {},
    onRedraw: () => {},
    onEscape: sequence => escapes.push(sequence),
  });
  widen(size.columns);
  const app = render(createElement(App, { engine }));
  const raw = (): string => app.lastFrame() ?? '';
  const frame = (): string[] => {
    const lines = stripVTControlCharacters(raw()).split('\n');
    const { columns, rows } = engine.state().size;
    expect(lines.length, 'lines of the frame').toBeLessThanOrEqual(rows);
    for (const line of lines) expect(stringWidth(line), line).toBeLessThanOrEqual(columns);
    return lines;
  };
  const send = async (...keys: string[]): Promise<void> => {
    for (const key of keys) {
      app.stdin.write(key);
      // An escape alone is told from the start of a sequence by time.
      await pause(key === KEY.esc ? 60 : 5);
    }
  };
  return Object.assign(ui, {
    engine,
    send,
    type: async (text: string) => send(text, KEY.enter),
    frame,
    raw,
    async shows(text: string) {
      const until = Date.now() + 20_000;
      while (!frame().join('\n').includes(text)) {
        if (Date.now() > until) throw new Error(`no frame shows ${JSON.stringify(text)}; the last one is\n${frame().join('\n')}`);
        await pause(10);
      }
      return frame();
    },
    [Symbol.dispose]() {
      app.unmount();
      app.cleanup();
    },
  });
}

/** The library's terminal is 100 columns wide; its class is not exported. */
function widen(columns: number): void {
  const probe = render(createElement(Text, null, ''));
  Object.defineProperty(Object.getPrototypeOf(probe.stdout), 'columns', { get: () => columns, configurable: true });
  probe.unmount();
  probe.cleanup();
}

export async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms));
}
