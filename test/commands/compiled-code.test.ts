import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeDirectory } from '../../src/commands/compiled-code.ts';
import { tempDir } from '../capture/rig.ts';

test('compiled code is kept in a directory of the user alone', () => {
  using dir = tempDir();
  const home = dir.file('home');
  mkdirSync(home, { mode: 0o700 });
  const kept = codeDirectory({ HOME: home });
  expect(kept).toBe(join(home, '.cache', 'stringtap'));
  expect(statSync(kept!).mode & 0o777).toBe(0o700);
  expect(codeDirectory({ HOME: home, XDG_CACHE_HOME: 'relative' })).toBe(kept);
  const other = dir.file('cache');
  mkdirSync(other, { mode: 0o755 });
  expect(codeDirectory({ HOME: home, XDG_CACHE_HOME: other })).toBe(join(other, 'stringtap'));
});

test('where others can write, or nobody can, none is kept', () => {
  using dir = tempDir();
  for (const open of ['', '.cache', '.cache/stringtap']) {
    const home = dir.file(`home${open.length}`);
    mkdirSync(join(home, '.cache', 'stringtap'), { recursive: true, mode: 0o700 });
    expect(codeDirectory({ HOME: home })).not.toBeNull();
    chmodSync(join(home, open), 0o777);
    expect(codeDirectory({ HOME: home }), open).toBeNull();
  }
  for (const nowhere of ['/proc/nowhere', dir.file('nowhere')]) {
    expect(codeDirectory({ HOME: nowhere })).toBeNull();
    expect(existsSync(nowhere)).toBe(false);
  }
});

test.runIf(process.getuid?.() === 0)('what belongs to somebody else is not used by root', () => {
  using dir = tempDir();
  for (const theirs of ['', '.cache', '.cache/stringtap']) {
    const home = dir.file(`their${theirs.length}`);
    mkdirSync(join(home, '.cache', 'stringtap'), { recursive: true, mode: 0o700 });
    chownSync(join(home, theirs), 65534, 65534);
    expect(codeDirectory({ HOME: home }), theirs).toBeNull();
  }
});
