import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Key } from 'ink';
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { widthOf } from '../../src/commands/columns.ts';
import { childWords } from '../../ui/child.ts';
import { hexBytes, hexLine } from '../../ui/hex.ts';
import { characterAt, editInput, insertText, remember, startInput } from '../../ui/input.ts';
import { COMMANDS, defaultKeyMap, keysText, resolveKey } from '../../ui/keymap.ts';
import { keySequence, keysOf } from '../../ui/keys.ts';
import { keysFile, readKeyMap } from '../../ui/keys-file.ts';
import { LIST_START, type Move, moveList, settle } from '../../ui/list.ts';
import { paintLine } from '../../ui/paint.ts';
import { detailLines } from '../../ui/panes/table.ts';
import { textOfLine } from '../../ui/search.ts';
import { cut, cutStart, pad, span, wrapText } from '../../ui/text.ts';
import { createTheme } from '../../ui/theme.ts';
import { openTree, rebuildTree, searchTree, type TreeNode, toggle, toggleAll } from '../../ui/tree.ts';
import { currentRow, moveWindow, type Pages, refreshWindow, windowAround, windowAtEnd, windowAtStart } from '../../ui/window.ts';
import { fc } from '../rig/properties.ts';

const MOVES: readonly Move[] = ['up', 'down', 'half-up', 'half-down', 'page-up', 'page-down', 'top', 'bottom'];

describe('a list', () => {
  test('keeps its cursor on a row, and the row on the screen, whatever is done', () => {
    fc.assert(
      fc.property(
        fc.nat(500),
        fc.array(fc.tuple(fc.constantFrom(...MOVES), fc.integer({ min: 1, max: 60 })), { maxLength: 40 }),
        (count, steps) => {
          let state = LIST_START;
          for (const [move, height] of steps) {
            state = moveList(state, move, count, height);
            expect(state.cursor).toBeGreaterThanOrEqual(0);
            expect(state.cursor).toBeLessThan(Math.max(1, count));
            expect(state.top).toBeLessThanOrEqual(state.cursor);
            expect(state.cursor).toBeLessThan(state.top + height);
            expect(settle(state, count, height)).toEqual(state);
          }
        },
      ),
    );
  });
});

/** A list of numbers as the store gives its rows: by key, some at a time. */
function numbers(all: readonly number[]): Pages<number> {
  return {
    key: row => row,
    after: (key, limit) => all.filter(row => key === null || row > key).slice(0, limit),
    before: (key, limit) => all.filter(row => key === null || row < key).slice(-limit),
  };
}

