import { widthOf } from '../src/commands/columns.ts';
import { clean, cut, type Line } from './text.ts';
import type { StyleName, Theme } from './theme.ts';

/**
 * Lines to text for a terminal: exactly `rows` lines of at most `columns` columns. A frame that is taller than the screen makes the
 * terminal scroll, one that is wider wraps: neither is possible behind this function.
 */
export function paint(lines: readonly Line[], columns: number, rows: number, theme: Theme): string[] {
  const painted: string[] = [];
  for (let i = 0; i < rows; i += 1) painted.push(paintLine(lines[i] ?? [], columns, theme));
  return painted;
}

/** One line; a span that goes beyond the edge is cut with `…`, what follows it is left out. */
export function paintLine(line: Line, columns: number, theme: Theme): string {
  let left = columns;
  let out = '';
  for (let i = 0; i < line.length && left > 0; i += 1) {
    const { text, style } = line[i]!;
    const more = line.slice(i + 1).some(next => next.text !== '');
    const whole = text.length <= left ? clean(text) : '';
    const fits = whole !== '' && widthOf(whole) <= left;
    // At the very edge a cut is shown, also when the next span is what does not fit.
    const shown = fits && !(more && widthOf(whole) === left) ? whole : cut(text, left);
    out += style === undefined ? shown : styled(shown, style, theme);
    left -= widthOf(shown);
  }
  return theme.ascii ? out.replace(/[…→×└╌│]/g, sign => PLAIN[sign] ?? sign) : out;
}

/** Signs within words, and what stands for them where a font may lack them; all of one column. */
const PLAIN: Readonly<Record<string, string>> = { '…': '~', '→': '>', '×': 'x', '└': ' ', '╌': '-', '│': '|' };

function styled(text: string, style: StyleName, theme: Theme): string {
  const { on, off } = theme.look(style);
  return text === '' ? '' : `${on}${text}${off}`;
}

/** The whole line in one style, to its last column: the row that the cursor is on. */
export function highlighted(line: Line, columns: number, style: StyleName): Line {
  let text = '';
  for (const part of line) text += part.text;
  const shown = cut(text, columns);
  return [{ text: shown + ' '.repeat(Math.max(0, columns - widthOf(shown))), style }];
}
