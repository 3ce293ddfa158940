import type { Rich } from '../decode/rich-data.ts';
import { richJson } from '../decode/rich-text.ts';
import { PRIVATE_KEY } from '../decode/secrets.ts';
import type { Value } from './statements.ts';

/*
 * Values of decoded bodies as cells. Whatever a body says has to fit its column: a row that the schema refuses would be lost.
 */

/** What a cell may be given: a flag is stored as 0 or 1, what is not there as NULL. */
export type Cell = Value | boolean | undefined;

export function stored(cell: Cell): Value {
  if (typeof cell === 'boolean') return Number(cell);
  return cell ?? null;
}

/** What a column of integers takes: a line number of 3.5 or 1e300 is none. */
export function int(value: number | null): number | null {
  return value !== null && Number.isSafeInteger(value) ? value : null;
}

export function json(value: unknown): string {
  return JSON.stringify(value);
}

/** Text without private keys: nobody needs to read one out of a capture's tables. */
export function keyless(text: string): string;
export function keyless(text: string | null): string | null;
export function keyless(text: string | null): string | null {
  if (text === null || !text.includes('PRIVATE KEY-----')) return text;
  return text.replace(PRIVATE_KEY, '(private key)');
}

/** JSON of a value in Puppet's rich data notation; Sensitive values as "(sensitive)" unless they are marked. */
export function rich(value: Rich, secrecy: 'hide' | 'mark' = 'hide'): string {
  return keyless(richJson(value, secrecy));
}
