/** A capture that cannot be opened, read or written; a command shows it as `stringtap: message` and `hint: …`. */
export class CaptureError extends Error {
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.name = 'CaptureError';
    this.hint = hint;
  }
}

/** A capture of an older version: opening it for writing brings it up to date. */
export class OutdatedError extends CaptureError {}

/** A capture, or the folder that it is in, that may be read and not written. */
export class UnwritableError extends CaptureError {}

/** SQLite's own code of an error (`SQLITE_FULL`), `null` when it is no error of SQLite. The text is never read: it changes. */
export function sqliteCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  const code = error.code;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : null;
}
