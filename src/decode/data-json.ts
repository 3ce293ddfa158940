import { type Data, FLOAT, floatText, SYMBOL, Tagged, textOf } from './data.ts';

/**
 * JSON of parsed data, whatever it was written in: integers keep all their digits, symbols are texts, bytes and infinite numbers are
 * as Puppet's rich data writes them, tags of YAML are left out.
 */
export function dataJson(data: Data): string {
  if (data === null || typeof data === 'boolean') return String(data);
  if (typeof data === 'string') return JSON.stringify(data);
  if (typeof data === 'bigint') return data.toString();
  if (typeof data === 'number') return Number.isFinite(data) ? JSON.stringify(data) : JSON.stringify(String(data));
  if (data instanceof Uint8Array) return `{"__ptype":"Binary","__pvalue":${JSON.stringify(base64(data))}}`;
  if (data instanceof Tagged && data.tag === FLOAT && typeof data.value === 'number') return floatText(data.value);
  if (data instanceof Tagged) return data.tag === SYMBOL ? JSON.stringify(textOf(data) ?? '') : dataJson(data.value);
  if (Array.isArray(data)) return `[${data.map(dataJson).join(',')}]`;
  const entries: Iterable<readonly [Data, Data]> = data instanceof Map ? data : Object.entries(data);
  return `{${[...entries].map(([key, value]) => `${JSON.stringify(textOf(key) ?? dataJson(key))}:${dataJson(value)}`).join(',')}}`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
