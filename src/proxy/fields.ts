import type { Fields } from '../model.ts';

/** Node's and undici's flat `[name, value, name, value, …]` as pairs, order, case and duplicates kept. */
export function pairs(flat: readonly string[]): Fields {
  const fields: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) fields.push([flat[i]!, flat[i + 1]!]);
  return fields;
}

/** The same as {@link pairs} over raw bytes; field values are octets, so Latin-1 keeps every one of them (RFC 9110 section 5.5). */
export function latin1Pairs(flat: readonly (Buffer | string)[]): Fields {
  return pairs(flat.map(part => (typeof part === 'string' ? part : part.toString('latin1'))));
}

export function flat(fields: Fields): string[] {
  const out: string[] = [];
  for (const [name, value] of fields) out.push(name, value);
  return out;
}

/** The first value of a field, `null` when it is absent. `name` is in lower case. */
export function field(fields: Fields, name: string): string | null {
  for (const [key, value] of fields) if (key.length === name.length && key.toLowerCase() === name) return value;
  return null;
}

/** Fields that belong to one connection and are never forwarded (RFC 9110 section 7.6.1, and the historical Proxy-Connection). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Whether one of the Connection fields says `close`. */
export function announcesClose(fields: Fields): boolean {
  for (const [name, value] of fields)
    if (name.length === 10 && name.toLowerCase() === 'connection' && /close/i.test(value)) return true;
  return false;
}

/** The hop-by-hop names of one message: the fixed ones and those that its Connection fields name. */
function hopByHop(fields: Fields): ReadonlySet<string> {
  let names: Set<string> | null = null;
  for (const [name, value] of fields) {
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const token of value.toLowerCase().split(',')) {
      const option = token.trim();
      // RFC 9110 section 7.6.1: an option must not name a field that is meant for everybody; framing and Host stay.
      if (option === '' || option === 'close' || option === 'content-length' || option === 'host') continue;
      names ??= new Set(HOP_BY_HOP);
      names.add(option);
    }
  }
  return names ?? HOP_BY_HOP;
}

/**
 * What goes to the primary of an agent's field lines: all of them as received, less
 * - the hop-by-hop ones,
 * - `Expect`, which the proxy has answered itself,
 * - `Trailer`: undici sends no trailers, and RFC 9110 section 6.5.1 lets whoever is in between leave them out,
 * - `X-Client-*`, with which a primary in `allow-header-cert-info` mode lets anybody name himself.
 * `Host` becomes `host`: Jetty answers 400 when it disagrees with the SNI that we send.
 */
export function requestFields(fields: Fields, host: string): Fields {
  const hop = hopByHop(fields);
  const out: (readonly [string, string])[] = [];
  let hosted = false;
  for (const line of fields) {
    const name = line[0].toLowerCase();
    if (hop.has(name) || name === 'expect' || name === 'trailer' || name.startsWith('x-client-')) continue;
    if (name === 'host') {
      if (!hosted) out.push([line[0], host]);
      hosted = true;
    } else out.push(line);
  }
  if (!hosted) out.unshift(['Host', host]);
  return out;
}

/**
 * What goes to the agent of a primary's field lines. `Transfer-Encoding: chunked` stays where the answer will be framed that way,
 * so that the field keeps its place.
 * @param chunked whether the answer to the agent may be chunked (HTTP/1.1, and a status that may have a body)
 */
export function responseFields(fields: Fields, chunked: boolean): Fields {
  const hop = hopByHop(fields);
  return fields.filter(([raw, value]) => {
    const name = raw.toLowerCase();
    if (name === 'transfer-encoding') return chunked && value.toLowerCase() === 'chunked';
    // Announced where none can come, it is nothing that Node would write.
    if (name === 'trailer') return chunked && field(fields, 'transfer-encoding')?.toLowerCase() === 'chunked';
    return !hop.has(name);
  });
}

/** Content-Length as a number of bytes, `null` when there is none. Node and undici have refused malformed and conflicting ones. */
export function contentLength(fields: Fields): number | null {
  const value = field(fields, 'content-length');
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

/** Whether a request has a body: RFC 9112 section 6.3, one with neither field has none. */
export function hasRequestBody(fields: Fields): boolean {
  const length = contentLength(fields);
  return (length !== null && length > 0) || field(fields, 'transfer-encoding') !== null;
}
