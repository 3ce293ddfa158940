import {
  type Data,
  entriesOf,
  FLOAT,
  field,
  isMapping,
  isTypeKey,
  itemsOf,
  ptypeOf,
  pvalueOf,
  SYMBOL,
  Tagged,
  textOf,
} from './data.ts';
import { type Budget, spend } from './limits.ts';

/**
 * A value of the Puppet language, as a tree that is safe to clone, store and print: hashes are Maps, so that no key is special and
 * order is kept; what JSON has no word for is a {@link Typed} object.
 */
export type Rich = null | boolean | number | bigint | string | Rich[] | RichMap | Typed;
export type RichMap = ReadonlyMap<string, Rich>;

export type Typed =
  /** Clear text on the wire; for whoever prints it to hide. */
  | { type: 'Sensitive'; value: Rich }
  | { type: 'Binary'; base64: string }
  /** A function that the agent calls when it applies the catalog. */
  | { type: 'Deferred'; name: string; arguments: Rich[] }
  /** What Puppet writes as one string: Timestamp, Timespan, Regexp, SemVer, SemVerRange, URI, Symbol, Type, …: `ptype` says which. */
  | { type: 'Scalar'; ptype: string; text: string }
  /** A hash with a key that is no string. */
  | { type: 'Hash'; entries: [Rich, Rich][] }
  | { type: 'Default' }
  /** A Float that is whole. */
  | { type: 'Float'; value: number }
  /** The same value again: a JSON path from the root of the parameter's resource (`pops/serialization/json_path.rb`). */
  | { type: 'LocalRef'; path: string }
  /** Any other `__ptype` with attributes, and YAML nodes with a tag. */
  | { type: 'Object'; ptype: string; attributes: Rich };

/**
 * The value of parsed data. With `rich`, hashes with a `__ptype` are read as `pops/serialization/to_data_converter.rb` writes them;
 * facts and reports are plain data, where such a key is a key.
 *
 * @throws Malformed when the budget is used up
 */
export function richOf(data: Data, budget: Budget, rich: boolean, depth = 0): Rich {
  spend(budget, depth);
  if (data === null || typeof data !== 'object') return data;
  if (data instanceof Uint8Array) return { type: 'Binary', base64: base64(data) };
  if (Array.isArray(data)) return data.map(item => richOf(item, budget, rich, depth + 1));
  if (data instanceof Tagged) return taggedOf(data, budget, rich, depth);
  if (rich && ptypeOf(data) !== null) return typedOf(data, budget, depth);
  return hashOf(data, budget, rich, depth);
}

/** Sums of 3 bytes make 4 characters; a Buffer view does it without a copy. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function hashOf(data: Data, budget: Budget, rich: boolean, depth: number): Rich {
  const entries: [Rich, Rich][] = [];
  let named = true;
  for (const [key, value] of entriesOf(data)) {
    if (typeof key !== 'string') named = false;
    entries.push([typeof key === 'string' ? key : richOf(key, budget, rich, depth + 1), richOf(value, budget, rich, depth + 1)]);
  }
  return named ? new Map(entries as [string, Rich][]) : { type: 'Hash', entries };
}

function taggedOf(data: Tagged, budget: Budget, rich: boolean, depth: number): Rich {
  if (data.tag === FLOAT && typeof data.value === 'number') return { type: 'Float', value: data.value };
  const text = typeof data.value === 'string' ? data.value : null;
  if (text !== null && data.tag === SYMBOL) return { type: 'Scalar', ptype: 'Symbol', text };
  if (text !== null && data.tag === '!ruby/regexp') return { type: 'Scalar', ptype: 'Regexp', text };
  if (text !== null && data.tag === '!ruby/range') return { type: 'Scalar', ptype: 'Range', text };
  return { type: 'Object', ptype: data.tag, attributes: richOf(data.value, budget, rich, depth + 1) };
}

function typedOf(data: Data, budget: Budget, depth: number): Rich {
  const type = ptypeOf(data);
  const value = pvalueOf(data);
  // A type may be written out as a hash (an object type that the reader need not know).
  const ptype = textOf(type) ?? 'Object';
  switch (ptype) {
    case 'Sensitive':
      return { type: 'Sensitive', value: richOf(value, budget, true, depth + 1) };
    case 'Binary':
      return { type: 'Binary', base64: textOf(value) ?? '' };
    case 'Default':
      return { type: 'Default' };
    case 'LocalRef':
      return { type: 'LocalRef', path: textOf(value) ?? '' };
    case 'Deferred':
      return {
        type: 'Deferred',
        name: textOf(field(data, 'name')) ?? '',
        arguments: itemsOf(field(data, 'arguments')).map(item => richOf(item, budget, true, depth + 1)),
      };
    case 'Hash':
      return { type: 'Hash', entries: pairsOf(itemsOf(value), budget, depth) };
    default:
      return typeof value === 'string' ? { type: 'Scalar', ptype, text: value } : objectOf(data, ptype, budget, depth);
  }
}

/** `[key, value, key, value, …]` */
function pairsOf(items: readonly Data[], budget: Budget, depth: number): [Rich, Rich][] {
  const entries: [Rich, Rich][] = [];
  for (let at = 0; at + 1 < items.length; at += 2) {
    entries.push([richOf(items[at]!, budget, true, depth + 1), richOf(items[at + 1]!, budget, true, depth + 1)]);
  }
  return entries;
}

function objectOf(data: Data, ptype: string, budget: Budget, depth: number): Rich {
  const attributes = new Map<string, Rich>();
  const typeIsText = typeof ptypeOf(data) === 'string';
  for (const [key, value] of entriesOf(data)) {
    if (typeIsText && typeof key === 'string' && isTypeKey(key)) continue;
    attributes.set(textOf(key) ?? '', richOf(value, budget, true, depth + 1));
  }
  return { type: 'Object', ptype, attributes };
}

/** Fields of a hash by name; anything but a hash is empty. */
export function richMapOf(data: Data, budget: Budget, rich: boolean): RichMap {
  const map = new Map<string, Rich>();
  if (!isMapping(data)) return map;
  for (const [key, value] of entriesOf(data)) map.set(textOf(key) ?? '', richOf(value, budget, rich, 1));
  return map;
}
