import { DUMP_SCHEMA, dump, type ScalarTagDefinition } from 'js-yaml';
import { type Data, entriesOf, FLOAT, floatText, Tagged, textOf } from './data.ts';
import { dataJson } from './data-json.ts';

/** YAML of parsed data, one document; texts that YAML 1.1, which Ruby reads, takes for something else are quoted. */
export function yamlText(data: Data): string {
  return `---\n${dump(plain(data), { lineWidth: -1, noRefs: true, schema: SCHEMA })}`;
}

/** A number with its text: JavaScript has no such integer, or takes the Float for an integer. */
class Written {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

class WrittenFloat extends Written {}

const SCHEMA = DUMP_SCHEMA.withTags(
  ...DUMP_SCHEMA.tags.flatMap(tag => (tag.nodeKind === 'scalar' ? (withWritten(tag) ?? []) : [])),
);

function withWritten(tag: ScalarTagDefinition): ScalarTagDefinition | null {
  const isFloat = tag.tagName === 'tag:yaml.org,2002:float';
  if (!isFloat && tag.tagName !== 'tag:yaml.org,2002:int') return null;
  return {
    ...tag,
    identify: value => (value instanceof Written ? value instanceof WrittenFloat === isFloat : tag.identify(value)),
    represent: (value, ...more) => (value instanceof Written ? value.text : tag.represent(value, ...more)),
  };
}

/** Only what every YAML reader knows: no tags, no symbols, text keys. */
function plain(data: Data): unknown {
  if (typeof data === 'bigint') return new Written(data.toString());
  if (data === null || typeof data !== 'object') return data;
  if (data instanceof Uint8Array) return Buffer.from(data).toString('base64');
  if (data instanceof Tagged && data.tag === FLOAT && typeof data.value === 'number')
    return new WrittenFloat(floatText(data.value));
  if (data instanceof Tagged) return plain(data.value);
  if (Array.isArray(data)) return data.map(plain);
  return Object.fromEntries([...entriesOf(data)].map(([key, value]) => [textOf(key) ?? dataJson(key), plain(value)]));
}
