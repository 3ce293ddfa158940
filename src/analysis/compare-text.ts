import { structuredPatch } from 'diff';
import { isPrintable } from '../decode/format.ts';
import type { ContentDifference, ContentId, Hunk, TextDiff } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';

/** Texts that are longer are told apart by their digests. */
export const MAX_TEXT_BYTES = 2 * 1024 * 1024;

/**
 * The search for the shortest difference costs the square of its length: texts that differ in more lines than this are not compared line by
 * line. When the texts of one comparison have cost too much ({@link Secrecy.effort}), the others are given up after the second one.
 */
const MAX_EDIT_LENGTH = 2000;
const LEAST_EDIT_LENGTH = 60;

/** Lines of hunks that are told of one text, and characters of one line. */
const MAX_LINES = 1000;
const MAX_LINE = 2000;

/** What differs between two texts, line by line with three lines around, as `diff -u` says it. Secrets are hidden. */
export function textDiff(before: string, after: string, secrecy: Secrecy): TextDiff {
  const [one, other] = [before, after].map(text => (text.length <= MAX_TEXT_BYTES ? secrecy.text(text) : text)) as [
    string,
    string,
  ];
  if (one === '' || other === '') return wholeText(one, other);
  const short = Math.max(one.length, other.length) <= MAX_TEXT_BYTES;
  const maxEditLength = Math.max(
    LEAST_EDIT_LENGTH,
    Math.min(MAX_EDIT_LENGTH, Math.floor(Math.sqrt(Math.max(0, secrecy.effort.left)))),
  );
  const patch = short ? structuredPatch('a', 'b', one, other, undefined, undefined, { context: 3, maxEditLength }) : undefined;
  if (patch === undefined) {
    if (short) secrecy.effort.left -= maxEditLength ** 2;
    const counts = { addedLines: lineCount(other), removedLines: lineCount(one) };
    return { hunks: [], ...counts, omittedLines: counts.addedLines + counts.removedLines };
  }
  const count = (sign: string): number =>
    patch.hunks.reduce((sum, hunk) => sum + hunk.lines.filter(line => line.startsWith(sign)).length, 0);
  const result = { addedLines: count('+'), removedLines: count('-') };
  secrecy.effort.left -= (result.addedLines + result.removedLines) ** 2;
  return { ...shortened(patch.hunks), ...result };
}

/** A text that came or went: every line of it, without a search. */
function wholeText(before: string, after: string): TextDiff {
  const [sign, text] = before === '' ? ['+', after] : ['-', before];
  if (text === '') return { hunks: [], addedLines: 0, removedLines: 0, omittedLines: 0 };
  const count = lineCount(text);
  // no more lines are made than are told
  const lines = text.split('\n', MAX_LINES).slice(0, count);
  const told = lines.map(line => `${sign}${line}`);
  if (count <= MAX_LINES && !text.endsWith('\n')) told.push('\\ No newline at end of file');
  const [removedLines, addedLines] = before === '' ? [0, count] : [count, 0];
  const hunk = {
    oldStart: removedLines > 0 ? 1 : 0,
    oldLines: removedLines,
    newStart: addedLines > 0 ? 1 : 0,
    newLines: addedLines,
  };
  return { ...shortened([{ ...hunk, lines: told }]), addedLines, removedLines, omittedLines: Math.max(0, count - MAX_LINES) };
}

function lineCount(text: string): number {
  let count = text === '' || text.endsWith('\n') ? 0 : 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function shortened(hunks: readonly Hunk[]): Pick<TextDiff, 'hunks' | 'omittedLines'> {
  const kept: Hunk[] = [];
  let left = MAX_LINES;
  let omittedLines = 0;
  for (const { oldStart, oldLines, newStart, newLines, lines } of hunks) {
    const shown = lines.slice(0, Math.max(0, left)).map(line => (line.length <= MAX_LINE ? line : `${line.slice(0, MAX_LINE)}…`));
    left -= shown.length;
    omittedLines += lines.length - shown.length;
    if (shown.length > 0) kept.push({ oldStart, oldLines, newStart, newLines, lines: shown });
  }
  return { hunks: kept, omittedLines };
}

/** How two contents differ: as text where both are that, else by what identifies them. `null` bytes are not at hand. */
export function contentDifference(
  before: { id: ContentId; bytes: Uint8Array | null },
  after: { id: ContentId; bytes: Uint8Array | null },
  secrecy: Secrecy,
  hidden = false,
): ContentDifference {
  const ids = { before: before.id, after: after.id };
  if (hidden) return { type: 'hidden', ...ids };
  if (before.bytes === null || after.bytes === null) return { type: 'unknown', ...ids };
  const [one, other] = [textOf(before.bytes), textOf(after.bytes)];
  if (one === null || other === null) return { type: 'binary', ...ids };
  const text = textDiff(one, other, secrecy);
  // what differs only where it is hidden
  return text.addedLines + text.removedLines === 0 ? { type: 'hidden', ...ids } : { type: 'text', text, ...ids };
}

function textOf(bytes: Uint8Array): string | null {
  if (bytes.length > MAX_TEXT_BYTES || !isPrintable(bytes)) return null;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
