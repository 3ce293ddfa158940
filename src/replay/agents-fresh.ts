import { field as dataField, textOf } from '../decode/data.ts';
import { type Body, type Format, formatOf, mimeOf, parseBody } from '../decode/format.ts';
import { DEFAULT_LIMITS, Malformed } from '../decode/limits.ts';
import { first, formPairs, percentDecode, routeOf } from '../decode/route.ts';
import { timeAt } from '../decode/time.ts';
import type { Fields } from '../model.ts';
import { field } from '../proxy/fields.ts';
import { type Edit, edited, editTwiceEscaped } from './agents-edits.ts';

/**
 * What a replayed run has of its own, so that the primary takes it for a new one: transaction_uuid (the same in node request, catalog
 * request and report), the catalog_uuid that the report names, times of facts and report, and the certname when it runs as another.
 */
export interface Fresh {
  certname: { from: string; to: string };
  /** Each old UUID with its new one. They are of one length, so that any format stays in order. */
  uuids: ReadonlyMap<string, string>;
  /** Each `code_id` of a recorded catalog with that of the catalog that came instead: an agent asks for files of the code that it was given. */
  codeIds: ReadonlyMap<string, string>;
  /** Facts are of this moment, ms since the epoch. */
  now: number;
  /** Times of a report are so much later, but never after {@link Fresh.now}. */
  shiftMs: number;
}

/** A request as it was recorded. */
export interface RecordedRequest {
  method: string;
  target: string;
  fields: Fields;
  /** As on the wire: agents never compress. */
  body: Uint8Array | null;
}

