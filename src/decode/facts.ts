import { type Data, field, isMapping, textOf, unwrap } from './data.ts';
import { budgetOf, type Limits, Malformed } from './limits.ts';
import { type Rich, type RichMap, richMapOf } from './rich-data.ts';
import { richText } from './rich-text.ts';

/** Type of a leaf, by Puppet's names. */
export type FactType = 'String' | 'Integer' | 'Float' | 'Boolean' | 'Undef' | 'Binary' | 'Hash' | 'Array' | 'Other';

/** One leaf of the facts: what a person looks for, and what can be compared between runs. */
export interface FactRow {
  /** `os.release.major`, `processors.models.0`; a key with a dot in it is quoted. */
  path: string;
  type: FactType;
  value: string;
  /** Of the value as text, in UTF-8. */
  bytes: number;
}

/** One of Puppet's soft limits, with what it is held against (`lib/puppet/configurer.rb`, check_facts_limits). */
export interface SoftLimit {
  setting: keyof typeof SOFT_LIMITS;
  limit: number;
  actual: number;
  /** The fact whose name or value is the longest; `null` for walk. */
  path: string | null;
  exceeded: boolean;
}

export interface Facts {
  /** The certname that the facts are of. */
  name: string | null;
  timestamp: string | null;
  expiration: string | null;
  values: RichMap;
  rows: FactRow[];
  softLimits: SoftLimit[];
}

/** Defaults (`lib/puppet/defaults.rb`, 7.23 and 8.10). The agent's own settings are not on the wire. */
export const SOFT_LIMITS = {
  number_of_facts_soft_limit: 2048,
  top_level_facts_soft_limit: 512,
  fact_name_length_soft_limit: 2560,
  fact_value_length_soft_limit: 4096,
  payload_soft_limit: 16 * 1024 * 1024,
} as const;

/**
 * Facts as an agent sends them: `{name, values, timestamp, expiration}`.
 *
 * @param payloadBytes size of the encoded facts, as Puppet counts it: percent-encoded once
 * @throws Malformed
 */
export function factsOf(data: Data, payloadBytes: number, limits: Limits): Facts {
  const facts = unwrap(data);
  const values = field(facts, 'values');
  if (!isMapping(values)) throw new Malformed('facts without values');
  const tree = richMapOf(values, budgetOf(limits), false);
  const walk: Walk = {
    rows: [],
    facts: 0,
    pathChars: limits.bodyBytes,
    name: { bytes: 0, path: null },
    value: { bytes: 0, path: null },
  };
  branches(tree, null, walk);
  return {
    name: textOf(field(facts, 'name')),
    timestamp: textOf(field(facts, 'timestamp')) ?? textOf(field(values, '_timestamp')),
    expiration: textOf(field(facts, 'expiration')),
    values: tree,
    rows: walk.rows,
    softLimits: softLimits(tree.size, walk, payloadBytes),
  };
}

interface Longest {
  bytes: number;
  path: string | null;
}

/** Where a walk through the facts stands. */
interface Place {
  /** As {@link FactRow} has it. */
  path: string;
  /** Bytes of the names on the way, without separators, and how many they are. */
  nameBytes: number;
  parts: number;
}

interface Walk {
  rows: FactRow[];
  facts: number;
  /** Characters that paths may still take: a long name above many leaves is in the path of each. */
  pathChars: number;
  name: Longest;
  value: Longest;
}

function branches(value: RichMap | readonly Rich[], place: Place | null, walk: Walk): void {
  if (Array.isArray(value)) for (const [index, item] of value.entries()) visit(item, below(place, String(index)), walk);
  else {
    // configurer.rb, parse_fact_name_and_value_limits: every key of every hash is a fact, whatever its depth
    const map = value as RichMap;
    walk.facts += map.size;
    for (const [key, item] of map) visit(item, below(place, key), walk);
  }
}

function below(place: Place | null, key: string): Place {
  const part = /[."]/.test(key) ? JSON.stringify(key) : key;
  const bytes = Buffer.byteLength(key);
  if (place === null) return { path: part, nameBytes: bytes, parts: 1 };
  return { path: `${place.path}.${part}`, nameBytes: place.nameBytes + bytes, parts: place.parts + 1 };
}

function visit(value: Rich, place: Place, walk: Walk): void {
  if (value instanceof Map ? value.size > 0 : Array.isArray(value) && value.length > 0) {
    branches(value as RichMap | readonly Rich[], place, walk);
    return;
  }
  walk.pathChars -= place.path.length;
  if (walk.pathChars < 0) throw new Malformed('the paths of the facts are longer than a body may be');
  const text = richText(value, 'reveal');
  const row: FactRow = { path: place.path, type: typeOf(value), value: text, bytes: Buffer.byteLength(text) };
  walk.rows.push(row);
  // configurer.rb, check_fact_name_length: the size of the path as a key of PuppetDB's index
  longest(walk.name, 8 + place.parts * 2 + place.nameBytes, row.path);
  longest(walk.value, row.bytes, row.path);
}

function longest(record: Longest, bytes: number, path: string): void {
  if (bytes <= record.bytes) return;
  record.bytes = bytes;
  record.path = path;
}

function typeOf(value: Rich): FactType {
  if (value === null) return 'Undef';
  if (Array.isArray(value)) return 'Array';
  switch (typeof value) {
    case 'string':
      return 'String';
    case 'boolean':
      return 'Boolean';
    case 'bigint':
      return 'Integer';
    case 'number':
      return Number.isInteger(value) ? 'Integer' : 'Float';
    default:
  }
  if (value instanceof Map) return 'Hash';
  return 'type' in value && (value.type === 'Binary' || value.type === 'Float') ? value.type : 'Other';
}

function softLimits(topLevel: number, walk: Walk, payloadBytes: number): SoftLimit[] {
  const check = (setting: keyof typeof SOFT_LIMITS, actual: number, path: string | null): SoftLimit => {
    const limit = SOFT_LIMITS[setting];
    return { setting, limit, actual, path, exceeded: actual > limit };
  };
  return [
    check('number_of_facts_soft_limit', walk.facts, null),
    check('top_level_facts_soft_limit', topLevel, null),
    check('fact_name_length_soft_limit', walk.name.bytes, walk.name.path),
    check('fact_value_length_soft_limit', walk.value.bytes, walk.value.path),
    check('payload_soft_limit', payloadBytes, null),
  ];
}
