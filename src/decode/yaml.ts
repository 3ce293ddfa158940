import { isUtf8 } from 'node:buffer';
import {
  defineMappingTag,
  defineScalarTag,
  defineSequenceTag,
  FAILSAFE_SCHEMA,
  load,
  mergeTag,
  NOT_RESOLVED,
  nullYaml11Tag,
  type Schema,
  YAMLException,
} from 'js-yaml';
import { type Data, type DataMap, SYMBOL, Tagged, FLOAT as WHOLE_FLOAT } from './data.ts';
import { type Limits, Malformed } from './limits.ts';

/**
 * Parses YAML as Ruby's Psych writes it, for every Puppet since 2.6. Tags never make objects of classes: `!ruby/object:Puppet::…` and any
 * other tag is kept as a {@link Tagged} mapping, sequence or text. Aliases share their target, and what they multiply to counts as
 * if it were written out.
 *
 * @param floats whole numbers that are written as floats stay that: see FLOAT in data.ts
 * @throws Malformed
 */
export function parseYaml(bytes: Uint8Array, limits: Limits, floats = false): Data {
  // Ruby 1.8 wrote text in whatever encoding it had; latin1 keeps every byte.
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(isUtf8(bytes) ? 'utf8' : 'latin1');
  checkSize(source, limits);
  const data = loadYaml(source, limits, floats ? RUBY_SCHEMA_WITH_FLOATS : RUBY_SCHEMA);
  if (source.includes('*')) measure(data, { limits, known: new Map() }, 0);
  return data;
}

function loadYaml(source: string, limits: Limits, schema: Schema): Data {
  try {
    return load(source, { schema, json: true, maxDepth: limits.depth, maxAliases: limits.aliases }) as Data;
  } catch (error) {
    if (!(error instanceof YAMLException)) throw new Malformed('not YAML');
    const line = error.mark === undefined ? '' : ` at line ${error.mark.line + 1}`;
    throw new Malformed(`not YAML${line}: ${reasonOf(error)}`);
  }
}

/** What a node is with its aliases written out. */
interface Extent {
  values: number;
  depth: number;
}

/** Sizes up a tree that shares nodes, each node once: a bomb is found at the cost of what it is, not of what it expands to. */
function measure(data: Data, walk: { limits: Limits; known: Map<object, Extent> }, level: number): Extent {
  if (data === null || typeof data !== 'object' || data instanceof Uint8Array) return { values: 1, depth: 0 };
  const { limits, known } = walk;
  // A node that contains itself has no end; it is met here by its depth.
  if (level > limits.depth) throw new Malformed(`YAML nested deeper than ${limits.depth}`);
  const before = known.get(data);
  if (before !== undefined) return before;
  const extent: Extent = { values: 1, depth: 0 };
  for (const child of childrenOf(data)) {
    const inner = measure(child, walk, level + 1);
    extent.values += inner.values;
    extent.depth = Math.max(extent.depth, inner.depth + 1);
  }
  if (extent.depth > limits.depth) throw new Malformed(`YAML nested deeper than ${limits.depth}`);
  if (extent.values > limits.items) throw new Malformed(`YAML whose aliases make more than ${limits.items} values`);
  known.set(data, extent);
  return extent;
}

function childrenOf(data: Exclude<Data, null | boolean | number | bigint | string | Uint8Array>): Iterable<Data> {
  if (data instanceof Tagged) return [data.value];
  if (Array.isArray(data)) return data;
  return data instanceof Map ? [...data.keys(), ...data.values()] : Object.values(data);
}

/** The parser's reasons are fixed words, some with a name from the document; that name may be long. */
function reasonOf(error: YAMLException): string {
  return error.reason.length > 120 ? `${error.reason.slice(0, 120)}…` : error.reason;
}

/**
 * The parser keeps an event of about 150 bytes for every node. A line holds few block nodes, a flow node needs an indicator: half
 * as many of them as the limit of values bounds the events by it.
 */
function checkSize(source: string, limits: Limits): void {
  let nodes = 0;
  for (let at = 0; at < source.length; at++) {
    const code = source.charCodeAt(at);
    // line feed, carriage return, comma, [, {
    if (code === 0x0a || code === 0x0d || code === 0x2c || code === 0x5b || code === 0x7b) nodes += 1;
  }
  if (nodes > limits.items / 2) throw new Malformed(`YAML with more than ${limits.items / 2} lines and flow items`);
}

/** A schema that only reads: nothing of ours writes YAML. */
const never = (): boolean => false;

function scalarTag(name: string, resolve: (source: string, tag: string) => Data, prefix = false) {
  return defineScalarTag<Data>(name, {
    matchByTagPrefix: prefix,
    resolve: (source, _explicit, tag) => resolve(source, tag),
    identify: never,
  });
}

function implicitTag(name: string, firstChars: string, resolve: (source: string) => Data | typeof NOT_RESOLVED) {
  return defineScalarTag<Data>(name, { implicit: true, implicitFirstChars: [...firstChars], resolve, identify: never });
}

