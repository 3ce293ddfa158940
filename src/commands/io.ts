/**
 * What every command gets: where to write, and how to fail. `console` and `process.stdout` are out of reach elsewhere
 * (tests give an Io of their own).
 */
export interface Io {
  /** Data: one line on stdout. */
  out(line: string): void;
  /** Words for a person: one line on stderr, nothing when it is not a terminal and the line is `chatter`. */
  err(line: string): void;
  /** Words that only a person at a terminal wants (progress, "listening"); dropped when stderr is not one. */
  chatter(line: string): void;
  /** Raw bytes on stdout (`show --body --raw`). */
  write(bytes: Uint8Array): void;
  stdoutIsTerminal: boolean;
  columns: number;
  env: Readonly<Record<string, string | undefined>>;
  /** The command's exit code: 0 done, 1 failed, 2 usage, 3 found what it was asked to look for. */
  exitCode: number;
}

/** An error that a user sees as `stringtap: message` and `hint: …`; anything else that is thrown is a defect of ours. */
export class CliError extends Error {
  readonly hint: string | null;
  readonly exitCode: number;

  /** @param exitCode 1 failed, 2 wrong usage */
  constructor(message: string, hint: string | null = null, exitCode: 1 | 2 = 1) {
    super(message);
    this.name = 'CliError';
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/**
 * Escapes what could steer or confuse a terminal in untrusted text: control characters, format characters (bidi overrides,
 * zero-width), line and paragraph separators.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, c => {
    const code = c.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
