import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PkiError } from './error.ts';

/**
 * Files of ours hold private keys, so: 0600 in 0700 folders, written whole or not at all, and nothing is read or written through a
 * symbolic link that somebody left in a folder of ours. Synchronous: a few kilobytes, only when something is enrolled or pinned.
 */

/** No file that we read here has a reason to be larger, but the revocation list of an old and large Puppet CA. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** `ENOENT` and the like, or `null` for what no system call threw. */
function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** Node's message names the call and the path twice; a person needs the path and the code. */
function failed(what: string, path: string, error: unknown): PkiError {
  if (error instanceof PkiError) return error;
  const code = codeOf(error) ?? 'unknown error';
  return new PkiError(`cannot ${what} ${path}: ${code}`, HINTS.get(code) ?? '--certs DIR takes another folder');
}

const HINTS = new Map([
  ['EACCES', 'run stringtap as the user who owns the folder, or give another one with --certs'],
  ['EPERM', 'run stringtap as the user who owns the folder, or give another one with --certs'],
  ['EROFS', 'the file system is read-only: give another folder with --certs'],
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'the disk quota is used up'],
  ['EMFILE', 'too many files and connections are open: a higher limit, by ulimit -n, before stringtap is started'],
  ['ENFILE', 'too many files are open on this machine'],
  ['ENAMETOOLONG', 'the name is too long for this file system'],
]);

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw failed('look at', path, error);
  }
}

/**
 * Makes the folder (0700, parents too) or checks the one that is there: no symbolic link, and nobody else may write into it.
 * @throws PkiError
 */
export function privateFolder(path: string): void {
  const found = statOf(path);
  if (found === null) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw failed('make the folder', path, error);
    }
    return;
  }
  if (found.isSymbolicLink()) throw new PkiError(`${path} is a symbolic link`, 'put a real folder there: keys are kept below it');
  if (!found.isDirectory()) throw new PkiError(`${path} is not a folder`, 'move it away');
  if ((found.mode & 0o022) !== 0) {
    throw new PkiError(`others may write into ${path}, which holds private keys`, `chmod 700 ${path}`);
  }
}

/** The file names of a folder, none when the folder is not there. Names of unfinished writes are left out. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(name => !name.startsWith('.'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw failed('read the folder', folder, error);
  }
}

/** Changes whenever the file is replaced: inode, size and time of the last change; `null` when there is no file. */
export function stampOf(path: string): string | null {
  const found = statOf(path);
  return found === null ? null : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

/** When the file was last written, ms; `null` when there is none. */
export function writtenAt(path: string): number | null {
  return statOf(path)?.mtimeMs ?? null;
}

/**
 * The text of a file of ours, `null` when there is none.
 * @throws PkiError for a symbolic link, anything that is no plain file, one over 64 MiB, and with `secret` one that others may read
 */
export function readOwn(path: string, options: { secret: boolean }): string | null {
  // A link as the last part of the path is refused by open(2) itself; NONBLOCK so that a FIFO does not hang the proxy.
  return read(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK, stats => {
    if (options.secret && (stats.mode & 0o077) !== 0) {
      throw new PkiError(`others may read ${path}, which holds a private key`, `chmod 600 ${path}`);
    }
  });
}

/** The text of a file that the user named (links are followed, the mode is the user's business); `null` when there is none. */
export function readForeign(path: string): string | null {
  return read(path, constants.O_RDONLY | constants.O_NONBLOCK, () => undefined);
}

function read(path: string, flags: number, check: (stats: Stats) => void): string | null {
  let file: number;
  try {
    file = openSync(path, flags);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    if (codeOf(error) === 'ELOOP') throw new PkiError(`${path} is a symbolic link`, 'put the file itself there');
    throw failed('read', path, error);
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new PkiError(`${path} is not a plain file`);
    if (stats.size > MAX_FILE_BYTES) throw new PkiError(`${path} is too large: ${stats.size} bytes`);
    check(stats);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw failed('read', path, error);
  } finally {
    closeSync(file);
  }
}

/**
 * Writes the file whole or not at all: a temporary file beside it, flushed, then renamed over it. Mode 0600, its folder 0700.
 * @throws PkiError
 */
export function writeOwn(path: string, text: string): void {
  const folder = dirname(path);
  privateFolder(folder);
  const old = statOf(path);
  if (old !== null && !old.isFile()) throw new PkiError(`${path} is not a plain file`, 'move it away');
  // Not named after the file: a certname may be as long as a file name can be. The dot keeps it out of `namesIn`.
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    discard(temporary);
    throw failed('write', path, error);
  }
  syncFolder(folder);
}

/** Creates the file with mode 0600 unless one of that name is there. `true` when it was created. */
export function createOwn(path: string, text: string): boolean {
  privateFolder(dirname(path));
  try {
    writeFileSync(path, text, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw failed('write', path, error);
  }
  syncFolder(dirname(path));
  return true;
}

/** Removes a file; one that is not there is fine. */
export function removeOwn(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw failed('remove', path, error);
  }
}

/** Puts a folder that was prepared beside it in its place. `false` when somebody else's is already there and holds something. */
export function moveFolder(from: string, to: string): boolean {
  try {
    chmodSync(from, 0o700);
    renameSync(from, to);
  } catch (error) {
    if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return false;
    throw failed('make', to, error);
  }
  syncFolder(dirname(to));
  return true;
}

/** A folder name beside `path` that nothing has. */
export function besides(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
}

/** Removes a folder of ours with all that is in it; one that is not there is fine. */
export function removeFolder(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    throw failed('remove', path, error);
  }
}

function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made, or is renamed already: the error that led here is the one that counts.
  }
}

/** A rename lasts through a power cut only once the folder is flushed; some file systems cannot, and then nothing is lost but that. */
function syncFolder(folder: string): void {
  try {
    const file = openSync(folder, 'r');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    // See above.
  }
}
