/*
 * Draws the screens of the documentation anew, from captures/sample.db: `npm run screens`. In docs/ui.md they stand as text between
 * `<!-- screen: NAME -->` and `<!-- end -->`; docs/screens/NAME.svg has them with their colours. Another folder than docs/ may be named.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
import { svgOf } from './svg.ts';

process.env.TZ = 'UTC';
const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));
const docs = process.argv[2] ?? fileURLToPath(new URL('../../docs', import.meta.url));
const COLUMNS = 100;
/** A screen that is still not there is an error. */
const WAIT_MS = 30_000;

interface Shot {
  rows: number;
  /** Pressed one by one; of a list, each is typed as text. */
  keys: readonly (string | readonly string[])[];
  /** Text that tells that the screen is there. */
  shows: string;
}

const typed = (text: string): string[] => [...text].map(character => (character === ' ' ? 'space' : character));

/** How high, and what is pressed before a screen is taken. */
const SCREENS: Record<string, Shot> = {
  runs: { rows: 13, keys: [], shows: 'RESULT' },
  run: { rows: 26, keys: ['G', 'enter'], shows: '1 Requests' },
  connections: { rows: 24, keys: ['G', 'enter', 'C'], shows: '1 Lanes' },
  times: { rows: 18, keys: ['T', 'b', 'b', 'b'], shows: 'POST catalog' },
  diff: { rows: 24, keys: ['G', 'space', 'k', 'space', 'd'], shows: ' and r' },
  replay: { rows: 24, keys: ['G', 'R', typed('puppet8.example.com --enrol'), 'enter'], shows: 'Nothing is sent yet' },
  sql: {
    rows: 18,
    keys: [
      ';',
      typed(
        'select phase, count(*) n, sum(duration_ms) ms, sum(response_bytes) bytes from v_exchange group by 1 order by ms desc',
      ),
      'enter',
    ],
    shows: 'bytes',
  },
};

const dir = mkdtempSync(join(tmpdir(), 'stringtap-screens-'));
copyFileSync(SAMPLE, join(dir, 'sample.db'));
const store = openStore(join(dir, 'sample.db'));
/** Soon after the last run: the pictures are the same whenever they are drawn. */
const drawnAt = Date.parse([...store.runs({ reverse: true, limit: 1 })][0]!.startedAt) + 60_000;
const source = createSource(store);
const engineOf = (rows: number): Engine =>
  createEngine({
    source,
    theme: createTheme({ colour: true, ascii: false }),
    map: defaultKeyMap(),
    size: { columns: COLUMNS, rows },
    first: runsScreen,
    navigate,
    help: helpScreen,
    now: () => drawnAt,
    onQuit: () => {},
    onSuspend: () => {},
    onRedraw: () => {},
    onEscape: () => {},
  });

async function shot({ rows, keys, shows }: Shot): Promise<string[]> {
  const engine = engineOf(rows);
  for (const key of keys) engine.press(typeof key === 'string' ? [key] : key);
  const until = Date.now() + WAIT_MS;
  for (;;) {
    const { job, prompt } = engine.state();
    const lines = frameOf(engine);
    if (job === null && prompt === null && lines.some(text => stripVTControlCharacters(text).includes(shows))) return lines;
    if (Date.now() > until) throw new Error(`no ${shows}:\n${lines.join('\n')}`);
    await sleep(20);
  }
}

const page = join(docs, 'ui.md');
let text = existsSync(page) ? readFileSync(page, 'utf8') : '';
mkdirSync(join(docs, 'screens'), { recursive: true });
try {
  for (const [name, wanted] of Object.entries(SCREENS)) {
    const lines = await shot(wanted);
    writeFileSync(join(docs, 'screens', `${name}.svg`), svgOf(lines, COLUMNS));
    const block = ['```', ...lines.map(line => stripVTControlCharacters(line).trimEnd()), '```'].join('\n');
    text = text.replace(
      new RegExp(`(<!-- screen: ${name} -->\n)[\\s\\S]*?(<!-- end -->)`),
      (_, start: string, end: string) => `${start}${block}\n${end}`,
    );
  }
  if (text !== '') writeFileSync(page, text);
} finally {
  await source.close();
  store.close();
  rmSync(dir, { recursive: true, force: true });
}
