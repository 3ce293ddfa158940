import { closeSync, constants, fchmodSync, fstatSync, openSync, writeSync } from 'node:fs';
import { reasonOf } from './failure.ts';

/** Takes one line of the NSS key log format, newline included (`CLIENT_RANDOM …`, `SERVER_HANDSHAKE_TRAFFIC_SECRET …`; RFC 9850). */
export type KeyLine = (line: Buffer) => void;

export interface KeyLog {
  line: KeyLine;
  close(): void;
}

/** Why the key log cannot be written; `hint` says what to do. */
export class KeyLogError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'KeyLogError';
    this.hint = hint;
  }
}

/**
 * Opens the file that `tshark -o tls.keylog_file:FILE` reads: with it everybody can decrypt both legs, so it is 0600, never reached
 * through a symbolic link, and appended to. What cannot be written later is said once and stops nothing.
 * @throws {KeyLogError}
 */
export function openKeyLog(file: string, onNotice: (line: string) => void): KeyLog {
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new KeyLogError(
      code === 'ELOOP' ? `the key log ${file} is a symbolic link` : `cannot write the key log ${file}: ${code}`,
      '--keylog FILE takes a file that stringtap may make',
    );
  }
  const stats = fstatSync(fd);
  if (!stats.isFile() || (stats.size > 0 && (stats.mode & 0o077) !== 0)) {
    closeSync(fd);
    throw new KeyLogError(
      stats.isFile() ? `others may read the key log ${file}` : `the key log ${file} is not a plain file`,
      stats.isFile() ? `chmod 600 ${file}, or name a new file` : 'name a new file',
    );
  }
  fchmodSync(fd, 0o600);
  let open = true;
  return {
    line(line) {
      if (!open) return;
      try {
        writeSync(fd, line);
      } catch (error) {
        open = false;
        closeSync(fd);
        onNotice(`the key log ${file} ends here: ${reasonOf(error)}`);
      }
    },
    close() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
