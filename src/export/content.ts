import { Readable } from 'node:stream';
import type { BodyInfo, ExchangeDetail } from '../capture/store.ts';
import { codingsOf, decoderOf, fieldValue } from '../decode/encoding.ts';
import { type Body, bodyOf, formatOf, isPrintable, mimeOf } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS, type Limits } from '../decode/limits.ts';
import { hideInBody } from '../decode/secret-bodies.ts';
import type { Fields, Side } from '../model.ts';
import type { Selection } from './selection.ts';

/** Bodies of at most so many bytes are held whole, one at a time; larger ones pass in pieces. */
const WHOLE_BYTES = 8 << 20;
const WHOLE: Limits = { ...DEFAULT_LIMITS, bodyBytes: WHOLE_BYTES };
/** Where a stream ends: what decompresses without end must not fill a disk. */
const STREAM_BYTES = 4 * 2 ** 30;

/** A body as it is exported: content codings undone, secrets hidden. */
export type Content =
  | { type: 'none' }
  | {
      type: 'whole';
      bytes: Uint8Array;
      mime: string | null;
      /** Something in it was hidden. */
      hidden: boolean;
      /** Content codings that could not be undone: the bytes are as on the wire. */
      coded: boolean;
    }
  | { type: 'pieces'; pieces: AsyncIterable<Uint8Array>; mime: string | null; coded: boolean }
  /** Not to be had, or not to be shown. */
  | { type: 'omitted'; reason: string };

/**
 * Metadata and contents of files come again with each run: what was found in bodies of up to this size is remembered, until it is so much together, and is
 * forgotten all at once then.
 */
const REMEMBERED_BODY = 1 << 20;
const REMEMBERED_BYTES = 2 << 20;
/** What a content takes beside its bytes. */
const ENTRY_BYTES = 512;
/** A longer pattern of a run's secrets is not worth comparing. */
const REMEMBERED_PATTERN = 1000;

interface Remembered {
  contents: Map<string, Content>;
  bytes: number;
}
const remembered = new WeakMap<Selection, Remembered>();

/** @throws CaptureError when the capture cannot be read */
export function contentOf(selection: Selection, exchange: ExchangeDetail, side: Side): Content {
  const info = exchange.bodies.find(body => body.side === side);
  if (info === undefined || info.size === 0) return { type: 'none' };
  const known = selection.hiding(exchange.run)?.known?.source ?? '';
  if (info.kept > REMEMBERED_BODY || known.length > REMEMBERED_PATTERN) return read(selection, exchange, side, info);
  const before = remembered.get(selection) ?? { contents: new Map<string, Content>(), bytes: 0 };
  remembered.set(selection, before);
  const fields = fieldsOf(exchange, side);
  const key = `${info.sha256} ${info.size} ${fieldValue(fields, 'content-type')}\n${fieldValue(fields, 'content-encoding')}\n${known}`;
  let content = before.contents.get(key);
  if (content === undefined) {
    content = read(selection, exchange, side, info);
    // The bytes may be a part of those that were read for other bodies, too.
    if (content.type === 'whole') content = { ...content, bytes: Buffer.from(content.bytes) };
    if (content.type !== 'pieces') remember(before, key, content);
  }
  return content;
}

function remember(before: Remembered, key: string, content: Content): void {
  before.bytes += ENTRY_BYTES + (content.type === 'whole' ? content.bytes.length : 0);
  if (before.bytes > REMEMBERED_BYTES) {
    before.contents.clear();
    before.bytes = 0;
  }
  before.contents.set(key, content);
}

function read(selection: Selection, exchange: ExchangeDetail, side: Side, info: BodyInfo): Content {
  const fields = fieldsOf(exchange, side);
  const codings = codingsOf(fields);
  const mime = mimeOf(fieldValue(fields, 'content-type'));
  if (info.kept > WHOLE_BYTES) return large(selection, exchange, side, codings, mime);
  const opened = attempt(() => openBody(selection, exchange, side, WHOLE));
  if ('error' in opened) {
    if (/is over \d+ bytes$/.test(opened.error)) return large(selection, exchange, side, codings, mime);
    // No coding that is known: the bytes can be shown as they are only to somebody who may see everything.
    if (selection.reveal) return { type: 'whole', bytes: rawBody(selection, exchange, side), mime, hidden: false, coded: true };
    return { type: 'omitted', reason: opened.error };
  }
  const { bytes } = opened.value;
  const hiding = selection.hiding(exchange.run);
  const shown = hiding === null ? { type: 'same' as const } : hideInBody(opened.value, hiding, WHOLE);
  switch (shown.type) {
    case 'same':
      return { type: 'whole', bytes, mime, hidden: false, coded: false };
    case 'changed':
      return { type: 'whole', bytes: shown.bytes, mime: shown.mime, hidden: true, coded: false };
    case 'unreadable':
      return { type: 'omitted', reason: `it cannot be searched for secrets: ${shown.reason}` };
  }
}

