import { readFileSync } from 'node:fs';
import { type Decoded, type DecodeInput, decodeExchange } from '../../src/decode/decode.ts';
import type { Decoding } from '../../src/decode/limits.ts';
import { routeOf } from '../../src/decode/route.ts';
import type { Fields, Phase } from '../../src/model.ts';

/** Bytes of a fixture; see fixtures/make.rb. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`fixtures/${name}.body`, import.meta.url)));
}

/** What Puppet and OpenSSL themselves read out of the fixtures. */
export function expected<T>(name: string): T {
  const all: Record<string, T> = JSON.parse(readFileSync(new URL('fixtures/expected.json.body', import.meta.url), 'utf8'));
  return all[name]!;
}

export const contentType = (value: string): Fields => [['Content-Type', value]];

type Exchange = Partial<Omit<DecodeInput, 'route'>> & { target: string };

/** An exchange as the decoder gets it; a GET that was answered 200 unless said otherwise. */
export function exchange(given: Exchange): DecodeInput {
  const method = given.method ?? 'GET';
  const base = { status: 200, requestFields: [], request: null, responseFields: [], response: null };
  return { ...base, ...given, method, route: routeOf(method, given.target) };
}

/** The member of the union that a phase has; some phases share one. */
type DecodedOf<P extends Phase, D = Decoded> = D extends { phase: infer Q } ? (P extends Q ? D : never) : never;

/** Decodes an exchange that must be of a phase. */
export function decodeAs<P extends Phase>(phase: P, given: Exchange): DecodedOf<P> {
  const decoded = decodeExchange(exchange(given));
  if (decoded.phase !== phase) throw new Error(`decoded as ${decoded.phase}`);
  return decoded as DecodedOf<P>;
}

/** The value of a part that must have decoded. */
export function value<T>(part: Decoding<T> | null): T {
  if (part === null) throw new Error('nothing to decode');
  if ('error' in part) throw new Error(part.error);
  return part.value;
}

/** The reason of a part that must not have decoded. */
export function reason(part: Decoding<unknown> | null): string {
  if (part === null || !('error' in part)) throw new Error('it did decode');
  return part.error;
}
