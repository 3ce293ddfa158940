import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { svgOf } from './svg.ts';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));

test('the screens of the documentation are drawn by the program, each with all that docs/ui.md has of it', () => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-docs-'));
  try {
    copyFileSync(join(docs, 'ui.md'), join(dir, 'ui.md'));
    execFileSync(process.execPath, [fileURLToPath(new URL('screens.ts', import.meta.url)), dir], { stdio: 'inherit' });
    const page = readFileSync(join(dir, 'ui.md'), 'utf8');
    const named = [...page.matchAll(/<!-- screen: (\w+) -->\n```\n([\s\S]*?)```\n<!-- end -->/g)];
    expect(named.map(([, name]) => `${name}.svg`).sort()).toEqual(readdirSync(join(dir, 'screens')).sort());
    expect(readdirSync(join(docs, 'screens')).sort()).toEqual(readdirSync(join(dir, 'screens')).sort());
    for (const [, name, text = ''] of named) {
      expect(text, name).toContain('sample.db');
      const svg = readFileSync(join(dir, 'screens', `${name}.svg`), 'utf8');
      expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
      expect(svg).toContain('sample.db');
      // Each element that is opened is closed, and nothing of a terminal is left in it.
      expect(svg.match(/<text /g)?.length).toBe(svg.match(/<\/text>/g)?.length);
      expect(svg).not.toContain('\x1b');
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a picture has the text of its frame, with what it means', () => {
  const svg = svgOf(['plain \x1b[1m\x1b[31mred & <bold>\x1b[22m\x1b[39m', '\x1b[7mhere\x1b[27m'], 40);
  expect(svg).toContain('>plain\u00a0</text>');
  expect(svg).toMatch(/fill="#e06c75" font-weight="bold">red\u00a0&amp;\u00a0&lt;bold&gt;<\/text>/);
  expect(svg).toMatch(/<rect x="10\.0" y="28" width="33\.6"/);
});