/** A body that is held whole, its content codings undone. @throws Malformed */
export function openBody(selection: Selection, exchange: ExchangeDetail, side: Side, limits: Limits): Body {
  const fields = fieldsOf(exchange, side);
  const read = selection.body(exchange, side);
  if (read?.gunzipped !== true) return bodyOf(read?.bytes ?? rawBody(selection, exchange, side), fields, limits);
  const codings = codingsOf(fields);
  // a file of that kind has no coding
  if (codings.length !== 1 || !GZIP.has(codings[0]!)) return bodyOf(rawBody(selection, exchange, side), fields, limits);
  const mime = mimeOf(fieldValue(fields, 'content-type'));
  return { format: formatOf(mime, read.bytes), mime, codings, bytes: read.bytes, truncated: null };
}

function rawBody(selection: Selection, exchange: ExchangeDetail, side: Side): Buffer {
  return Buffer.concat([...selection.store.body(exchange.id, side)]);
}

/** The fields that a body of a side came with; of the primary leg's own bodies they are not kept. */
export function fieldsOf(exchange: ExchangeDetail, side: Side): Fields {
  if (side === 'request') return exchange.request.fields;
  return side === 'response' ? (exchange.response?.fields ?? []) : [];
}

/** A body that is not held whole. Only what is no text is sure to have no secret that a reader could find. */
function large(
  selection: Selection,
  exchange: ExchangeDetail,
  side: Side,
  codings: readonly string[],
  mime: string | null,
): Content {
  const coded = codings.some(coding => !CODINGS.has(coding));
  if (coded && !selection.reveal) return { type: 'omitted', reason: 'its content coding is not known' };
  if (!selection.reveal && looksLikeText(selection, exchange, side, codings)) {
    return { type: 'omitted', reason: `a text of over ${WHOLE_BYTES} bytes is not searched for secrets` };
  }
  const raw = (): Iterable<Uint8Array> => selection.store.body(exchange.id, side);
  return { type: 'pieces', pieces: decoded(raw, coded ? [] : codings), mime, coded };
}

/** The first bytes of a large body. */
function looksLikeText(selection: Selection, exchange: ExchangeDetail, side: Side, codings: readonly string[]): boolean {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const part of selection.store.body(exchange.id, side)) {
    parts.push(part);
    length += part.length;
    if (length >= 64 << 10) break;
  }
  const head = Buffer.concat(parts).subarray(0, 64 << 10);
  const plain = attempt(() => bodyOf(head, [['Content-Encoding', codings.join(', ')]], DEFAULT_LIMITS));
  if ('error' in plain) return true;
  // a character may be cut at the end of what was read
  const { bytes } = plain.value;
  return !bytes.subarray(0, 8000).includes(0) && isPrintable(bytes.subarray(0, Math.max(0, bytes.lastIndexOf(0x0a))));
}

const GZIP: ReadonlySet<string> = new Set(['gzip', 'x-gzip']);
const CODINGS: ReadonlySet<string> = new Set([...GZIP, 'deflate', 'br', 'zstd']);

/** Pieces of a body with its codings undone; data that is corrupt ends where it is. */
async function* decoded(raw: () => Iterable<Uint8Array>, codings: readonly string[]): AsyncGenerator<Uint8Array> {
  let stream: Readable = Readable.from(raw());
  for (const coding of [...codings].reverse()) {
    const decoder = decoderOf(coding);
    if (decoder === null) break;
    const before = stream;
    before.once('error', error => decoder.destroy(error));
    stream = before.pipe(decoder);
  }
  let length = 0;
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      length += piece.length;
      if (length > STREAM_BYTES) return;
      yield piece;
    }
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error)) throw error; // what zlib says of damaged data has one
  }
}
