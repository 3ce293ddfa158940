import sliceAnsi from 'slice-ansi';
import stringWidth from 'string-width';

/*
 * Terminal columns of texts that `printable` has escaped: a letter of Chinese, Japanese or Korean takes two, an accent of its own none.
 */

/**
 * Characters of one column that are one UTF-16 unit each, and that nothing steers a terminal with: ASCII, Latin, and the signs of the
 * screens. Nearly every text is of these, and need not be measured.
 */
export const NARROW =
  /^[\x20-\x7e\xa1-\xac\xae-\u02ff\u2010-\u2027\u2030-\u205e\u2190-\u2319\u2500-\u25fc\u2713-\u2718\u270e\u2731]*$/;

/** Terminal columns of an escaped text. */
export function widthOf(text: string): number {
  return NARROW.test(text) ? text.length : stringWidth(text);
}

/** The columns `from` to `to` of an escaped text; a character that is only half within is left out. */
export function columnsOf(text: string, from: number, to?: number): string {
  return NARROW.test(text) ? text.slice(from, to) : sliceAnsi(text, from, to);
}

/** An escaped text, filled up with blanks to `columns`. */
export function padTo(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const blank = ' '.repeat(Math.max(0, columns - widthOf(text)));
  return align === 'left' ? `${text}${blank}` : `${blank}${text}`;
}
