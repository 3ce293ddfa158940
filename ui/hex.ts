import { type Line, span } from './text.ts';

/** Bytes of one row of hex that fit: 4, 8, 16 or 32. Offset, hex and text of a row take 13 columns and 4 a byte. */
export function hexBytes(columns: number): number {
  return [32, 16, 8].find(bytes => 13 + 4 * bytes <= columns) ?? 4;
}

/** `00000010  50 4b 03 04 …  |PK..|`. */
export function hexLine(bytes: Uint8Array, offset: number, perRow: number): Line {
  const hex: string[] = [];
  let text = '';
  for (let i = 0; i < perRow; i += 1) {
    const byte = bytes[i];
    hex.push(byte === undefined ? '  ' : byte.toString(16).padStart(2, '0'));
    text += byte === undefined ? '' : byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
  }
  const halves = [hex.slice(0, perRow / 2).join(' '), hex.slice(perRow / 2).join(' ')].join('  ');
  return [span(` ${offset.toString(16).padStart(8, '0')}  `, 'dim'), span(halves), span('  '), span(text, 'name')];
}

/** Bytes as text of one column each: what cannot be printed is a dot. */
export function textLine(bytes: Uint8Array, offset: number): Line {
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '.');
  return [span(` ${offset.toString(16).padStart(8, '0')}  `, 'dim'), span(text)];
}
