import { isUtf8 } from 'node:buffer';
import type { Fields } from '../model.ts';
import type { Data } from './data.ts';
import { codingsOf, decodeContent, fieldValue } from './encoding.ts';
import { parseJson } from './json.ts';
import { type Limits, Malformed } from './limits.ts';
import { parseMessagePack } from './msgpack.ts';
import { parsePson } from './pson.ts';
import { parseYaml } from './yaml.ts';

/** What a body is written in. `rich-…` says that Puppet's typed values are in it as `__ptype` hashes. */
export type Format =
  | 'json'
  | 'rich-json'
  | 'pson'
  | 'msgpack'
  | 'rich-msgpack'
  | 'yaml'
  | 'form'
  | 'pem'
  | 'html'
  | 'text'
  | 'binary';

/** A body without its content codings. */
export interface Body {
  format: Format;
  /** Media type without parameters, lower-case; `null` when the sender named none. */
  mime: string | null;
  codings: readonly string[];
  bytes: Uint8Array;
  /** Why these are not all of its bytes, `null` when they are. */
  truncated: string | null;
}

/** `network/formats.rb`: names by MIME type, and the bare format names that Puppet 2 and 3 put into Content-Type. */
const FORMATS: ReadonlyMap<string, Format> = new Map([
  ['application/json', 'json'],
  ['text/json', 'json'],
  ['application/vnd.puppet.rich+json', 'rich-json'],
  ['text/pson', 'pson'],
  ['application/pson', 'pson'],
  ['pson', 'pson'],
  ['application/x-msgpack', 'msgpack'],
  ['application/msgpack', 'msgpack'],
  ['application/vnd.puppet.rich+msgpack', 'rich-msgpack'],
  ['text/yaml', 'yaml'],
  ['text/x-yaml', 'yaml'],
  ['application/yaml', 'yaml'],
  ['application/x-yaml', 'yaml'],
  ['yaml', 'yaml'],
  ['application/x-www-form-urlencoded', 'form'],
  ['text/html', 'html'],
  ['application/x-pem-file', 'pem'],
  ['application/octet-stream', 'binary'],
]);

/**
 * A body of a message: content codings undone, format named.
 *
 * @throws Malformed
 */
export function bodyOf(raw: Uint8Array, fields: Fields, limits: Limits): Body {
  const { bytes, codings, truncated } = decodeContent(raw, codingsOf(fields), limits.bodyBytes);
  const mime = mimeOf(fieldValue(fields, 'content-type'));
  return { format: formatOf(mime, bytes), mime, codings, bytes, truncated };
}

/** `application/json;charset=utf-8` and `… ; charset=UTF-8` are the same type. */
export function mimeOf(contentType: string | null): string | null {
  const mime = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return mime === '' ? null : mime;
}

/** The format that a media type names; where it says nothing (text, nothing at all), what the first bytes look like. */
export function formatOf(mime: string | null, bytes: Uint8Array): Format {
  const named = mime === null ? undefined : FORMATS.get(mime);
  if (named !== undefined) return named;
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 64)).toString('latin1');
  if (head.includes('-----BEGIN ')) return 'pem';
  if (mime === null && /^\s*[{[]/.test(head)) return 'json';
  if (mime === null && /^---[ \r\n]/.test(head)) return 'yaml';
  return mime?.startsWith('text/') === true || isPrintable(bytes) ? 'text' : 'binary';
}

/** UTF-8 without NUL in its first 8000 bytes: git's rule for what is no binary file. */
export function isPrintable(bytes: Uint8Array): boolean {
  return !bytes.subarray(0, 8000).includes(0) && isUtf8(bytes);
}

export function isStructured(format: Format): boolean {
  return format === 'yaml' || format === 'pson' || format.endsWith('json') || format.endsWith('msgpack');
}

/**
 * Parses a structured body.
 *
 * @param floats whole numbers that are written as floats stay that; see parseJson
 * @throws Malformed, also for a format that has no structure
 */
export function parseBody(body: Body, limits: Limits, floats = false): Data {
  try {
    return parse(body.format, body.bytes, limits, floats);
  } catch (error) {
    // The cause comes first: a cut body is why the parser failed.
    if (error instanceof Malformed && body.truncated !== null) throw new Malformed(`${body.truncated}: ${error.message}`);
    throw error;
  }
}

function parse(format: Format, bytes: Uint8Array, limits: Limits, floats: boolean): Data {
  switch (format) {
    case 'json':
    case 'rich-json':
      return parseJson(bytes, limits, floats);
    case 'pson':
      return parsePson(bytes, limits, floats);
    case 'msgpack':
    case 'rich-msgpack':
      return parseMessagePack(bytes, limits, floats);
    case 'yaml':
      return parseYaml(bytes, limits, floats);
    case 'form':
    case 'pem':
    case 'html':
    case 'text':
    case 'binary':
      throw new Malformed(`a body of format ${format}, not of JSON, PSON, MessagePack or YAML`);
  }
}
