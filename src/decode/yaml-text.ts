import { dump } from 'js-yaml';
import { type Data, entriesOf, Tagged, textOf } from './data.ts';
import { dataJson } from './data-json.ts';

/** YAML of parsed data, one document; texts that YAML 1.1, which Ruby reads, takes for something else are quoted. */
export function yamlText(data: Data): string {
  return `---\n${dump(plain(data), { lineWidth: -1, noRefs: true })}`;
}

/** Only what every YAML reader knows: no tags, no symbols, text keys. */
function plain(data: Data): unknown {
  if (data === null || typeof data !== 'object') return typeof data === 'bigint' ? data.toString() : data;
  if (data instanceof Uint8Array) return Buffer.from(data).toString('base64');
  if (data instanceof Tagged) return plain(data.value);
  if (Array.isArray(data)) return data.map(plain);
  return Object.fromEntries([...entriesOf(data)].map(([key, value]) => [textOf(key) ?? dataJson(key), plain(value)]));
}
