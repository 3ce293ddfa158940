/**
 * A parsed body, whatever its format: JSON and PSON give objects, MessagePack and YAML give Maps (their keys need not be
 * strings). Decoders read it through {@link field} and the readers below, which only ever see own data: a key named
 * `__proto__` or `constructor` is a key like any other, and an absent one is never found on a prototype.
 */
export type Data = null | boolean | number | bigint | string | Uint8Array | Data[] | DataMap | DataObject | Tagged;
export type DataMap = Map<Data, Data>;
export interface DataObject {
  [key: string]: Data;
}

/** A YAML node with a tag, or a MessagePack extension: `value` stays plain data, no object of any class is ever made. */
export class Tagged {
  readonly tag: string;
  value: Data;

  constructor(tag: string, value: Data) {
    this.tag = tag;
    this.value = value;
  }

  /** For JSON.stringify: a {@link FLOAT} is `1.0`, which no number of JavaScript's gives. */
  toJSON(): unknown {
    const { tag, value } = this;
    return tag === FLOAT && typeof value === 'number' ? rawJson(floatText(value)) : { tag, value };
  }
}

/** In every engine that stringtap runs on, and not yet in its types. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): object };

/** Tag of Ruby symbols: `:absent`, `!ruby/sym absent`. */
export const SYMBOL = '!ruby/sym';

function untagged(data: Data): Exclude<Data, Tagged> {
  let inner = data;
  while (inner instanceof Tagged) inner = inner.value;
  return inner;
}

/**
 * Tag of a number that is written with a fraction or an exponent, and is whole all the same: `2048.0`, a Float of Puppet's, which is no Integer. Only
 * a parser that is asked for it gives it.
 */
export const FLOAT = 'float';

/** A whole number as Ruby writes a Float. */
export function floatText(value: number): string {
  const text = Object.is(value, -0) ? '-0' : String(value);
  return Math.abs(value) < 1e15 ? `${text}.0` : value.toExponential().replace(/^(-?\d)e/, '$1.0e');
}

/** Object or map below any tags (`!ruby/object:Puppet::…` says nothing that its fields do not). */
function container(data: Data): DataMap | DataObject | null {
  const inner = untagged(data);
  if (inner === null || typeof inner !== 'object' || Array.isArray(inner) || inner instanceof Uint8Array) return null;
  return inner;
}

export function isMapping(data: Data): boolean {
  return container(data) !== null;
}

/** The value of a key, `null` when there is none. */
export function field(data: Data, key: string): Data {
  const from = container(data);
  if (from === null) return null;
  if (from instanceof Map) return from.get(key) ?? null;
  return Object.hasOwn(from, key) ? (from[key] ?? null) : null;
}

export function has(data: Data, key: string): boolean {
  const from = container(data);
  return from !== null && (from instanceof Map ? from.has(key) : Object.hasOwn(from, key));
}

/** The key that names the type of a value in rich data, and that of its value; up to Puppet 5 in other words (`pops/serialization.rb`). */
const PTYPE_KEYS = ['__ptype', '__pcore_type__'] as const;
const PVALUE_KEYS = ['__pvalue', '__pcore_value__'] as const;

export function isTypeKey(name: string): boolean {
  return name === PTYPE_KEYS[0] || name === PTYPE_KEYS[1];
}

/** The type of a value in rich data; `null` of a hash that is just one, and of anything else. */
export function ptypeOf(data: Data): Data {
  return field(data, PTYPE_KEYS[0]) ?? field(data, PTYPE_KEYS[1]);
}

/** What a typed value is, `null` for one that is written in attributes. */
export function pvalueOf(data: Data): Data {
  return field(data, PVALUE_KEYS[0]) ?? field(data, PVALUE_KEYS[1]);
}

/** Key and value of every entry; of anything but a mapping, none. */
export function entriesOf(data: Data): Iterable<readonly [Data, Data]> {
  const from = container(data);
  if (from === null) return [];
  return from instanceof Map ? from : Object.entries(from);
}

/** Items of an array below any tags; of anything else, none. */
export function itemsOf(data: Data): readonly Data[] {
  const inner = untagged(data);
  return Array.isArray(inner) ? inner : [];
}

export function isList(data: Data): boolean {
  return Array.isArray(untagged(data));
}

/** Scalars as text (a symbol by its name, bytes as UTF-8 where they are); `null` for nothing and for containers. */
export function textOf(data: Data): string | null {
  if (typeof data === 'string') return data;
  if (typeof data === 'number' || typeof data === 'boolean' || typeof data === 'bigint') return String(data);
  if (data instanceof Uint8Array) return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
  if (data instanceof Tagged)
    return data.tag === FLOAT && typeof data.value === 'number' ? floatText(data.value) : textOf(data.value);
  return null;
}

export function numberOf(data: Data): number | null {
  if (typeof data === 'number') return data;
  if (typeof data === 'bigint') return Number(data);
  if (data instanceof Tagged && data.tag === FLOAT) return numberOf(data.value);
  if (typeof data !== 'string' || data.trim() === '') return null;
  const number = Number(data);
  return Number.isFinite(number) ? number : null;
}

export function booleanOf(data: Data): boolean | null {
  if (typeof data === 'boolean') return data;
  const text = textOf(data);
  return text === 'true' ? true : text === 'false' ? false : null;
}

/** Texts of an array; of a single text, that one. */
export function textsOf(data: Data): string[] {
  if (typeof data === 'string') return [data];
  return itemsOf(data)
    .map(textOf)
    .filter(text => text !== null);
}

/**
 * Tags of a resource, event or log line. An array in JSON; in YAML of Puppet 3 a `Puppet::Util::TagSet`, a Ruby set that is printed
 * as `hash: {tag: true}`.
 */
export function tagsOf(data: Data): string[] {
  if (!isMapping(data)) return textsOf(data);
  const set = isMapping(field(data, 'hash')) ? field(data, 'hash') : data;
  return [...entriesOf(set)].map(([key]) => textOf(key)).filter(text => text !== null);
}

/**
 * What is inside the envelope that Puppet 2 and 3 put around PSON: `{"document_type": …, "data": …, "metadata": …}`
 * (`network/formats.rb`, data_to_instance).
 */
export function unwrap(data: Data): Data {
  return has(data, 'document_type') && has(data, 'data') ? field(data, 'data') : data;
}
