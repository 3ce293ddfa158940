import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { Fields } from '../model.ts';
import { dataJson } from './data-json.ts';
import { codingsOf, decodeContent } from './encoding.ts';
import { percentBytes } from './form.ts';
import { type Body, bodyOf, formatOf, isPrintable, isStructured, mimeOf, parseBody } from './format.ts';
import { attempt, DEFAULT_LIMITS, Malformed } from './limits.ts';
import type { Pseudonyms } from './pseudonyms.ts';
import { percentDecode } from './route.ts';
import { hideInBody } from './secret-bodies.ts';
import type { Hiding } from './secrets.ts';
import { shareData, shareFacts } from './share-data.ts';
import { sharePem } from './share-der.ts';

/** What a body is, by what it came with. */
export interface SharedBody {
  fields: Fields;
  phase: string;
  /** Content of a file, as it is: no structure of Puppet's. */
  file: boolean;
}

/** A body to be shared. */
export interface Rewritten {
  /** With the content codings that it came with. */
  bytes: Uint8Array;
  /** What Content-Type has to say now; `null` when it stays. */
  mime: string | null;
  /** Before and after, codings undone: checksums are of these. `null` when it could not be read. */
  plain: { before: Uint8Array; after: Uint8Array } | null;
  /** Why nothing of it could be kept but its length; `null` when it was rewritten. */
  replaced: string | null;
}

/** Rewrites a body, whole. Total: what cannot be read is replaced by as many other bytes. */
export function shareBody(raw: Uint8Array, what: SharedBody, names: Pseudonyms, hiding: Hiding): Rewritten {
  const made = attempt(() => rewritten(raw, what, names, hiding));
  if ('value' in made) return made.value;
  return { bytes: names.filler(raw, isPrintable(raw)), mime: null, plain: null, replaced: made.error };
}

function rewritten(raw: Uint8Array, what: SharedBody, names: Pseudonyms, hiding: Hiding): Rewritten {
  const body = bodyOf(raw, what.fields, DEFAULT_LIMITS);
  if (body.truncated !== null) throw new Malformed(body.truncated);
  const done = what.file ? fileContent(body, names, hiding) : content(body, what.phase, names, hiding);
  const plain = { before: body.bytes, after: done.bytes };
  if (Buffer.compare(body.bytes, done.bytes) === 0) return { bytes: raw, mime: null, plain, replaced: null };
  return { bytes: coded(done.bytes, codingsOf(what.fields)), mime: done.mime, plain, replaced: null };
}

interface Done {
  bytes: Uint8Array;
  mime: string | null;
}

function fileContent(body: Body, names: Pseudonyms, hiding: Hiding): Done {
  const printable = isPrintable(body.bytes);
  if (names.level === 'full') return { bytes: names.filler(body.bytes, printable), mime: null };
  if (!printable) return { bytes: body.bytes, mime: null };
  // a file is no message: whatever it is written in, it is rewritten as text, so that it stays what it is
  const hidden = hideInBody({ ...body, format: 'text' }, hiding, DEFAULT_LIMITS);
  if (hidden.type === 'unreadable') throw new Malformed(hidden.reason);
  const bytes = hidden.type === 'same' ? body.bytes : hidden.bytes;
  const text = Buffer.from(bytes).toString('utf8');
  const shown = text.includes('-----BEGIN CERT') ? sharePem(text, names) : names.text(text);
  return { bytes: Buffer.from(shown), mime: null };
}

function content(body: Body, phase: string, names: Pseudonyms, hiding: Hiding): Done {
  const hidden = hideInBody(body, hiding, DEFAULT_LIMITS);
  if (hidden.type === 'unreadable') throw new Malformed(hidden.reason);
  const named = hidden.type === 'changed' && hidden.mime !== body.mime ? hidden.mime : null;
  const bytes = hidden.type === 'changed' ? hidden.bytes : body.bytes;
  const mime = named ?? body.mime;
  const next: Body = { ...body, bytes, mime, format: named === null ? body.format : formatOf(named, bytes) };
  if (names.level === 'low' && names.checksums.size === 0) return { bytes, mime: named };
  if (isStructured(next.format)) {
    const json = Buffer.from(dataJson(shareData(parseBody(next, DEFAULT_LIMITS, true), phase, names)));
    // JSON is YAML and PSON too; only MessagePack has to be called something else
    const other = next.format === 'rich-msgpack' ? 'application/vnd.puppet.rich+json' : 'application/json';
    return { bytes: json, mime: next.format.endsWith('msgpack') ? other : named };
  }
  if (next.format === 'form') return { bytes: Buffer.from(form(bytes, names)), mime: named };
  if (!isPrintable(bytes)) {
    if (bytes.length > 0 && names.level !== 'low') throw new Malformed('bytes of no known format');
    return { bytes, mime: named };
  }
  const text = Buffer.from(bytes).toString('utf8');
  return {
    bytes: Buffer.from(next.format === 'pem' || text.includes('-----BEGIN ') ? sharePem(text, names) : names.text(text)),
    mime: named,
  };
}

