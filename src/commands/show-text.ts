import { type Io, printable } from './io.ts';
import { clip } from './present.ts';

/** Lines of a page, cut at the terminal's width; without a terminal nothing is cut. */
export interface Page {
  readonly width: number;
  line(text?: string): void;
  /** `name  value`, the names of a block under each other. */
  pair(name: string, value: string): void;
  /** Text that may be long: goes on in further lines with the same indent. */
  text(indent: string, text: string): void;
}

/** @param names width of the names of {@link Page.pair} */
export function pageOf(io: Io, names = 12): Page {
  const width = io.stdoutIsTerminal ? Math.max(40, io.columns) : Number.MAX_SAFE_INTEGER;
  const page: Page = {
    width,
    line: (text = '') => io.out(clip(text, width)),
    pair(name, value) {
      wrap(value, width - names - 1).forEach((part, i) => {
        io.out(clip(`${(i === 0 ? name : '').padEnd(names)} ${part}`, width));
      });
    },
    text(indent, text) {
      for (const part of wrap(text, width - indent.length)) io.out(clip(`${indent}${part}`, width));
    },
  };
  return page;
}

/** Breaks a text at blanks, so that each line has at most `width` characters. */
function wrap(text: string, width: number): string[] {
  if (text.length <= width) return [text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    for (const piece of pieces(word, width)) {
      if (line !== '' && line.length + 1 + piece.length > width) {
        lines.push(line);
        line = piece;
      } else line = line === '' ? piece : `${line} ${piece}`;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** A word that is wider than a line is broken: a fingerprint after a colon, anything else (a path) where the line ends. */
function pieces(word: string, width: number): string[] {
  if (word.length <= width) return [word];
  const step = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/.test(word) ? 48 : width;
  return Array.from({ length: Math.ceil(word.length / step) }, (_, n) => word.slice(n * step, (n + 1) * step));
}

/** A value of a parameter, fact or event for a person: a text is itself, anything else is JSON. */
export function valueText(value: unknown): string {
  return printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
}

/** `{sha256}…` in Base64: a checksum that a file resource has computed is binary to Ruby, and so to its report in JSON. */
const CHECKSUM_BASE64 = /^e[23][A-Za-z0-9+/]{20,200}={0,2}$/;

/** A value of an event for a person. */
export function eventValueText(value: unknown): string {
  if (typeof value === 'string' && CHECKSUM_BASE64.test(value)) {
    const text = Buffer.from(value, 'base64').toString('latin1');
    if (/^\{(?:md5|sha)\w{0,12}\}[0-9a-f]{16,128}$/.test(text)) return text;
  }
  return valueText(value);
}

/** `old → new` in at most `width` characters. */
export function change(previous: unknown, desired: unknown, width: number): string {
  const texts = [eventValueText(previous), eventValueText(desired)] as const;
  const room = Math.max(20, width - 3);
  if (texts[0].length + texts[1].length <= room) return `${texts[0]} → ${texts[1]}`;
  const half = Math.floor(room / 2);
  const first = clip(texts[0], Math.max(half, room - texts[1].length));
  return `${first} → ${clip(texts[1], room - first.length)}`;
}

/** `2031-11-21`, of an ISO time. */
export function day(at: string | null): string {
  return at === null ? '-' : at.slice(0, 10);
}

/** Values with how often each is there, the most frequent first. */
export function tally(values: Iterable<string>): [string, number][] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}
