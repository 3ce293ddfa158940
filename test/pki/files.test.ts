import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PkiError } from '../../src/pki/error.ts';
import { createOwn, namesIn, privateFolder, readForeign, readOwn, removeOwn, stampOf, writeOwn } from '../../src/pki/files.ts';
import { mode, refusal, tempDir } from './rig.ts';

const secret = { secret: true };

test('what cannot be opened, as too much is open, is said to be that', () => {
  const file = join(tempDir(), 'x');
  writeOwn(file, 'one');
  const code = `import { openSync } from 'node:fs';
    import { readOwn } from ${JSON.stringify(new URL('../../src/pki/files.ts', import.meta.url).href)};
    try { for (;;) openSync('/dev/null'); } catch {}
    try { readOwn(${JSON.stringify(file)}, { secret: true }); } catch (error) { process.stdout.write(error.message + '; ' + error.hint); }`;
  const node = [process.execPath, '--no-warnings', '--input-type=module', '-e', code];
  const said = execFileSync('sh', ['-c', 'ulimit -n 60; exec "$@"', 'sh', ...node], { encoding: 'utf8' });
  expect(said).toMatch(/^cannot read .*: EMFILE; too many files and connections are open: /);
});

describe('writing', () => {
  test('makes 0600 in 0700, whatever the umask, and leaves nothing beside it', () => {
    const dir = join(tempDir(), 'a', 'b');
    const before = process.umask(0);
    try {
      writeOwn(join(dir, 'x'), 'one');
      writeOwn(join(dir, 'x'), 'two');
    } finally {
      process.umask(before);
    }
    expect(mode(join(dir, 'x'))).toBe('600');
    expect(mode(dir)).toBe('700');
    expect(mode(join(dir, '..'))).toBe('700');
    expect(readdirSync(dir)).toEqual(['x']);
    expect(readOwn(join(dir, 'x'), secret)).toBe('two');
  });

  test('replaces the file, never its bytes: who has the old one open reads it to the end', () => {
    const file = join(tempDir(), 'x');
    writeOwn(file, 'one');
    const stamp = stampOf(file);
    writeOwn(file, 'two');
    expect(stampOf(file)).not.toBe(stamp);
  });

  test('does not follow a link, and does not write where others may put files', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'target'), 'kept');
    symlinkSync(join(dir, 'target'), join(dir, 'x'));
    expect(refusal(() => writeOwn(join(dir, 'x'), 'new')).message).toContain('is not a plain file');
    expect(readForeign(join(dir, 'target'))).toBe('kept');
    chmodSync(dir, 0o777);
    expect(refusal(() => writeOwn(join(dir, 'y'), 'new'))).toMatchObject({ hint: `chmod 700 ${dir}` });
    chmodSync(dir, 0o700);
    expect(readdirSync(dir).sort()).toEqual(['target', 'x']);
  });

  test('a name that is taken is not created again', () => {
    const file = join(tempDir(), 'x');
    expect(createOwn(file, 'one')).toBe(true);
    expect(createOwn(file, 'two')).toBe(false);
    expect(readOwn(file, secret)).toBe('one');
  });

  test('a name that is too long is one plain line', () => {
    const error = refusal(() => writeOwn(join(tempDir(), 'x'.repeat(300)), ''));
    expect(error.message).toMatch(/^cannot look at .*: ENAMETOOLONG$/);
  });
});

describe('reading', () => {
  test('what is not there is null', () => {
    expect(readOwn(join(tempDir(), 'x'), secret)).toBeNull();
    expect(readForeign(join(tempDir(), 'x'))).toBeNull();
    removeOwn(join(tempDir(), 'x'));
    expect(namesIn(join(tempDir(), 'x'))).toEqual([]);
    expect(stampOf(join(tempDir(), 'x'))).toBeNull();
  });

  test.each([0o640, 0o604, 0o660, 0o666, 0o610])('a secret with mode %o is refused', bits => {
    const file = join(tempDir(), 'x');
    writeOwn(file, 'key');
    chmodSync(file, bits);
    expect(refusal(() => readOwn(file, secret))).toMatchObject({
      message: `others may read ${file}, which holds a private key`,
      hint: `chmod 600 ${file}`,
    });
    expect(readOwn(file, { secret: false })).toBe('key');
    expect(readForeign(file)).toBe('key');
  });

  test('a link, a folder, a FIFO and a file without an end are refused, and none hangs', () => {
    const dir = tempDir();
    writeOwn(join(dir, 'x'), 'key');
    symlinkSync(join(dir, 'x'), join(dir, 'link'));
    mkdirSync(join(dir, 'folder'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    writeOwn(join(dir, 'large'), '');
    truncateSync(join(dir, 'large'), 65 * 1024 * 1024);
    expect(refusal(() => readOwn(join(dir, 'link'), secret)).message).toContain('is a symbolic link');
    expect(readForeign(join(dir, 'link'))).toBe('key'); // the user's own files may be links
    for (const name of ['folder', 'fifo']) {
      for (const read of [() => readOwn(join(dir, name), { secret: false }), () => readForeign(join(dir, name))]) {
        expect(refusal(read).message).toContain('is not a plain file');
      }
    }
    expect(refusal(() => readOwn(join(dir, 'large'), secret)).message).toContain('is too large: 68157440 bytes');
    expect(refusal(() => readForeign('/dev/zero')).message).toContain('is not a plain file');
  });

  test('leftovers of a process that was killed while writing are not names', () => {
    const dir = tempDir();
    writeFileSync(join(dir, '.0123456789abcdef.tmp'), 'half');
    writeOwn(join(dir, 'x'), '');
    utimesSync(join(dir, 'x'), 1, 1);
    expect(namesIn(dir)).toEqual(['x']);
  });
});

describe('a folder', () => {
  test('may be read by others, not written by them, and is no link and no file', () => {
    const dir = tempDir();
    chmodSync(dir, 0o755);
    privateFolder(dir);
    for (const bits of [0o775, 0o757]) {
      chmodSync(dir, bits);
      expect(() => privateFolder(dir)).toThrow(PkiError);
    }
    chmodSync(dir, 0o700);
    symlinkSync(dir, join(dir, 'link'));
    expect(() => privateFolder(join(dir, 'link'))).toThrow('is a symbolic link');
    writeFileSync(join(dir, 'file'), '');
    expect(() => privateFolder(join(dir, 'file'))).toThrow('is not a folder');
    expect(() => privateFolder(join(dir, 'file', 'below'))).toThrow(PkiError);
  });
});
