import sliceAnsi from 'slice-ansi';
import { columnsOf, NARROW, padTo, widthOf } from '../src/commands/columns.ts';
import { printable } from '../src/commands/io.ts';
import type { StyleName } from './theme.ts';

/**
 * What a screen is made of: lines of spans. Views only ever say what a text means; columns are counted, control characters escaped and
 * colours chosen in one place (paint.ts), so that no view can break the frame.
 */

/** Text with one meaning. Its text may be of the wire: it is escaped when it is painted. */
export interface Span {
  readonly text: string;
  readonly style?: StyleName;
}

export type Line = readonly Span[];

/** Text that is safe to count and print. */
export function clean(text: string): string {
  return NARROW.test(text) ? text : printable(text);
}

/** Cuts a text to `columns`, with `…` where something was cut. Wide characters are never halved. */
export function cut(text: string, columns: number): string {
  if (columns <= 0) return '';
  // Escaping makes texts longer only: what is far beyond the edge needs no look.
  const safe = clean(text.length > columns * 8 ? text.slice(0, columns * 8) : text);
  if (widthOf(safe) <= columns) return safe;
  return `${columnsOf(safe, 0, columns - 1)}…`;
}

/** A text in exactly `columns`: cut or filled up. */
export function pad(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  return padTo(cut(text, columns), columns, align);
}

/** Keeps the end of a text instead of its start: for paths, whose end tells more. */
export function cutStart(text: string, columns: number): string {
  const safe = clean(text);
  const width = widthOf(safe);
  if (width <= columns) return safe;
  if (columns <= 1) return columns === 1 ? '…' : '';
  return `…${columnsOf(safe, width - columns + 1)}`;
}

export function span(text: string, style?: StyleName): Span {
  return style === undefined ? { text } : { text, style };
}

/** A line of one text. */
export function line(text: string, style?: StyleName): Line {
  return [span(text, style)];
}

export const EMPTY: Line = [];

/** UTF-16 units that are looked at for a column, at most: letters with a heap of accents are cut. */
const AHEAD = 8;

/** Breaks a text into lines of at most `columns`, at blanks where there are some; what is behind the last of `limit` lines is cut with `…`. */
export function wrapText(text: string, columns: number, limit = 1000): string[] {
  const room = Math.max(1, columns);
  const safe = clean(text.slice(0, (limit + 1) * room * AHEAD));
  const lines: string[] = [];
  for (let at = 0; at < safe.length; ) {
    if (lines.length === limit) {
      const last = lines[limit - 1]!;
      lines[limit - 1] = widthOf(last) < room ? `${last}…` : cut(`${last} `, room);
      break;
    }
    // However long the text is, no more of it is measured than a line can hold.
    const ahead = safe.slice(at, at + room * AHEAD).replace(/[\ud800-\udbff]$/, '');
    if (at + ahead.length === safe.length && widthOf(ahead) <= room) {
      lines.push(ahead);
      break;
    }
    let part = NARROW.test(ahead.slice(0, room)) ? ahead.slice(0, room) : sliceAnsi(ahead, 0, room);
    if (part === '') part = [...ahead][0] ?? safe.slice(at, at + 1); // wider than the line
    const blank = part.lastIndexOf(' ');
    const end = blank > room / 3 && ahead[part.length] !== ' ' ? blank : part.length;
    lines.push(ahead.slice(0, end).trimEnd());
    at += end;
    while (at < safe.length && safe[at]!.trim() === '') at += 1;
  }
  return lines.length === 0 ? [''] : lines;
}

/** A line in exactly `columns`: cut, or filled up. */
export function padLine(line: Line, columns: number): Line {
  const spans: Span[] = [];
  let left = columns;
  for (const part of line) {
    if (left <= 0) break;
    const text = cut(part.text, left);
    spans.push({ ...part, text });
    left -= widthOf(text);
  }
  if (left > 0) spans.push({ text: ' '.repeat(left) });
  return spans;
}

/** Two columns of lines beside each other, with a rule between. */
export function beside(left: readonly Line[], right: readonly Line[], leftColumns: number, rule: string): Line[] {
  const rows = Math.max(left.length, right.length);
  return Array.from({ length: rows }, (_, i) => [...padLine(left[i] ?? [], leftColumns), span(rule, 'dim'), ...(right[i] ?? [])]);
}