describe('a window into a long list', () => {
  test('shows the same rows as the whole list would', () => {
    const all = Array.from({ length: 3000 }, (_, i) => i * 3 + 1);
    const pages = numbers(all);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.array(fc.tuple(fc.constantFrom(...MOVES), fc.nat(30)), { maxLength: 30 }),
        (height, steps) => {
          let window = windowAtStart(pages, height);
          let plain = LIST_START;
          for (const [move, times] of steps) {
            for (let i = 0; i <= times; i += 1) {
              window = moveWindow(window, pages, move, height);
              plain = moveList(plain, move, all.length, height);
            }
            expect(currentRow(window)).toBe(all[plain.cursor]);
            expect(window.rows.slice(window.top, window.top + height)).toEqual(all.slice(plain.top, plain.top + height));
            expect(window.rows.length).toBeLessThanOrEqual(900);
            if (window.first !== null) expect(window.rows[0]).toBe(all[window.first]);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('reads no more than some pages, wherever it goes', () => {
    let read = 0;
    const pages: Pages<number> = {
      key: row => row,
      after(key, limit) {
        read += limit;
        return Array.from({ length: limit }, (_, i) => (key ?? 0) + i + 1);
      },
      before(key, limit) {
        read += limit;
        const end = key ?? 1_000_001;
        return Array.from({ length: limit }, (_, i) => end - limit + i).filter(row => row > 0);
      },
    };
    let window = windowAtEnd(pages, 40);
    expect(currentRow(window)).toBe(1_000_000);
    for (let i = 0; i < 100; i += 1) window = moveWindow(window, pages, 'page-up', 40);
    expect(read).toBeLessThan(5000);
    expect(window.rows.length).toBeLessThanOrEqual(800);
  });

  test('keeps its row when rows come, and goes to the newest when it follows', () => {
    const all = Array.from({ length: 50 }, (_, i) => i + 1);
    let window = moveWindow(windowAtStart(numbers(all), 20), numbers(all), { to: 7 }, 20);
    all.push(51, 52, 53);
    window = refreshWindow(window, numbers(all), false, 20);
    expect(currentRow(window)).toBe(8);
    expect(window.rows.at(-1)).toBe(53);
    expect(currentRow(refreshWindow(window, numbers(all), true, 20))).toBe(53);
    const around = windowAround(numbers(all), 30, 30, 10);
    expect(currentRow(around)).toBe(30);
  });
});

describe('text', () => {
  test('is cut and filled to columns, wide characters and escapes included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.integer({ min: 1, max: 40 }), (text, columns) => {
        expect(widthOf(cut(text, columns))).toBeLessThanOrEqual(columns);
        expect(stringWidth(pad(text, columns))).toBe(columns);
        expect(widthOf(cutStart(text, columns))).toBeLessThanOrEqual(columns);
        for (const part of wrapText(text, columns)) expect(widthOf(part)).toBeLessThanOrEqual(Math.max(4, columns));
      }),
    );
  });

  test('of megabytes only what is shown is measured; what is cut at the end is said to be', () => {
    const text = 'größe 漢字 '.repeat(1 << 20);
    const lines = wrapText(text, 40, 500);
    expect(lines).toHaveLength(500);
    expect(lines.at(-1)).toMatch(/…$/);
    expect(text.startsWith(lines.slice(0, -1).join(' ').slice(0, 1000))).toBe(true);
    const below = detailLines([['message', text]], 80, 5);
    expect(below.length).toBe(5);
    expect(wrapText('one two', 3, 2)).toEqual(['one', 'two']);
    expect(wrapText('one two three', 3, 2)).toEqual(['one', 'tw…']);
  });

  test('wrapped text has all of its words in their order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-zä漢é]{1,12}$/), { maxLength: 30 }),
        fc.integer({ min: 2, max: 50 }),
        (words, columns) => {
          const bare = (parts: readonly string[]): string => parts.join('').replaceAll(' ', '');
          expect(bare(wrapText(words.join(' '), columns))).toBe(bare(words));
        },
      ),
    );
  });

  test('a row of hex fits the terminal, and uses it', () => {
    for (let columns = 40; columns <= 200; columns += 1) {
      const perRow = hexBytes(columns);
      const width = (bytes: number): number => widthOf(textOfLine(hexLine(new Uint8Array(bytes), 0, bytes)));
      expect(width(perRow)).toBeLessThanOrEqual(columns);
      if (perRow < 32) expect(width(perRow * 2)).toBeGreaterThan(columns);
    }
  });

  test('never steers the terminal', () => {
    const theme = createTheme({ colour: true, ascii: false });
    const painted = paintLine([span('\x1b[2Jgone\r\n\x07‮', 'error')], 80, theme);
    expect(painted).toBe('\x1b[1m\x1b[91m\\x1b[2Jgone\\x0d\\x0a\\x07\\u{202e}\x1b[22m\x1b[39m');
  });

  test('says at the edge that something was cut', () => {
    const theme = createTheme({ colour: false, ascii: false });
    expect(paintLine([span('abc'), span('def')], 5, theme)).toBe('abcd…');
    expect(paintLine([span('abc'), span('def')], 6, theme)).toBe('abcdef');
    expect(paintLine([span('漢字漢字')], 5, theme)).toBe('漢字…');
  });
});

