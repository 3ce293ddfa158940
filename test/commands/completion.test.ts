import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unquoted } from '../../src/commands/completion.ts';
import { type Folder, folder } from '../export/rig.ts';
import { stringtap } from './stringtap.ts';

const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

let dir: Folder;

beforeAll(() => {
  dir = folder();
  mkdirSync(dir.path('captures'));
  mkdirSync(dir.path('some certs'));
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), dir.path('captures/monday.db'));
});
afterAll(() => dir[Symbol.dispose]());

/** What `complete` says for these words, the last one being typed. */
async function candidates(...words: string[]): Promise<{ texts: string[]; paths: string }> {
  const { code, stdout, stderr } = await stringtap(dir.dir, 'complete', 'bash', '--', ...words);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.trimEnd().split('\n');
  return { texts: lines.slice(0, -1).map(line => line.split('\t')[0] ?? ''), paths: lines.at(-1) ?? '' };
}

describe('candidates', () => {
  test.each([
    [['ru'], ['run', 'runs']],
    [['help', 'ide'], ['identity']],
    [
      ['identity', ''],
      ['import', 'list', 'remove', 'help'],
    ],
    [
      ['help', 'ca', ''],
      ['show', 'export', 'help'],
    ],
    [['exchanges', '--ou'], ['--outcome']],
    [
      ['exchanges', '--outcome', ''],
      ['answered', 'failed', 'abandoned'],
    ],
    [['exchanges', '--outcome=f'], ['--outcome=failed']],
    [['exchanges', '--limit', '5', '--ou'], ['--outcome']],
    [['show', 'r1', 'ev'], ['events']],
    [['runs', '~c 4xx ~pha'], ['~c 4xx ~phase']],
    [['exchanges', '~c', '4xx', '~phase', 'cat'], ['catalog']],
    [['runs', '--certname', 'w'], ['web01.lab']],
    [['exchanges', "'~certname d"], ['~certname db01.lab']],
    [['findings', '--explain', 'catalog-c'], ['catalog-compile-failed']],
    [['export', 'r1', '--capture', ''], ['captures/monday.db']],
    [
      ['show', ''],
      ['r7', 'r6', 'r5', 'r4', 'r3', 'r2', 'r1'],
    ],
    [['proxy', '--primary', 'HOST', '--identity', 'h'], ['headers']],
    [['completion', 'z'], ['zsh']],
    [['nothing', ''], []],
  ])('%j', async (words, expected) => {
    expect((await candidates(...words)).texts).toEqual(expected);
  });

  test('of an argument that names no values, files fit; of DIR folders; of a number nothing', async () => {
    expect(await candidates('join', 'x')).toEqual({ texts: [], paths: ':files' });
    expect(await candidates('proxy', '--certs', '')).toEqual({ texts: [], paths: ':folders' });
    expect(await candidates('proxy', '--keylog=x')).toEqual({ texts: [], paths: ':files' });
    expect(await candidates('runs', '--limit', '')).toEqual({ texts: [], paths: ':' });
  });

  test("the words of another program's command line are its own", async () => {
    expect(await candidates('run', '--', 'puppet', 'agent', '--t')).toEqual({ texts: [], paths: ':files' });
    expect(await candidates('run', 'puppet', 'agent', '--p')).toEqual({ texts: [], paths: ':files' });
    expect((await candidates('run', '--p')).texts).toEqual(['--pool']);
  });

  test('a capture that is none, or is not there, leaves the rest as it is', async () => {
    writeFileSync(dir.path('none.db'), 'nothing');
    expect((await candidates('note', '--capture', 'none.db', 'r')).texts).toEqual([]);
    expect((await candidates('runs', 'none.db', '~ph')).texts).toEqual(['~phase']);
    expect((await candidates('runs', 'gone.db', '~ph')).texts).toEqual(['~phase']);
    expect(existsSync(dir.path('gone.db'))).toBe(false);
  });
});

test.each([
  ['plain', 'plain'],
  ["'a b'", 'a b'],
  ["'~c 4xx ~ph", '~c 4xx ~ph'],
  [String.raw`"a \"b\" \$c \d`, String.raw`a "b" $c \d`],
  [String.raw`a\ b\~`, 'a b~'],
  ['"open\\', 'open'],
  ['$(x)', '$(x)'],
])('unquoted: %s', (word, text) => expect(unquoted(word)).toBe(text));

const lacking = ['bash', 'script'].filter(name => spawnSync(name, ['--version']).status !== 0);

const untried = lacking.length > 0 ? ` (not tried: there is no ${lacking.join(' and no ')})` : '';

describe.skipIf(untried !== '')(`in bash, at a terminal${untried}`, () => {
  test('tab completes commands, choices after a blank and after =, filters, ids and paths; what was typed is not run', async () => {
    const ran = await typed([
      'stringtap exch\t\r',
      'stringtap exchanges --phase catal\t\r',
      'stringtap exchanges --phase=catal\t\r',
      "stringtap exchanges '~c 4xx ~pha\t\r",
      'stringtap exchanges ~pha\tcatal\t\r',
      'stringtap exchanges --certname db\t\r',
      'stringtap findings --explain catalog-c\t\r',
      'stringtap runs captures/m\t\r',
      'stringtap ca show --certs so\t\r',
      'stringtap show $(touch pwned) --he\t\u0015',
      'stringtap show `touch pwned` "$(touch pwned) --he\t\u0015',
    ]);
    expect(ran).toEqual([
      'exchanges',
      'exchanges --phase catalog',
      'exchanges --phase=catalog',
      'exchanges ~c 4xx ~phase',
      'exchanges ~phase catalog',
      'exchanges --certname db01.lab',
      'findings --explain catalog-compile-failed',
      'runs captures/monday.db',
      'ca show --certs some certs/',
    ]);
    expect(existsSync(dir.path('pwned'))).toBe(false);
  });
});

/** Types into an interactive bash; the words of each `stringtap` that it then ran. */
async function typed(lines: readonly string[]): Promise<string[]> {
  const wrapper = dir.path('bin/stringtap');
  mkdirSync(dirname(wrapper));
  const real = `exec '${process.execPath}' '${bin}' "$@"`;
  writeFileSync(wrapper, `#!/bin/sh\ncase $1 in complete|completion) ${real} ;; esac\necho "ran[$*]"\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${dirname(wrapper)}:${process.env.PATH}`, TERM: 'dumb', INPUTRC: '/dev/null' };
  const shell = spawn('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], { cwd: dir.dir, env });
  let text = '';
  shell.stdout.on('data', chunk => {
    text += String(chunk);
  });
  const end = new Promise(resolve => shell.once('close', resolve));
  shell.stdin.write('source <(stringtap completion bash)\r');
  for (const line of lines) shell.stdin.write(line);
  shell.stdin.write('exit\r');
  await end;
  return [...text.matchAll(/^ran\[(.*)\]\r?$/gm)].map(match => match[1] ?? '');
}
