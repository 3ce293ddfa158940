import { FLOAT, Tagged } from '../decode/data.ts';
import type { Rich, RichMap, Typed } from '../decode/rich-data.ts';
import type { Json, ValueChange } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';
import { textDiff } from './compare-text.ts';

/** What a comparison of values may still make: what is over it is counted, not told. */
export interface Allowance {
  left: number;
  omitted: number;
}

/** More differences than this are no help to anybody: the two have nothing to do with each other. */
const MAX_CHANGES = 20_000;

export function allowance(changes = MAX_CHANGES): Allowance {
  return { left: changes, omitted: 0 };
}

export interface ValueOptions {
  secrecy: Secrecy;
  allowance: Allowance;
  /** Cuts off what is not to be compared; asked for every value that differs, containers before what is in them. */
  skip?: (path: readonly string[], before: Rich | undefined, after: Rich | undefined) => boolean;
}

/** Longer texts are cut in what is told; they are compared whole. */
const MAX_TEXT = 16_384;

const SENSITIVE = '(sensitive)';
const HIDDEN = '(hidden)';

/**
 * Compares two values path by path; `undefined` is a value that is not there. Order of a hash's keys means nothing. Items of arrays: what is
 * equal at both ends is put aside; plain items in between are compared as a bag, others one by one. The result for (b, a) is that for (a, b) the
 * other way round. Nesting is bounded by the decoders.
 */
export function compareValues(
  before: Rich | undefined,
  after: Rich | undefined,
  options: ValueOptions,
  path: readonly string[] = [],
): ValueChange[] {
  const changes: ValueChange[] = [];
  walk(before, after, path, { ...options, changes });
  return changes;
}

interface Walk extends ValueOptions {
  changes: ValueChange[];
}

function walk(before: Rich | undefined, after: Rich | undefined, path: readonly string[], context: Walk): void {
  if (equal(before, after) || context.skip?.(path, before, after) === true) return;
  if (before !== undefined && after !== undefined) {
    const [one, other] = [inside(before, context.secrecy.reveal), inside(after, context.secrecy.reveal)];
    if (one instanceof Map && other instanceof Map) {
      for (const [key, value] of one) walk(value, other.get(key), [...path, key], context);
      for (const [key, value] of other) if (!one.has(key)) walk(undefined, value, [...path, key], context);
      return;
    }
    if (Array.isArray(one) && Array.isArray(other)) {
      walkItems(one, other, path, context);
      return;
    }
  }
  tell(before, after, path, context);
}

/** The container that a value is compared as. */
function inside(value: Rich, reveal: boolean): RichMap | readonly Rich[] | null {
  if (typeof value !== 'object' || value === null) return null;
  if (Array.isArray(value) || isMap(value)) return value;
  switch (value.type) {
    case 'Sensitive':
      return reveal ? inside(value.value, reveal) : null;
    case 'Deferred':
      return new Map<string, Rich>([
        ['name', value.name],
        ['arguments', value.arguments],
      ]);
    case 'Object':
      return new Map<string, Rich>([
        ['__ptype', value.ptype],
        ['attributes', value.attributes],
      ]);
    case 'Hash':
      return value.entries.map(([key, item]) => [key, item]);
    case 'Binary':
    case 'Scalar':
    case 'Default':
    case 'Float':
    case 'LocalRef':
      return null;
  }
}

function walkItems(before: readonly Rich[], after: readonly Rich[], path: readonly string[], context: Walk): void {
  let head = 0;
  while (head < before.length && head < after.length && equal(before[head], after[head])) head++;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && equal(before.at(-1 - tail), after.at(-1 - tail))) tail++;
  const one = before.slice(head, before.length - tail);
  const other = after.slice(head, after.length - tail);
  if ([...one, ...other].every(isPlain)) bag(one, other, head, path, { ...context, whole: [before, after] });
  else {
    for (let at = 0; at < Math.max(one.length, other.length); at++) {
      walk(one[at], other[at], [...path, String(head + at)], context);
    }
  }
}

function isPlain(value: Rich): boolean {
  return value === null || typeof value !== 'object';
}

function bag(
  before: readonly Rich[],
  after: readonly Rich[],
  head: number,
  path: readonly string[],
  context: Walk & { whole: readonly [readonly Rich[], readonly Rich[]] },
): void {
  // One item in the place of another is that item changed.
  if (before.length === 1 && after.length === 1) {
    walk(before[0], after[0], [...path, String(head)], context);
    return;
  }
  const lacking = (items: readonly Rich[], others: readonly Rich[]): number[] => {
    const counts = new Map<Rich, number>();
    for (const item of others) counts.set(item, (counts.get(item) ?? 0) + 1);
    return items.flatMap((item, at) => {
      const left = counts.get(item) ?? 0;
      counts.set(item, left - 1);
      return left > 0 ? [] : [at];
    });
  };
  const removed = lacking(before, after);
  const added = lacking(after, before);
  if (removed.length === 0 && added.length === 0) {
    const [one, other] = context.whole;
    push(context, () => ({ ...change(path, [...one], [...other], context), kind: 'reordered' }));
    return;
  }
  for (const at of removed) walk(before[at], undefined, [...path, String(head + at)], context);
  for (const at of added) walk(undefined, after[at], [...path, String(head + at)], context);
}

function tell(before: Rich | undefined, after: Rich | undefined, path: readonly string[], context: Walk): void {
  push(context, () => change(path, before, after, context));
}