describe('a tree', () => {
  const leaf = (key: string): TreeNode => ({ key, label: [span(key)] });
  const branch = (key: string, ...kids: TreeNode[]): TreeNode => ({ key, label: [span(key)], kids: () => kids });
  const roots = [branch('a', branch('b', leaf('deep'), leaf('other')), leaf('c')), leaf('d')];
  const names = (state: ReturnType<typeof openTree>): string[] => state.rows.map(row => row.node.key);

  test('unfolds one level at a time, and folds what is below as well', () => {
    let tree = openTree(roots, 0);
    expect(names(tree)).toEqual(['a', 'd']);
    tree = toggle(tree, 0);
    expect(names(tree)).toEqual(['a', 'b', 'c', 'd']);
    tree = toggle(toggle(tree, 1), 0);
    expect(names(tree)).toEqual(['a', 'd']);
    expect(names(toggleAll(tree))).toEqual(['a', 'b', 'deep', 'other', 'c', 'd']);
  });

  test('made anew is unfolded where it was, and what is new as at the start', () => {
    const open = (key: string, ...kids: TreeNode[]): TreeNode => ({ ...branch(key, ...kids), expanded: true });
    expect(names(rebuildTree(openTree([], 1), roots))).toEqual(names(openTree(roots, 1)));
    const tree = toggle(openTree(roots, 1), 0);
    expect(names(tree)).toEqual(['a', 'd']);
    const more = [...roots, open('e', open('f', leaf('g'))), branch('h', branch('i', leaf('j')))];
    expect(names(rebuildTree(tree, more))).toEqual(['a', 'd', 'e', 'f', 'g', 'h', 'i']);
  });

  test('finds what is folded, forward and backward', () => {
    const found = searchTree(openTree(roots, 0), 'deep', 1, true)!;
    expect(names(found)).toEqual(['a', 'b', 'deep', 'other', 'c', 'd']);
    expect(found.rows[found.place.cursor]?.node.key).toBe('deep');
    const back = searchTree({ ...openTree(roots, 0), place: { cursor: 1, top: 0 } }, 'other', -1, false)!;
    expect(back.rows[back.place.cursor]?.node.key).toBe('other');
    expect(searchTree(openTree(roots, 0), 'nowhere', 1, true)).toBeNull();
  });
});

describe('a typed line', () => {
  test('is edited as in a shell', () => {
    let state = startInput('', ['older', 'newer']);
    for (const key of ['a', 'space', 'b', 'c']) state = editInput(state, key)!;
    expect(state.text).toBe('a bc');
    expect(editInput(state, 'ctrl-w')!.text).toBe('a ');
    expect(editInput(editInput(state, 'ctrl-a')!, 'ctrl-k')!.text).toBe('');
    expect(editInput(editInput(state, 'left')!, 'backspace')!.text).toBe('a c');
    const recalled = editInput(editInput(state, 'up')!, 'up')!;
    expect(recalled.text).toBe('older');
    expect(editInput(editInput(recalled, 'down')!, 'down')!.text).toBe('a bc');
    expect(editInput(editInput(state, 'ctrl-p')!, 'ctrl-n')!.text).toBe('a bc');
    expect(editInput(state, 'enter')).toBeNull();
    expect(remember(['a', 'b'], 'a')).toEqual(['b', 'a']);
  });

  test('has words for alt-b, alt-f, alt-d and alt-backspace', () => {
    const line = startInput('~phase file & größe');
    const keys = (...all: string[]): [string, number] => {
      const { text, cursor } = all.reduce((state, key) => editInput(state, key)!, line);
      return [text, cursor];
    };
    expect(keys('alt-b')).toEqual(['~phase file & größe', 14]);
    expect(keys('alt-b', 'alt-b')).toEqual(['~phase file & größe', 7]);
    expect(keys('ctrl-a', 'alt-f')).toEqual(['~phase file & größe', 6]);
    expect(keys('ctrl-a', 'alt-f', 'alt-d')).toEqual(['~phase & größe', 6]);
    expect(keys('alt-backspace')).toEqual(['~phase file & ', 14]);
    expect(keys('ctrl-a', 'ctrl-d')).toEqual(['phase file & größe', 0]);
    expect(keys('alt-b', 'ctrl-u')).toEqual(['größe', 0]);
  });

  test('goes by what is read as one character, and never halves one', () => {
    for (const one of ['é', 'e\u0301', '👍🏽', '👩‍👩‍👧', '🇩🇪', '漢']) {
      const line = startInput(`a${one}`);
      expect(editInput(line, 'backspace')).toMatchObject({ text: 'a', cursor: 1 });
      expect(editInput(line, 'left')).toMatchObject({ cursor: 1 });
      expect(editInput(editInput(line, 'left')!, 'right')).toMatchObject({ cursor: 1 + one.length });
      expect(editInput(editInput(line, 'left')!, 'ctrl-d')).toMatchObject({ text: 'a', cursor: 1 });
      expect(characterAt(editInput(line, 'left')!)).toBe(one);
    }
    const full = insertText(startInput(), `${'x'.repeat(9_999)}👍`);
    expect(full).toMatchObject({ text: 'x'.repeat(9_999), cursor: 9_999 });
  });
});