/** The form of a catalog request; facts are percent-encoded once more than the rest. */
function form(bytes: Uint8Array, names: Pseudonyms): string {
  const pairs = Buffer.from(bytes).toString('utf8').split('&');
  const format = pairs.find(pair => pair.startsWith('facts_format='))?.slice('facts_format='.length) ?? '';
  return pairs.map(pair => sharePair(pair, percentDecode(format), names)).join('&');
}

function sharePair(pair: string, format: string, names: Pseudonyms): string {
  const equals = pair.indexOf('=');
  if (equals < 0) return names.text(pair);
  const name = percentDecode(pair.slice(0, equals).replaceAll('+', ' '));
  const value = percentDecode(pair.slice(equals + 1).replaceAll('+', ' '));
  const shown = name === 'facts' ? facts(value, format, names) : names.text(value);
  const key = PAIRS.has(name) ? pair.slice(0, equals) : encodeURIComponent(names.text(name));
  return shown === value && PAIRS.has(name) ? pair : `${key}=${encodeURIComponent(shown)}`;
}

/** Names in queries and forms of Puppet. */
const PAIRS: ReadonlySet<string> = new Set(
  `facts facts_format environment configured_environment check_environment transaction_uuid job_uuid static_catalog checksum_type links recurse
  recurselimit max_files ignore source_permissions code_id fail_on_404 report_format diff_with list_all bucket_path search`.split(
    /\s+/,
  ),
);

function facts(encoded: string, format: string, names: Pseudonyms): string {
  let bytes = percentBytes(encoded);
  let mime = mimeOf(format);
  const packed = mime === 'b64_zlib_yaml';
  if (packed) {
    mime = 'yaml';
    const inner = Buffer.from(Buffer.from(bytes).toString('latin1'), 'base64');
    bytes = decodeContent(inner, ['deflate'], DEFAULT_LIMITS.bodyBytes).bytes;
  }
  const body: Body = { format: formatOf(mime, bytes), mime, codings: [], bytes, truncated: null };
  const json = dataJson(shareFacts(parseBody(body, DEFAULT_LIMITS, true), names));
  return packed ? encodeURIComponent(deflateSync(json).toString('base64')) : encodeURIComponent(json);
}

/** Applies content codings in the order in which they were applied. */
function coded(plain: Uint8Array, codings: readonly string[]): Uint8Array {
  let bytes = plain;
  for (const coding of codings) {
    if (coding === 'gzip' || coding === 'x-gzip') bytes = gzipSync(bytes);
    else if (coding === 'deflate') bytes = deflateSync(bytes);
    else if (coding === 'br') bytes = brotliCompressSync(bytes);
    else if (coding === 'zstd') bytes = zstdCompressSync(bytes);
  }
  return bytes;
}

/** A request target with pseudonyms in its key and its query. Puppet's own paths and names of fields stay. */
export function shareTarget(target: string, names: Pseudonyms): string {
  if (names.level === 'low' && names.checksums.size === 0) return target;
  const start = target.indexOf('?');
  const path = start < 0 ? target : target.slice(0, start);
  const own = /^(?:[a-z][a-z0-9+.-]*:\/\/[^/?#]*)?\/(?:puppet\/v[34]|puppet-ca\/v1)\/[a-z_]+(?=\/|$)/.exec(path);
  const kept = own === null ? '' : own[0].replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/, origin => names.names(origin));
  const rest = path.slice(own === null ? 0 : own[0].length);
  const shown = `${kept}${rest
    .split('/')
    .map(segment => sharePart(segment, names))
    .join('/')}`;
  if (start < 0) return shown;
  const pairs = target
    .slice(start + 1)
    .split('&')
    .map(pair => {
      // facts of a GET (Puppet 2 and 3) that cannot be read are left out
      const made = attempt(() => sharePair(pair, 'application/json', names));
      return 'value' in made ? made.value : 'facts=';
    });
  return `${shown}?${pairs.join('&')}`;
}

/** A segment of a path: escapes stay as the sender wrote them, unless there are letters in them. */
function sharePart(segment: string, names: Pseudonyms): string {
  const plain = percentDecode(segment);
  if (plain === segment) return names.text(segment);
  if (/[^\0-\x7f]/.test(plain)) return encodeURIComponent(names.text(plain));
  return encodeURIComponent(names.text(plain)).replaceAll('%2B', '+');
}

/** Fields whose values say nothing of a site, lower-case. */
const PUBLIC_FIELDS =
  /^(?:accept|accept-encoding|accept-language|content-(?:type|length|encoding)|user-agent|x-puppet-version|x-puppet-pmc|date|server|connection|keep-alive|transfer-encoding|te|trailer|retry-after|vary|cache-control|expires|last-modified|if-modified-since|x-content-type-options|x-frame-options|expect|upgrade|age)$/i;

/** Field lines with pseudonyms; names stay, but unknown ones. */
export function shareFields(fields: Fields, mime: string | null, names: Pseudonyms): Fields {
  return fields.map(([name, value]) => {
    if (mime !== null && /^content-type$/i.test(name)) return [name, mime] as const;
    if (PUBLIC_FIELDS.test(name)) return [name, names.names(value)] as const;
    return [name, names.text(value)] as const;
  });
}
