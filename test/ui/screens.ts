/*
 * Draws the screens of docs/ui.md anew, from captures/sample.db: `node test/ui/screens.ts`. They stand between `<!-- screen: NAME -->` and
 * `<!-- end -->`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { openStore } from '../../src/capture/store.ts';
import { createEngine, type Engine } from '../../ui/engine.ts';
import { frameOf } from '../../ui/frame.ts';
import { defaultKeyMap } from '../../ui/keymap.ts';
import { navigate } from '../../ui/navigate.ts';
import { createSource } from '../../ui/source.ts';
import { createTheme } from '../../ui/theme.ts';
import { helpScreen } from '../../ui/views/help.ts';
import { runsScreen } from '../../ui/views/runs.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));
const PAGE = fileURLToPath(new URL('../../docs/ui.md', import.meta.url));

/** How high, and what is pressed before a screen is taken. */
const SCREENS: Record<string, { rows: number; keys: readonly string[] }> = {
  runs: { rows: 13, keys: [] },
  run: { rows: 26, keys: ['G', 'enter'] },
};

const store = openStore(SAMPLE);
const engineOf = (rows: number): Engine =>
  createEngine({
    source: createSource(store),
    theme: createTheme({ colour: false, ascii: false }),
    map: defaultKeyMap(),
    size: { columns: 100, rows },
    first: runsScreen,
    navigate,
    help: helpScreen,
    onQuit: () => {},
    onSuspend: () => {},
    onRedraw: () => {},
    onEscape: () => {},
  });

let page = readFileSync(PAGE, 'utf8');
for (const [name, { rows, keys }] of Object.entries(SCREENS)) {
  const engine = engineOf(rows);
  engine.press(keys);
  const lines = frameOf(engine).map(line => stripVTControlCharacters(line).trimEnd());
  const block = ['```', ...lines, '```'].join('\n');
  page = page.replace(
    new RegExp(`(<!-- screen: ${name} -->\n)[\\s\\S]*?(<!-- end -->)`),
    (_, start: string, end: string) => `${start}${block}\n${end}`,
  );
}
writeFileSync(PAGE, page);
store.close();
