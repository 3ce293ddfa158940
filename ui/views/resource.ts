import { secrecyOf } from '../../src/analysis/compare-secrets.ts';
import { textDiff } from '../../src/analysis/compare-text.ts';
import type { EventRow, FileMetadataRow, LogLineRow, ResourceRow } from '../../src/capture/decoded-shapes.ts';
import type { RunRow } from '../../src/capture/store.ts';
import { placeOf, resourceName } from '../../src/commands/show-catalog.ts';
import { change, eventValueText, valueText } from '../../src/commands/show-text.ts';
import { emptyLines } from '../frame.ts';
import { titled } from '../panes/titled.ts';
import { treePane } from '../panes/tree.ts';
import type { Env, Screen } from '../screen.ts';
import { isSettled } from '../source.ts';
import { type Span, span } from '../text.ts';
import type { StyleName } from '../theme.ts';
import { momentOf } from '../time.ts';
import { leavesOf, type TreeNode } from '../tree.ts';
import { openExchange, RESPONSE_TAB } from './exchange.ts';
import { contentKey, keyOf } from './file-keys.ts';

/** All that a run says of one resource: what became of it, its log lines, what the catalog wanted, its content, and the run before. */

/** Runs of the same agent that are looked at for one with a catalog. */
const LOOKED_BACK = 20;
/** How the keys of rows begin that lead to content. */
const CONTENT = 'content ';

/** @param name as in `File[/etc/motd]` */
export function resourceScreen(name: string, run: number, env: Env): Screen {
  // Asked before it is read: what comes meanwhile is read the next time.
  let settled = isOver(run, env);
  const pane = treePane({
    roots: nodesOf(name, run, env),
    levels: 2,
    reread(at) {
      if (settled) return null;
      settled = isOver(run, at);
      return nodesOf(name, run, at);
    },
    open: (node, at) =>
      node.ref === undefined ? null : openExchange(node.ref, at, node.key.startsWith(CONTENT) ? RESPONSE_TAB : undefined),
    empty: at => emptyLines(at, ['nothing is known of this resource', '', name]),
  });
  return titled(pane, { title: name, scopes: [], of: { type: 'run', id: run } });
}

function isOver(run: number, { source: { store } }: Env): boolean {
  const row = store.run(run);
  return row === null || isSettled(store, row);
}

function nodesOf(name: string, run: number, env: Env): TreeNode[] {
  const { decoded } = env.source.store;
  const own = decoded.rows('resource', { run }).find(row => resourceName(row) === name) ?? null;
  const events = decoded.rows('event', { run }).filter(row => row.resource === name);
  const lines = decoded.rows('log_line', { run }).filter(row => isOf(row, name));
  return [
    ...eventNodes(events),
    ...logNodes(lines),
    ...catalogNodes(own),
    ...(own === null ? [] : contentNodes(own, run, env)),
    ...beforeNodes(name, own, run, env),
  ];
}

/** Puppet's source of a line is the path of containment, with the property at its end. */
function isOf({ source }: LogLineRow, name: string): boolean {
  return source !== null && (source.endsWith(`/${name}`) || source.includes(`/${name}/`));
}

function heading(key: string, words: string, more: string, kids: readonly TreeNode[]): TreeNode {
  return { key, label: [span(words, 'bold'), span(more, 'dim')], kids: () => kids };
}

function carried(exchange: number, what: string, key = ''): TreeNode {
  return {
    key: `${key}e${exchange}`,
    ref: exchange,
    label: [span(`e${exchange}`, 'key'), span(` ${what}: enter opens it`, 'dim')],
  };
}

function eventNodes(events: readonly EventRow[]): TreeNode[] {
  const [first] = events;
  if (first === undefined) return [];
  const kids = events.map((row, i): TreeNode => {
    const failed = row.status === 'failure';
    const changed: Span[] =
      row.property === null
        ? []
        : [span(` ${row.property}`, 'name'), span(` ${change(row.previousValue, row.desiredValue, 400)}`)];
    const corrective = row.correctiveChange === true ? 'corrective: somebody else had changed it' : null;
    const [was, wanted] = [row.previousValue, row.desiredValue].map(value =>
      row.redacted === true ? '(redacted by the agent)' : eventValueText(value),
    );
    return {
      key: String(i),
      label: [span(row.status ?? '-', failed ? 'error' : 'value'), ...changed],
      kids: () =>
        leavesOf([
          ['message', row.message],
          ['was', was ?? null],
          [row.status === 'success' ? 'is now' : 'wanted', wanted ?? null],
          ['status', corrective],
          ['at', row.at === null ? null : momentOf(row.at)],
        ]),
    };
  });
  return [heading('events', 'what became of it', '', [...kids, carried(first.exchange, 'is the report')])];
}

function logNodes(lines: readonly LogLineRow[]): TreeNode[] {
  if (lines.length === 0) return [];
  const kids = lines.flatMap((row, i) =>
    (row.message ?? '')
      .trim()
      .replaceAll('\t', '    ')
      .split('\n')
      .map(
        (text, n): TreeNode => ({
          key: `${i} ${n}`,
          label: [span(n === 0 ? `${row.level ?? '-'} ` : '    ', 'dim'), span(text)],
        }),
      ),
  );
  return [heading('log', 'log lines', '', kids)];
}