/** Psych knows these words (YAML 1.1 without `y` and `n`; `scalar_scanner.rb`, tokenize). */
const TRUE = /^(?:yes|true|on)$/i;
const FALSE = /^(?:no|false|off)$/i;
const INTEGER = /^[-+]?(?:0|[1-9](?:\d|[,_]\d){0,400})$/;
const FLOAT = /^[-+]?\d{1,400}(?:[,_]\d{1,400})*\.\d{0,400}(?:e[-+]?\d{1,4})?$/i;
const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['.inf', Number.POSITIVE_INFINITY],
  ['-.inf', Number.NEGATIVE_INFINITY],
  ['.nan', Number.NaN],
]);

function resolveNumber(source: string): Data | typeof NOT_RESOLVED {
  if (INTEGER.test(source)) {
    const digits = source.replaceAll(/[,_]/g, '');
    const number = Number(digits);
    return Number.isSafeInteger(number) ? number : BigInt(digits.replace('+', ''));
  }
  if (FLOAT.test(source)) return Number(source.replaceAll(/[,_]/g, ''));
  return SPECIAL.get(source.toLowerCase()) ?? NOT_RESOLVED;
}

function resolveExactly(source: string): Data | typeof NOT_RESOLVED {
  const number = resolveNumber(source);
  return FLOAT.test(source) && Number.isInteger(number) ? new Tagged(WHOLE_FLOAT, number as number) : number;
}

function resolveBoolean(source: string): Data | typeof NOT_RESOLVED {
  if (TRUE.test(source)) return true;
  return FALSE.test(source) ? false : NOT_RESOLVED;
}

/** `:absent` and `:"with blanks"`; `::` is none. */
function resolveSymbol(source: string): Data | typeof NOT_RESOLVED {
  const match = /^:(?:"([^"]*)"|'([^']*)'|([^:"'\s][^"'\s]*))$/.exec(source);
  return match === null ? NOT_RESOLVED : new Tagged(SYMBOL, match[1] ?? match[2] ?? match[3]!);
}

/** One tag for `:absent` and for `!ruby/sym absent`, which is explicit and names the symbol without its colon. */
const symbolTag = defineScalarTag<Data>(SYMBOL, {
  implicit: true,
  implicitFirstChars: [':'],
  resolve: (source, explicit) => (explicit ? new Tagged(SYMBOL, source) : resolveSymbol(source)),
  identify: never,
});

function binary(source: string): Data {
  return new Uint8Array(Buffer.from(source, 'base64'));
}

/** A symbol as a key is that name: Puppet 2 wrote `:name: value` where later ones write `name: value`. */
function keyOf(key: unknown): Data {
  return key instanceof Tagged && (key.tag === SYMBOL || key.tag === WHOLE_FLOAT) ? key.value : (key as Data);
}

const rubyMap = defineMappingTag<DataMap>('tag:yaml.org,2002:map', {
  create: () => new Map(),
  addPair: (map, key, value) => {
    map.set(keyOf(key), value as Data);
    return '';
  },
  has: (map, key) => map.has(keyOf(key)),
  keys: map => map.keys(),
  get: (map, key) => map.get(keyOf(key)),
  identify: never,
});

function inner(tagged: Tagged): DataMap {
  return tagged.value as DataMap;
}

/** Any tag on a mapping or a sequence, local (`!ruby/object:X`) or global (`tag:…`). */
function taggedMap(prefix: string) {
  return defineMappingTag<Tagged>(prefix, {
    matchByTagPrefix: true,
    create: name => new Tagged(name, new Map()),
    addPair: (tagged, key, value) => {
      inner(tagged).set(keyOf(key), value as Data);
      return '';
    },
    has: (tagged, key) => inner(tagged).has(keyOf(key)),
    keys: tagged => inner(tagged).keys(),
    get: (tagged, key) => inner(tagged).get(keyOf(key)),
    identify: never,
  });
}

function taggedSequence(prefix: string) {
  return defineSequenceTag<Tagged>(prefix, {
    matchByTagPrefix: true,
    create: name => new Tagged(name, []),
    addItem: (tagged, item) => {
      (tagged.value as Data[]).push(item as Data);
    },
    identify: never,
  });
}

/** Times stay text: a Date would lose Puppet's nanoseconds, and a zone says something. */
const rubySchema = (numberOf: typeof resolveNumber): Schema =>
  FAILSAFE_SCHEMA.withTags(
    nullYaml11Tag,
    mergeTag,
    rubyMap,
    implicitTag('tag:yaml.org,2002:bool', 'tTfFyYnNoO', resolveBoolean),
    implicitTag('tag:yaml.org,2002:int', '-+.0123456789', numberOf),
    symbolTag,
    scalarTag('tag:yaml.org,2002:float', source => {
      const number = numberOf(source);
      return typeof number === 'symbol' ? source : number;
    }),
    scalarTag('tag:yaml.org,2002:binary', binary),
    scalarTag('!binary', binary),
    scalarTag('!ruby/symbol', source => new Tagged(SYMBOL, source)),
    scalarTag('tag:yaml.org,2002:timestamp', source => source),
    ...['!', 'tag:'].flatMap(prefix => [
      scalarTag(prefix, (source, tag) => new Tagged(tag, source), true),
      taggedMap(prefix),
      taggedSequence(prefix),
    ]),
  );
const RUBY_SCHEMA = rubySchema(resolveNumber);
const RUBY_SCHEMA_WITH_FLOATS = rubySchema(resolveExactly);