describe('keys of a terminal', () => {
  /** What Ink says about an event that it has no name for. */
  const NO_KEY = Object.fromEntries(
    [...'upArrow downArrow leftArrow rightArrow pageUp pageDown home end return escape tab backspace delete'.split(' ')]
      .concat('ctrl shift meta super hyper capsLock numLock'.split(' '))
      .map(name => [name, false]),
  ) as unknown as Key;

  test('control characters that came in one read with others have the names that keys.yaml has for them', () => {
    const keys = keysOf('\x01\x1a\x1c\x1d\x1e\x1f\x00', NO_KEY);
    expect(keys).toEqual(['ctrl-a', 'ctrl-z', 'ctrl-\\', 'ctrl-]', 'ctrl-^', 'ctrl-_', 'ctrl-@']);
    expect(keys.map(keySequence)).toEqual(keys);
  });

  test('alt-backspace is no backspace', () => {
    expect(keysOf('', { ...NO_KEY, backspace: true, meta: true })).toEqual(['alt-backspace']);
    expect(keysOf('', { ...NO_KEY, backspace: true })).toEqual(['backspace']);
  });
});

test('a command that failed says why, also when a signal ended it', () => {
  const ended = { code: 1, signal: null, out: '', err: '' };
  expect(childWords({ ...ended, err: 'stringtap: no such run\nhint: stringtap runs\n' })).toEqual({
    what: 'no such run',
    hint: 'stringtap runs',
  });
  expect(childWords(ended).what).toBe('it ended with exit code 1');
  expect(childWords({ ...ended, code: null, signal: 'SIGKILL' }).what).toBe('it was ended by SIGKILL');
});

describe('the key map', () => {
  test('names every command once, and no key twice where both could be meant', () => {
    const names = COMMANDS.map(spec => spec.name);
    expect(new Set(names).size).toBe(names.length);
    const taken = new Map<string, string>();
    for (const binding of defaultKeyMap()) {
      expect(keySequence(binding.keys), binding.keys).toBe(binding.keys);
      for (const scope of binding.scopes) {
        const place = `${scope} ${binding.keys}`;
        expect(taken.get(place), place).toBeUndefined();
        taken.set(place, binding.action.name);
      }
    }
  });

  test('prefers what is more special, and knows sequences', () => {
    const map = defaultKeyMap();
    expect(resolveKey(map, ['tree', 'exchange'], '', 'space')).toMatchObject({ action: { name: 'fold' } });
    expect(resolveKey(map, ['runs'], '', 'space')).toEqual({ type: 'none' });
    expect(resolveKey(map, [], '', 'y')).toMatchObject({ type: 'pending', keys: 'y' });
    expect(resolveKey(map, [], 'y', 'u')).toMatchObject({ type: 'action', action: { name: 'copy', argument: 'url' } });
    expect(keysText(map, 'tab')).toBe('1 … 9');
  });

  test('is changed by keys.yaml; what is wrong in it is told', () => {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-keys-'));
    try {
      const file = join(dir, 'keys.yaml');
      expect(readKeyMap(file)).toEqual({ map: defaultKeyMap(), problems: [] });
      writeFileSync(file, 'down: [n, Ctrl-N]\nquit: []\ntab 3: alt-3\nnonsense: x\nup: nokey\nhelp: "y h"\n');
      const { map, problems } = readKeyMap(file);
      expect(keysText(map, 'down')).toBe('n, ctrl-n');
      expect(keysText(map, 'quit')).toBe('');
      expect(keysText(map, 'up')).toBe('k, up');
      expect(resolveKey(map, [], '', 'alt-3')).toMatchObject({ action: { name: 'tab', argument: '3' } });
      expect(resolveKey(map, [], '', '3')).toEqual({ type: 'none' });
      expect(resolveKey(map, [], 'y', 'h')).toMatchObject({ action: { name: 'help' } });
      expect(problems).toHaveLength(2);
      expect(problems[0]).toContain('there is no command "nonsense"');
      expect(problems[1]).toContain('"nokey" is no key');
      writeFileSync(file, 'down: [');
      expect(readKeyMap(file).problems[0]).toContain('not YAML');
      writeFileSync(file, '- a list');
      expect(readKeyMap(file).problems[0]).toContain('expected lines');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
    expect(keysFile({ XDG_CONFIG_HOME: '/etc/xdg' })).toBe('/etc/xdg/stringtap/keys.yaml');
    expect(keysFile({ XDG_CONFIG_HOME: 'relative', HOME: '/home/a' })).toBe('/home/a/.config/stringtap/keys.yaml');
  });
});
