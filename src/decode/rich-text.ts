import { floatText } from './data.ts';
import type { Rich, RichMap, Typed } from './rich-data.ts';

/** What becomes of Sensitive values: marked (`{"__ptype":"Sensitive",…}`), shown as any other value, or `(sensitive)`. */
export type Secrecy = 'mark' | 'reveal' | 'hide';

const HIDDEN = '(sensitive)';

/**
 * JSON of a value. Typed values are in Puppet's own rich data notation, so that with `mark` nothing is lost and
 * {@link Rich} comes back by reading it as rich data. Integers are exact; an infinite or NaN float is a string.
 */
export function richJson(value: Rich, secrecy: Secrecy): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : JSON.stringify(String(value));
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(item => richJson(item, secrecy)).join(',')}]`;
  if (isMap(value)) return `{${[...value].map(([key, item]) => `${JSON.stringify(key)}:${richJson(item, secrecy)}`).join(',')}}`;
  return typedJson(value, secrecy);
}

function isMap(value: RichMap | Typed): value is RichMap {
  return value instanceof Map;
}

function typedJson(value: Typed, secrecy: Secrecy): string {
  const inner = (item: Rich): string => richJson(item, secrecy);
  switch (value.type) {
    case 'Sensitive':
      if (secrecy === 'hide') return JSON.stringify(HIDDEN);
      return secrecy === 'reveal' ? inner(value.value) : `{"__ptype":"Sensitive","__pvalue":${inner(value.value)}}`;
    case 'Binary':
      return `{"__ptype":"Binary","__pvalue":${JSON.stringify(value.base64)}}`;
    case 'Deferred':
      return `{"__ptype":"Deferred","name":${JSON.stringify(value.name)},"arguments":${inner(value.arguments)}}`;
    case 'Scalar':
      return `{"__ptype":${JSON.stringify(value.ptype)},"__pvalue":${JSON.stringify(value.text)}}`;
    case 'Hash':
      return `{"__ptype":"Hash","__pvalue":${inner(value.entries.flat())}}`;
    case 'Default':
      return '{"__ptype":"Default"}';
    case 'Float':
      return floatText(value.value);
    case 'LocalRef':
      return `{"__ptype":"LocalRef","__pvalue":${JSON.stringify(value.path)}}`;
    case 'Object': {
      const ptype = JSON.stringify(value.ptype);
      const fields =
        value.attributes instanceof Map ? inner(value.attributes).slice(1, -1) : `"value":${inner(value.attributes)}`;
      return fields === '' ? `{"__ptype":${ptype}}` : `{"__ptype":${ptype},${fields}}`;
    }
  }
}

/**
 * One line for a person, close to how Puppet's language writes the value: a text alone is itself, inside a collection it is quoted.
 * Control characters are the printer's business.
 */
export function richText(value: Rich, secrecy: Exclude<Secrecy, 'mark'>): string {
  return typeof value === 'string' ? value : literal(value, secrecy);
}

function literal(value: Rich, secrecy: Exclude<Secrecy, 'mark'>): string {
  if (value === null) return 'undef';
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object') return String(value);
  const list = (items: readonly Rich[]): string => items.map(item => literal(item, secrecy)).join(', ');
  if (Array.isArray(value)) return `[${list(value)}]`;
  if (isMap(value)) return hash([...value], secrecy);
  switch (value.type) {
    case 'Sensitive':
      return secrecy === 'hide' ? HIDDEN : `Sensitive(${literal(value.value, secrecy)})`;
    case 'Binary':
      return `Binary(${quoted(value.base64)})`;
    case 'Deferred':
      return `Deferred(${quoted(value.name)}, [${list(value.arguments)}])`;
    case 'Scalar':
      return scalar(value.ptype, value.text);
    case 'Hash':
      return hash(value.entries, secrecy);
    case 'Default':
      return 'default';
    case 'Float':
      return floatText(value.value);
    case 'LocalRef':
      return `LocalRef(${quoted(value.path)})`;
    case 'Object':
      return `${value.ptype}(${literal(value.attributes, secrecy)})`;
  }
}

function scalar(ptype: string, text: string): string {
  switch (ptype) {
    case 'Symbol':
    case 'Type':
    case 'Range':
      return text;
    case 'Regexp':
      return text.startsWith('/') ? text : `/${text}/`;
    default:
      return `${ptype}(${quoted(text)})`;
  }
}

function hash(entries: readonly (readonly [Rich, Rich])[], secrecy: Exclude<Secrecy, 'mark'>): string {
  return `{${entries.map(([key, item]) => `${literal(key, secrecy)} => ${literal(item, secrecy)}`).join(', ')}}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
