import { closeSync, fstatSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CliError, type Io } from './io.ts';

/** Files and folders that a command makes. */
export interface Output {
  /** With those that it is in. @throws {CliError} */
  folder(dir: string): void;
  /** For nobody but its owner. @throws {CliError} */
  file(path: string, content: string | Uint8Array): void;
  /** The same of a large one. Rejects with a {@link CliError}, or what the pieces threw. */
  pieces(path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
}

/**
 * Has a command write files. When it fails, what it made is removed again: half of a folder may well pass for a whole one. What was there before stays; a
 * file of it that was written anew stays so, and the one that was being written goes.
 */
export async function withOutput(work: (output: Output) => Promise<void>): Promise<void> {
  const made: string[] = [];
  try {
    await work(createOutput(made));
  } catch (error) {
    for (const path of made.reverse()) rmSync(path, { recursive: true, force: true });
    throw error;
  }
}

/** @param made gets what was not there before: a folder stands for all that is put into it */
function createOutput(made: string[]): Output {
  let known = '';

  function isNew(path: string): void {
    const last = made.at(-1);
    if (last === undefined || !path.startsWith(`${last}${sep}`)) made.push(path);
  }

  function folder(dir: string): void {
    try {
      mkdirSync(dir, { mode: 0o700 });
      isNew(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' && dirname(dir) !== dir) {
        folder(dirname(dir));
        folder(dir);
      } else if (code !== 'EEXIST' || statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true)
        throw cannotWrite(error, dir);
    }
  }

  /** A file that is there is written anew, also through a link. */
  function open(path: string): number {
    try {
      const fd = openSync(path, 'wx', 0o600);
      isNew(path);
      return fd;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(error, path);
      return openOutput(path);
    }
  }

  return {
    folder(dir) {
      if (dir !== known) folder(dir);
      known = dir;
    },
    file(path, content) {
      const fd = open(path);
      let isWhole = false;
      try {
        writeAll(fd, path, typeof content === 'string' ? Buffer.from(content) : content);
        isWhole = true;
      } finally {
        close(fd, path, isWhole);
      }
    },
    async pieces(path, content) {
      const fd = open(path);
      let isWhole = false;
      try {
        for await (const piece of content) writeAll(fd, path, piece);
        isWhole = true;
      } finally {
        close(fd, path, isWhole);
      }
    },
  };
}

/** Pieces are gathered to so many characters before they are written; what decompressed the bodies in them is freed when the event loop turns. */
const GATHERED = 64 << 10;

/** To a file that only its owner may read, or to stdout. @throws {CliError} when it cannot be written */
export async function writeText(
  io: Io,
  file: string | undefined,
  pieces: AsyncIterable<string> | Iterable<string>,
): Promise<void> {
  const fd = file === undefined || file === '-' ? null : openOutput(file);
  const put = (text: string): void => {
    if (fd === null) io.write(Buffer.from(text));
    else writeAll(fd, file!, Buffer.from(text));
  };
  let gathered = '';
  let isWhole = false;
  try {
    for await (const piece of pieces) {
      gathered += piece;
      if (gathered.length < GATHERED) continue;
      put(gathered);
      gathered = '';
      await setImmediate();
    }
    put(gathered);
    isWhole = true;
  } finally {
    if (fd !== null) close(fd, file!, isWhole);
  }
}

function writeAll(fd: number, path: string, bytes: Uint8Array): void {
  try {
    for (let rest = bytes; rest.length > 0; rest = rest.subarray(writeSync(fd, rest)));
  } catch (error) {
    throw cannotWrite(error, path);
  }
}

/** Part of a file may well pass for a file. */
function close(fd: number, path: string, isWhole: boolean): void {
  if (!isWhole && fstatSync(fd).isFile()) rmSync(path, { force: true });
  closeSync(fd);
}

function openOutput(file: string): number {
  try {
    return openSync(file, 'w', 0o600);
  } catch (error) {
    throw cannotWrite(error, file);
  }
}

function cannotWrite(error: unknown, file: string): CliError {
  return new CliError(
    `cannot write ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`,
    '-o names another place',
  );
}