/** Replaced wherever it stands, so that nothing shorter or more common may pass for one. */
export function isUuid(text: string | null): text is string {
  return text !== null && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/** Indirections whose key is the certname of who asks. */
const NAMED_AFTER_AGENT = new Set(['node', 'catalog', 'report', 'facts', 'certificate', 'certificate_request']);

/** The target with what must be new in it. Nothing else of it changes: targets are never normalised. */
export function freshTarget(method: string, target: string, fresh: Fresh): string {
  const { from, to } = fresh.certname;
  const start = target.indexOf('?');
  let path = start < 0 ? target : target.slice(0, start);
  let query = start < 0 ? '' : target.slice(start);
  if (from !== to) {
    const { indirection, key } = routeOf(method, target);
    if (key === from && NAMED_AFTER_AGENT.has(indirection ?? '')) path = `${path.slice(0, path.lastIndexOf('/') + 1)}${to}`;
    query = query.replace(/=([^&#]*)/g, (pair, value: string) => (percentDecode(value) === from ? `=${to}` : pair));
  }
  for (const [old, next] of fresh.uuids) query = query.replaceAll(old, next);
  query = query.replace(/([?&]code_id=)([^&#]*)/g, (pair, name: string, value: string) => {
    const next = fresh.codeIds.get(percentDecode(value));
    return next === undefined ? pair : name + encodeURIComponent(next);
  });
  return path + query;
}

/** The body with what must be new in it; `null` when there is none. A body that cannot be read keeps all but its UUIDs. */
export function freshBody(request: RecordedRequest, fresh: Fresh): Buffer | null {
  if (request.body === null) return null;
  const { indirection } = routeOf(request.method, request.target);
  const bytes = Buffer.from(request.body.buffer, request.body.byteOffset, request.body.byteLength);
  const subject = indirection === 'catalog' || indirection === 'report' || indirection === 'facts' ? indirection : null;
  if (subject === null) return bytes;
  const mime = mimeOf(field(request.fields, 'content-type'));
  const format = formatOf(mime, bytes);
  let text = bytes.toString('latin1');
  if (subject === 'catalog' && format === 'form') text = freshForm(text, fresh);
  else text = edited(text, editsOf(text, { format, mime, codings: [], bytes, truncated: null }, fresh, subject));
  for (const [old, next] of fresh.uuids) text = text.replaceAll(old, next);
  return Buffer.from(text, 'latin1');
}

/** The catalog request's form; see decode/catalog-request.ts. */
function freshForm(form: string, fresh: Fresh): string {
  const pairs = form.split('&');
  const mime = mimeOf(first(formPairs(form), 'facts_format'));
  return pairs
    .map(pair => {
      if (!pair.startsWith('facts=')) return pair;
      const value = editTwiceEscaped(pair.slice('facts='.length), text => {
        const bytes = Buffer.from(text, 'latin1');
        return editsOf(text, { format: formatOf(mime, bytes), mime, codings: [], bytes, truncated: null }, fresh, 'facts');
      });
      return `facts=${value}`;
    })
    .join('&');
}

/** What changes in a body of JSON, PSON or MessagePack; nothing in other formats. */
function editsOf(text: string, body: Body, fresh: Fresh, subject: 'catalog' | 'report' | 'facts'): Edit[] {
  const kind = kindOf(body.format);
  if (kind === null) return [];
  return [
    ...certnameEdits(text, kind, fresh.certname),
    ...(subject === 'report' ? codeEdits(text, kind, fresh.codeIds) : []),
    ...(subject === 'report' ? reportTimes(text, kind, fresh) : factTimes(text, kind, body, fresh)),
  ];
}

type Kind = 'json' | 'msgpack';

function kindOf(format: Format): Kind | null {
  if (format === 'json' || format === 'rich-json' || format === 'pson') return 'json';
  return format === 'msgpack' || format === 'rich-msgpack' ? 'msgpack' : null;
}

/** Values that are the certname: `name`, `clientcert`, `networking.fqdn`, `host`. Names of keys are left alone. */
function certnameEdits(text: string, kind: Kind, { from, to }: Fresh['certname']): Edit[] {
  if (from === to) return [];
  const old = kind === 'json' ? `"${from}"` : packed(from);
  const next = kind === 'json' ? `"${to}"` : packed(to);
  const edits: Edit[] = [];
  for (let start = text.indexOf(old); start >= 0; start = text.indexOf(old, start + old.length)) {
    const end = start + old.length;
    if (kind === 'json' && /^\s*:/.test(text.slice(end, end + 16))) continue;
    edits.push({ start, end, text: next });
  }
  return edits;
}

/** The report names the version of the code that it applied. */
function codeEdits(text: string, kind: Kind, codeIds: Fresh['codeIds']): Edit[] {
  return [...codeIds].flatMap(([old, next]) => {
    const key = kind === 'json' ? '"code_id":' : packed('code_id');
    const start = text.indexOf(key + (kind === 'json' ? JSON.stringify(old) : packed(old))) + key.length;
    if (start < key.length) return [];
    const quoted = (id: string): string => (kind === 'json' ? JSON.stringify(id) : packed(id));
    return [{ start, end: start + quoted(old).length, text: quoted(next) }];
  });
}

/** A string of MessagePack with its header, Latin-1. At most 255 characters, all ASCII. */
function packed(text: string): string {
  return text.length < 32 ? String.fromCharCode(0xa0 + text.length) + text : `\xd9${String.fromCharCode(text.length)}${text}`;
}

const TIME = String.raw`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?`;
const REPORT_TIME: Record<Kind, RegExp> = {
  // Inside a message the quotes are escaped, so that this is always a key.
  json: new RegExp(String.raw`"time":\s?"(${TIME})"`, 'dg'),
  msgpack: new RegExp(String.raw`\xa4time(?:[\xa0-\xbf]|\xd9[\s\S])(${TIME})`, 'dg'),
};

/** The report's own time, and those of its log lines, resources and events. */
function reportTimes(text: string, kind: Kind, fresh: Fresh): Edit[] {
  return [...text.matchAll(REPORT_TIME[kind])].flatMap(match => {
    const [start, end] = match.indices![1]!;
    const at = timeAt(match[1]!);
    const next = at === null ? null : restamped(match[1]!, at, Math.min(wholeMs(at) + fresh.shiftMs, fresh.now));
    return next === null ? [] : [{ start, end, text: next }];
  });
}

/** `timestamp` and `expiration` of facts; they live as long as the recorded ones. */
function factTimes(text: string, kind: Kind, body: Body, fresh: Fresh): Edit[] {
  const own = ownTimes(body);
  const at = timeAt(own.timestamp);
  if (at === null) return [];
  return Object.entries(own).flatMap(([name, value]) => {
    const was = timeAt(value);
    const next = was === null || value === null ? null : restamped(value, was, fresh.now + wholeMs(was) - wholeMs(at));
    if (next === null || value === null) return [];
    const key = kind === 'json' ? `"${name}"` : packed(name);
    // The last one: a fact of the same name and value would be among the values, which come first (Puppet::Node::Facts#to_data_hash).
    const keyAt = text.lastIndexOf(key);
    const start = keyAt < 0 ? -1 : text.indexOf(value, keyAt + key.length);
    const between = start < 0 ? null : text.slice(keyAt + key.length, start);
    const isValue = kind === 'json' ? /^\s*:\s*"$/ : /^(?:[\xa0-\xbf]|\xd9[\s\S])$/;
    return between !== null && isValue.test(between) ? [{ start, end: start + value.length, text: next }] : [];
  });
}

/** Digits below a millisecond stay as they are. 0.57 s are 569.99… ms in floating point. */
function wholeMs(at: number): number {
  return Math.floor(at + 0.0005);
}

function ownTimes(body: Body): { timestamp: string | null; expiration: string | null } {
  try {
    const data = parseBody(body, DEFAULT_LIMITS);
    const facts = dataField(data, 'timestamp') === null ? dataField(data, 'facts') : data;
    return { timestamp: textOf(dataField(facts, 'timestamp')), expiration: textOf(dataField(facts, 'expiration')) };
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return { timestamp: null, expiration: null };
    throw error;
  }
}

/**
 * Another moment written as `text` is: its separator, its zone, as many digits. So it takes as many bytes, and a format that counts
 * them stays in order. `null` when that cannot be.
 */
export function restamped(text: string, was: number, at: number): string | null {
  const [, separator = '', fraction = '', zone = ''] = /^\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.\d+)?(.*)$/.exec(text) ?? [];
  const local = timeAt(`${text.slice(0, 19)}Z`);
  if (separator === '' || local === null) return null;
  const offset = local - Math.floor(was / 1000) * 1000;
  const date = new Date(at + offset);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999) return null;
  const iso = date.toISOString();
  const digits = fraction === '' ? '' : `.${(iso.slice(20, 23) + fraction.slice(4)).slice(0, fraction.length - 1)}`;
  return iso.slice(0, 10) + separator + iso.slice(11, 19) + digits + zone;
}
