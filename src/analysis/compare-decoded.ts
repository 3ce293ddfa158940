import { createHash } from 'node:crypto';
import { type Decoded, decodeExchange } from '../decode/decode.ts';
import { bodyOf } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS, type Decoding } from '../decode/limits.ts';
import type { Fields } from '../model.ts';
import type { BodyData, ExchangeData } from './compare-data.ts';
import { routed } from './compare-match.ts';

/** Decodes exchanges, each once. */
export type Decoder = (exchange: ExchangeData) => Decoded;

export function createDecoder(): Decoder {
  const known = new Map<ExchangeData, Decoded>();
  return exchange => {
    const found = known.get(exchange);
    if (found !== undefined) return found;
    const decoded = decodeExchange({
      method: exchange.method,
      target: exchange.target,
      route: routed(exchange).route,
      status: exchange.status,
      requestFields: exchange.requestFields,
      request: exchange.request?.bytes ?? null,
      responseFields: exchange.responseFields,
      response: exchange.response?.bytes ?? null,
    });
    known.set(exchange, decoded);
    return decoded;
  };
}

/** The value of what was decoded, `null` when there is none. */
export function valueIn<T>(part: Decoding<T> | null): T | null {
  return part !== null && 'value' in part ? part.value : null;
}

/** A body without its content codings, `null` when it is not at hand or they cannot be undone. */
export function plainBytes(body: BodyData | null, fields: Fields): Uint8Array | null {
  const bytes = body?.bytes ?? null;
  if (bytes === null) return null;
  const plain = attempt(() => bodyOf(bytes, fields, DEFAULT_LIMITS));
  return 'value' in plain ? plain.value.bytes : null;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
