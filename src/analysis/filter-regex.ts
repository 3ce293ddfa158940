import { setFlagsFromString } from 'node:v8';

/*
 * A regex comes from a person and its texts from the wire: with backtracking, one unlucky pair stops a reader for ever. V8 has a second
 * engine that runs in time linear in the text, but is ten times slower. The first flag makes its `l` known, which refuses what it cannot
 * run (back references, look-around, repeat counts over 16); the second lets the usual engine begin, and the linear one take over after
 * 2,000 steps back. Neither changes what a regex finds. The linear engine knows no flag `i`, so both sides are made lower case.
 */
setFlagsFromString('--enable-experimental-regexp-engine');
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
setFlagsFromString('--regexp-backtracks-before-fallback=2000');

/** UTF-16 units of a text that a regex reads; what is beyond is not looked at. */
export const REGEX_TEXT_CHARS = 1 << 20;

/** The regex as a question to a text, or why it cannot be one. */
export function compileRegex(source: string): { test: (text: string) => boolean } | { problem: string } {
  let regex: RegExp;
  try {
    regex = new RegExp(new RegExp(lowered(source), 'l').source);
  } catch (error) {
    return { problem: reason(error, source) };
  }
  return {
    test: text => regex.test((text.length > REGEX_TEXT_CHARS ? text.slice(0, REGEX_TEXT_CHARS) : text).toLowerCase()),
  };
}

/** Escapes keep their case: `\S` is not `\s`. */
function lowered(source: string): string {
  return source.replace(/\\[\s\S]|[^\\]+/g, part => (part.startsWith('\\') ? part : part.toLowerCase()));
}

function reason(error: unknown, source: string): string {
  const message = error instanceof Error ? error.message : 'not a regex';
  if (/linear time/i.test(message)) return 'back references, look-around and repeat counts over 16 are not taken';
  if (/flags/i.test(message) && valid(source)) return 'this Node.js has no regex engine that is safe here';
  return (message.split(': ').at(-1) ?? message).toLowerCase();
}

function valid(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp;
  } catch {
    return false;
  }
}
