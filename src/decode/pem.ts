import { isAscii } from 'node:buffer';
import { Malformed } from './limits.ts';

/** One armoured block (RFC 7468). */
export interface PemBlock {
  /** `CERTIFICATE`, `X509 CRL`, `CERTIFICATE REQUEST`, … */
  label: string;
  /** `null` for a private key, whose bytes nobody needs to see, and for a block that does not decode. */
  der: Uint8Array | null;
}

const BEGIN = '-----BEGIN ';
const DASHES = '-----';
const MAX_BLOCKS = 10_000;

/** Splits a bundle; text around the blocks is passed over. A block without its end is a note. @throws Malformed */
export function splitPem(bytes: Uint8Array, notes: string[]): PemBlock[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(isAscii(bytes) ? 'ascii' : 'latin1');
  const blocks: PemBlock[] = [];
  let begun = 0;
  let at = text.indexOf(BEGIN);
  while (at >= 0) {
    begun += 1;
    if (begun > MAX_BLOCKS) throw new Malformed(`a bundle of more than ${MAX_BLOCKS} PEM blocks`);
    const labelEnd = text.indexOf(DASHES, at + BEGIN.length);
    // A label is short; without this bound a body of nothing but BEGINs would be searched to its end from each.
    const label = labelEnd < 0 || labelEnd - at > 100 ? '' : text.slice(at + BEGIN.length, labelEnd);
    const start = at + BEGIN.length;
    if (label === '' || label.includes('\n')) {
      at = text.indexOf(BEGIN, start);
      continue;
    }
    const next = text.indexOf(BEGIN, start);
    const end = endOf(text, label, labelEnd, next < 0 ? text.length : next);
    if (end < 0) notes.push(`the PEM block ${label} has no end`);
    else blocks.push({ label, der: decodeBlock(label, text.slice(labelEnd + DASHES.length, end), notes) });
    at = next;
  }
  return blocks;
}

/** Offset of the end line of a block, searched before the next block only: linear in the text. */
function endOf(text: string, label: string, from: number, before: number): number {
  const end = text.slice(from, before).indexOf(`-----END ${label}-----`);
  return end < 0 ? -1 : from + end;
}

function decodeBlock(label: string, base64: string, notes: string[]): Uint8Array | null {
  if (label.includes('PRIVATE KEY')) {
    notes.push(`a ${label.slice(0, 40)}, not shown`);
    return null;
  }
  const packed = base64.replaceAll(/\s/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) {
    notes.push(`the PEM block ${label.slice(0, 40)} is not base64`);
    return null;
  }
  return new Uint8Array(Buffer.from(packed, 'base64'));
}
