import { keyless } from '../src/capture/decoded-cells.ts';
import {
  type Data,
  entriesOf,
  FLOAT,
  field,
  has,
  isList,
  isMapping,
  itemsOf,
  ptypeOf,
  SYMBOL,
  Tagged,
  textOf,
  textsOf,
} from '../src/decode/data.ts';
import { type Line, type Span, span } from './text.ts';
import type { TreeNode } from './tree.ts';

/** Parsed bodies as trees. Sensitive values are hidden, and private keys never shown, as in everything that stringtap prints. */

const HIDDEN = '(sensitive)';
/** Kids of one node; a longer list goes on below a node of its own. */
const SLICE = 1000;

/** The node of a value under its name. */
export function dataNode(key: string, data: Data, name: string = key): TreeNode {
  if (data instanceof Tagged && data.tag !== SYMBOL && data.tag !== FLOAT) {
    const inner = dataNode(key, data.value, name);
    return { ...inner, label: [...inner.label, span(` ${data.tag}`, 'dim')] };
  }
  if (textOf(ptypeOf(data)) === 'Sensitive') return { key, label: [nameOf(name), span(HIDDEN, 'warning')] };
  if (isMapping(data)) {
    const entries = [...entriesOf(data)];
    const secret = new Set(has(data, 'sensitive_parameters') ? textsOf(field(data, 'sensitive_parameters')) : []);
    const label = [nameOf(name), span(`{${entries.length}}`, 'dim'), ...hintOf(data)];
    if (entries.length === 0) return { key, label };
    return { key, label, kids: sliced(entries, ([entry, value]) => entryNode(entry, value, secret)) };
  }
  if (isList(data)) {
    const items = itemsOf(data);
    const label = [nameOf(name), span(`[${items.length}]`, 'dim')];
    if (items.length === 0) return { key, label };
    return { key, label, kids: sliced(items, (item, i) => dataNode(String(i), item)) };
  }
  return { key, label: [nameOf(name), ...scalar(data)] };
}

/** Names that resources, edges, files and log lines are known by: a folded object says which one it is. */
function hintOf(data: Data): Span[] {
  const [type, title] = [textOf(field(data, 'type')), textOf(field(data, 'title'))];
  if (type !== null && title !== null) return [span(` ${type}[${title}]`, 'name')];
  const [source, target] = [textOf(field(data, 'source')), textOf(field(data, 'target'))];
  if (source !== null && target !== null) return [span(` ${source} → ${target}`, 'name')];
  const known = ['relative_path', 'path', 'name', 'message', 'title']
    .map(key => textOf(field(data, key)))
    .find(text => text !== null);
  return known === undefined || known === null ? [] : [span(` ${keyless(known).slice(0, 200)}`, 'name')];
}

function entryNode(entry: Data, value: Data, secret: ReadonlySet<string>): TreeNode {
  const name = textOf(entry) ?? '(key)';
  if (name !== 'parameters' || secret.size === 0) return dataNode(name, value);
  const shown = new Map(
    [...entriesOf(value)].map(([key, inner]): [Data, Data] => [key, secret.has(textOf(key) ?? '') ? HIDDEN : inner]),
  );
  return dataNode(name, shown);
}

/** Kids made when they are asked for; of thousands, in parts that unfold by themselves. */
function sliced<Item>(items: readonly Item[], node: (item: Item, index: number) => TreeNode): () => TreeNode[] {
  if (items.length <= SLICE) return () => items.map(node);
  return () =>
    Array.from({ length: Math.ceil(items.length / SLICE) }, (_, part): TreeNode => {
      const from = part * SLICE;
      const to = Math.min(items.length, from + SLICE);
      return {
        key: `${from}…`,
        label: [span(`${from} to ${to - 1}`, 'dim')],
        kids: () => items.slice(from, to).map((item, i) => node(item, from + i)),
      };
    });
}

function nameOf(name: string): Span {
  return span(name === '' ? '' : `${name}: `, 'name');
}

function scalar(data: Data): Line {
  if (data === null) return [span('null', 'dim')];
  if (data instanceof Uint8Array)
    return [span(`${data.length} bytes: ${Buffer.from(data.subarray(0, 48)).toString('hex')}`, 'warning')];
  if (typeof data === 'string') return [span(keyless(data))];
  if (data instanceof Tagged && data.tag === FLOAT) return [span(textOf(data) ?? '', 'changed')];
  if (data instanceof Tagged) return [span(`:${textOf(data.value) ?? ''}`, 'changed')];
  return [span(String(data), 'changed')];
}