function catalogNodes(row: ResourceRow | null): TreeNode[] {
  if (row === null) return [];
  const kids = Object.entries(row.parameters).map(([name, value]) => parameter(name, value));
  return [heading('catalog', 'in the catalog', placeOf(row), [...kids, carried(row.exchange, 'is the catalog')])];
}

function parameter(name: string, value: unknown): TreeNode {
  return { key: `=${name}`, label: [span(`${name} => `, 'name'), span(valueText(value))] };
}

/** The requests that carried what the agent wrote into a file. */
function contentNodes(own: ResourceRow, run: number, env: Env): TreeNode[] {
  if (own.type !== 'File') return [];
  const { store } = env.source;
  const contents = store.decoded.rows('file_content', { run });
  if (contents.length === 0) return [];
  const bases = new Map([...store.exchanges({ run, limit: 10_000 })].map(row => [row.id as number, keyOf(row.target)]));
  const baseOf = ({ exchange }: FileMetadataRow): string => (bases.get(exchange) ?? '').replace(/^[^/]+\//, '');
  const told = store.decoded.rows('file_metadata', { run }).filter(row => row.resource === own.title);
  const sources = [own.parameters.source].flat().filter(value => typeof value === 'string');
  const keys = new Set([
    ...told.map(row => contentKey(row, baseOf(row))),
    ...sources.map(source => source.replace(/^puppet:\/\/[^/]*\//, '')),
  ]);
  const found = contents.filter(row => keys.has(row.key ?? ''));
  if (found.length === 0) return [];
  const kids = found.map(row => carried(row.exchange, `carried ${row.bytes} B of ${row.key ?? '-'}`, CONTENT));
  return [heading('content', 'its content', '', kids)];
}

/** What was otherwise in the last run of this agent before that had a catalog. */
function beforeNodes(name: string, own: ResourceRow | null, run: number, env: Env): TreeNode[] {
  const { store } = env.source;
  const row = store.run(run);
  if (row === null) return [];
  for (const before of store.runs({ certname: row.certname, before: run, reverse: true, limit: LOOKED_BACK })) {
    const resources = store.decoded.rows('resource', { run: before.id });
    if (resources.length > 0) return [beforeNode(before, name, own, resources, env)];
  }
  return [];
}

function beforeNode(
  before: RunRow,
  name: string,
  own: ResourceRow | null,
  resources: readonly ResourceRow[],
  env: Env,
): TreeNode {
  const old = resources.find(row => resourceName(row) === name) ?? null;
  const events = env.source.store.decoded.rows('event', { run: before.id }).filter(row => row.resource === name);
  const differ = old === null || own === null ? [] : differences(old.parameters, own.parameters);
  const words =
    old === null
      ? 'it was not in the catalog'
      : own === null
        ? 'it was in the catalog'
        : differ.length === 0
          ? 'the catalog wanted the same'
          : 'the catalog wanted something else';
  const kids: TreeNode[] = [
    { key: 'catalog', label: [span(words)], expanded: true, ...(differ.length > 0 && { kids: () => differ }) },
    ...events.map(
      (row, i): TreeNode => ({
        key: `event ${i}`,
        label: [
          span(row.status ?? '-', row.status === 'failure' ? 'error' : 'value'),
          span(
            ` ${row.property ?? row.message ?? ''} ${row.property === null ? '' : change(row.previousValue, row.desiredValue, 400)}`,
          ),
        ],
      }),
    ),
    ...(events.length > 0 ? [] : [{ key: 'no events', label: [span('nothing happened to it')] }]),
    ...(old === null ? [] : [carried(old.exchange, 'is that catalog')]),
  ];
  return heading('before', `in the run before, r${before.id}`, '; d compares the whole runs', kids);
}

function differences(old: Record<string, unknown>, own: Record<string, unknown>): TreeNode[] {
  const names = [...new Set([...Object.keys(old), ...Object.keys(own)])];
  return names
    .filter(name => JSON.stringify(old[name]) !== JSON.stringify(own[name]))
    .map(name => difference(name, old[name], own[name]));
}

/** Steps of a comparison line by line: some milliseconds. */
const EFFORT = 250_000;

function difference(name: string, old: unknown, own: unknown): TreeNode {
  const label = [span(`${name} `, 'name'), span(`${textOf(old)} → ${textOf(own)}`)];
  if (typeof old !== 'string' || typeof own !== 'string' || !`${old}${own}`.includes('\n')) return { key: name, label };
  const kids = (): TreeNode[] => {
    const { hunks } = textDiff(old, own, { ...secrecyOf(false), effort: { left: EFFORT } });
    return hunks
      .flatMap(({ lines }) => lines)
      .map((text, i) => ({ key: String(i), label: [span(text.replaceAll('\t', '    '), LINE_STYLES[text[0] ?? ''] ?? 'dim')] }));
  };
  return { key: name, label: [span(name, 'name'), span(' differs:', 'dim')], expanded: true, kids };
}

const LINE_STYLES: Readonly<Record<string, StyleName>> = { '+': 'ok', '-': 'error' };

function textOf(value: unknown): string {
  return value === undefined ? '(not said)' : valueText(value);
}