function push(context: Walk, make: () => ValueChange): void {
  if (context.allowance.left <= 0) context.allowance.omitted++;
  else {
    context.allowance.left--;
    context.changes.push(make());
  }
}

function change(
  path: readonly string[],
  before: Rich | undefined,
  after: Rich | undefined,
  { secrecy }: { secrecy: Secrecy },
): ValueChange {
  const kind = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const typed = !secrecy.reveal && (holdsSensitive(before) || holdsSensitive(after));
  const named = !typed && secrecy.named(path) && (isSecret(before) || isSecret(after));
  const [one, other] = [shown(before, secrecy), shown(after, secrecy)];
  // what differs only where it is hidden
  const within = kind === 'changed' && typeof one === 'string' && one === other && before !== after;
  const texts = [before ?? '', after ?? ''].filter(value => typeof value === 'string');
  const lines = !typed && !named && !within && texts.length === 2 && texts.some(text => text.includes('\n'));
  // Beside a Sensitive value stands the same value when it was not: hidden as well.
  const json = (value: Rich | undefined, text: Json): Json =>
    value === undefined ? null : typed ? SENSITIVE : named ? HIDDEN : text;
  return {
    path: path.map(name => clip(secrecy.text(name))),
    kind,
    before: json(before, one),
    after: json(after, other),
    sensitive: typed || named || within,
    text: lines ? textDiff(texts[0]!, texts[1]!, secrecy) : null,
  };
}

function shown(value: Rich | undefined, secrecy: Secrecy): Json {
  return value === undefined ? null : jsonOf(value, secrecy);
}

/** A switch, or nothing, is no secret whatever its name. */
function isSecret(value: Rich | undefined): boolean {
  return value !== undefined && value !== null && value !== '' && typeof value !== 'boolean';
}

function holdsSensitive(value: Rich | undefined): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isMap(value) && value.type === 'Sensitive';
}

/** A value as JSON: typed ones in Puppet's rich data notation, integers beyond 2^53 as text, long texts cut, secrets hidden. */
export function jsonOf(value: Rich, secrecy: Secrecy): Json {
  if (typeof value === 'string') return clip(secrecy.text(value));
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (value === null || typeof value !== 'object') return value;
  const inner = (item: Rich): Json => jsonOf(item, secrecy);
  const below = (name: string, item: Rich): Json => (secrecy.named([name]) && isSecret(item) ? HIDDEN : inner(item));
  if (Array.isArray(value)) return value.map(inner);
  if (isMap(value)) return Object.fromEntries([...value].map(([key, item]) => [secrecy.text(key), below(key, item)]));
  switch (value.type) {
    case 'Sensitive':
      return secrecy.reveal ? inner(value.value) : SENSITIVE;
    case 'Binary':
      return { __ptype: 'Binary', __pvalue: clip(value.base64) };
    case 'Deferred':
      return { __ptype: 'Deferred', name: value.name, arguments: value.arguments.map(inner) };
    case 'Scalar':
      return { __ptype: value.ptype, __pvalue: clip(secrecy.text(value.text)) };
    case 'Hash':
      return {
        __ptype: 'Hash',
        __pvalue: value.entries.flatMap(([key, item]) => [inner(key), typeof key === 'string' ? below(key, item) : inner(item)]),
      };
    case 'Default':
      return { __ptype: 'Default' };
    case 'Float':
      return new Tagged(FLOAT, value.value);
    case 'LocalRef':
      return { __ptype: 'LocalRef', __pvalue: value.path };
    case 'Object':
      return { __ptype: value.ptype, attributes: inner(value.attributes) };
  }
}

function clip(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (${text.length} characters)`;
}

/** Whether two values are the same, whatever the order of a hash's keys. An integer equals itself however it is held (1, 1n); 1.0
 * is a Float, and equals no Integer. */
export function equal(a: Rich | undefined, b: Rich | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    if (typeof a === 'number' && typeof b === 'number') return Number.isNaN(a) && Number.isNaN(b);
    // biome-ignore lint/suspicious/noDoubleEquals: 1 and 1n are the same integer from two formats
    return isNumber(a) && isNumber(b) && a == b;
  }
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, at) => equal(item, b[at]));
  if (Array.isArray(b)) return false;
  if (isMap(a) || isMap(b)) {
    if (!isMap(a) || !isMap(b) || a.size !== b.size) return false;
    for (const [key, value] of a) if (!b.has(key) || !equal(value, b.get(key))) return false;
    return true;
  }
  return equalTyped(a, b);
}

function equalTyped(one: Typed, other: Typed): boolean {
  switch (one.type) {
    case 'Sensitive':
      return other.type === 'Sensitive' && equal(one.value, other.value);
    case 'Binary':
      return other.type === 'Binary' && one.base64 === other.base64;
    case 'Deferred':
      return other.type === 'Deferred' && one.name === other.name && equal(one.arguments, other.arguments);
    case 'Scalar':
      return other.type === 'Scalar' && one.ptype === other.ptype && one.text === other.text;
    case 'Hash':
      return other.type === 'Hash' && equal(one.entries, other.entries);
    case 'Default':
      return other.type === 'Default';
    case 'Float':
      return other.type === 'Float' && one.value === other.value;
    case 'LocalRef':
      return other.type === 'LocalRef' && one.path === other.path;
    case 'Object':
      return other.type === 'Object' && one.ptype === other.ptype && equal(one.attributes, other.attributes);
  }
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function isMap(value: RichMap | Typed): value is RichMap {
  return value instanceof Map;
}
