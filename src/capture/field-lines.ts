import type { Fields } from '../model.ts';

/** Stands for field lines that a damaged file does not hold any more. */
const DAMAGED: Fields = [['(damaged)', 'these field lines cannot be read']];

/** Field lines of their stored text, `[[name, value], …]` as JSON. A byte that a disk has changed in it costs these lines, not the rest of the capture. */
export function readFieldLines(text: string): Fields {
  try {
    const read: unknown = JSON.parse(text);
    return isFields(read) ? read : DAMAGED;
  } catch {
    return DAMAGED;
  }
}

function isFields(read: unknown): read is Fields {
  return Array.isArray(read) && read.every(isLine);
}

function isLine(line: unknown): boolean {
  return Array.isArray(line) && line.length === 2 && typeof line[0] === 'string' && typeof line[1] === 'string';
}
