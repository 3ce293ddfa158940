import { type Data, entriesOf, FLOAT, isMapping, Tagged, textOf } from '../decode/data.ts';
import { fieldValue } from '../decode/encoding.ts';
import { bodyOf, mimeOf, parseBody } from '../decode/format.ts';
import { DEFAULT_LIMITS } from '../decode/limits.ts';
import type { Fields } from '../model.ts';

/*
 * What an agent takes against what was recorded. Agents of all versions list JSON; the one that recorded a run may have had the msgpack
 * gem or PSON, and the one that asks now may not.
 */

/** What is done with a recorded body of a type that the request does not accept. */
export type Fit =
  /** It is accepted, or nothing was asked for. */
  | { type: 'as-recorded' }
  /** MessagePack and PSON are printed as JSON of the same richness. */
  | { type: 'to-json'; mime: string }
  /** Sent all the same: there is no other. */
  | { type: 'misfit'; accepts: string; recorded: string };

const AS_JSON: ReadonlyMap<string, string> = new Map([
  ['application/x-msgpack', 'application/json'],
  ['application/vnd.puppet.rich+msgpack', 'application/vnd.puppet.rich+json'],
  ['text/pson', 'application/json'],
]);

/** @param status of the recorded answer; errors are text or JSON whatever was asked for */
export function fitOf(request: Fields, recorded: Fields, status: number): Fit {
  const mime = mimeOf(fieldValue(recorded, 'content-type'));
  const accept = fieldValue(request, 'accept');
  if (mime === null || accept === null || status !== 200) return { type: 'as-recorded' };
  const accepted = accept.split(',').map(one => mimeOf(one));
  const [major] = mime.split('/');
  if ([mime, `${major}/*`, '*/*'].some(one => accepted.includes(one))) return { type: 'as-recorded' };
  const json = AS_JSON.get(mime);
  if (json !== undefined && accepted.includes(json)) return { type: 'to-json', mime: json };
  if (json !== undefined && accepted.includes('application/json')) return { type: 'to-json', mime: 'application/json' };
  return { type: 'misfit', accepts: accept, recorded: mime };
}

/** A recorded body as JSON, its content codings undone. @throws Malformed */
export function asJson(raw: Uint8Array, recorded: Fields): Buffer {
  return Buffer.from(json(parseBody(bodyOf(raw, recorded, DEFAULT_LIMITS), DEFAULT_LIMITS, true)));
}

/** JSON of what a MessagePack or PSON body holds; the parsers have bounded its depth. */
function json(data: Data): string {
  if (data instanceof Tagged) return data.tag === FLOAT ? (textOf(data) ?? 'null') : json(data.value);
  if (typeof data === 'bigint') return String(data);
  if (data instanceof Uint8Array) return JSON.stringify(Buffer.from(data).toString('utf8'));
  if (Array.isArray(data)) return `[${data.map(json).join(',')}]`;
  if (isMapping(data)) {
    const entries = [...entriesOf(data)].map(([key, value]) => {
      return `${typeof key === 'string' ? JSON.stringify(key) : JSON.stringify(json(key))}:${json(value)}`;
    });
    return `{${entries.join(',')}}`;
  }
  return JSON.stringify(data);
}

/** Whether a request takes a content coding (RFC 9110 section 12.5.3): listed, or covered by `*`, and not with weight 0. */
export function takesCoding(request: Fields, coding: string): boolean {
  const accepted = fieldValue(request, 'accept-encoding');
  if (accepted === null) return false;
  const weights = new Map(
    accepted.split(',').map(part => {
      const [name = '', ...parameters] = part.split(';').map(one => one.trim().toLowerCase());
      const weight = parameters.find(one => one.startsWith('q='))?.slice(2);
      return [name, weight === undefined ? 1 : Number(weight)] as const;
    }),
  );
  const name = coding === 'x-gzip' ? 'gzip' : coding;
  return (weights.get(name) ?? weights.get('*') ?? 0) > 0;
}
