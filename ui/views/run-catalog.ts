import type { EdgeRow, FactRow, ResourceRow } from '../../src/capture/decoded-shapes.ts';
import { holdsSensitive, placeOf, resourceName } from '../../src/commands/show-catalog.ts';
import { valueText } from '../../src/commands/show-text.ts';
import { emptyLines } from '../frame.ts';
import { treePane } from '../panes/tree.ts';
import type { Env, Screen } from '../screen.ts';
import { type Line, span } from '../text.ts';
import type { TreeNode } from '../tree.ts';
import { resourceScreen } from './resource.ts';

/** Catalog and facts of a run, as trees. */

/** The catalog's resources by containment: stage, classes, what they declare. */
export function catalogPane(run: number, env: Env): Screen {
  const read = (at: Env): TreeNode[] => {
    const { decoded } = at.source.store;
    return containment(decoded.rows('resource', { run }), decoded.rows('edge', { run }));
  };
  return treePane({
    roots: read(env),
    levels: 0,
    reread: read,
    open: (node, at) => (node.key.startsWith(STORY) ? { push: resourceScreen(node.key.slice(STORY.length), run, at) } : null),
    empty: at => {
      const refusal = at.source.store.decoded.rows('refusal', { run }).find(row => row.error !== null);
      if (refusal === undefined)
        return emptyLines(at, [
          'no catalog in this run',
          '',
          'an agent that only enrols asks for none;',
          'one that has just asked gets it in a moment',
        ]);
      return emptyLines(at, [
        'the catalog did not compile',
        '',
        refusal.error ?? '',
        placeOf(refusal).trim(),
        refusal.resource ?? '',
      ]);
    },
  });
}

/**
 * Edges of a catalog are containment (`Puppet::Resource::Catalog#to_data_hash`): every resource hangs below what declares it. One that is
 * below nothing is a root.
 */
function containment(resources: readonly ResourceRow[], edges: readonly EdgeRow[]): TreeNode[] {
  const byName = new Map(resources.map(row => [resourceName(row), row]));
  const kids = new Map<string, string[]>();
  const contained = new Set<string>();
  for (const { source, target } of edges) {
    if (!byName.has(target)) continue;
    contained.add(target);
    const known = kids.get(source);
    if (known === undefined) kids.set(source, [target]);
    else known.push(target);
  }
  const node = (name: string, above: readonly string[]): TreeNode => {
    const row = byName.get(name);
    // A catalog that goes in circles must not be followed for ever.
    const below = (kids.get(name) ?? []).filter(kid => !above.includes(kid) && kid !== name);
    const parameters = row === undefined ? [] : Object.entries(row.parameters);
    const label = labelOf(name, row, below.length);
    if (below.length === 0 && parameters.length === 0) return { key: name, label };
    return {
      key: name,
      label,
      expanded: below.length > 0,
      kids: () => [
        ...parameters.map(([key, value]) => parameter(key, value)),
        ...(below.length === 0 ? [storyOf(name)] : []),
        ...below.map(kid => node(kid, [...above, name])),
      ],
    };
  };
  const roots = resources.map(resourceName).filter(name => !contained.has(name));
  return (roots.length > 0 ? roots : [...byName.keys()]).map(name => node(name, []));
}

function labelOf(name: string, row: ResourceRow | undefined, kids: number): Line {
  const place = row === undefined ? '' : placeOf(row).replace(/^ .*\/(modules|manifests)\//, ' $1/');
  const flags =
    row === undefined
      ? []
      : [row.exported ? 'exported' : '', row.virtual ? 'virtual' : '', holdsSensitive(row) ? 'sensitive' : ''].filter(Boolean);
  return [
    span(name, name.startsWith('Class[') || name.startsWith('Stage[') ? 'bold' : 'value'),
    span(kids > 0 ? ` (${kids})` : '', 'dim'),
    span(flags.length > 0 ? ` ${flags.join(', ')}` : '', 'warning'),
    span(place, 'dim'),
  ];
}

/** Key of the row that leads to all that the run says of a resource. */
const STORY = 'story of ';

function storyOf(name: string): TreeNode {
  return { key: `${STORY}${name}`, label: [span('enter: what became of it, its content, the run before', 'dim')] };
}

function parameter(name: string, value: unknown): TreeNode {
  return {
    key: `=${name}`,
    label: [span(`${name} => `, 'name'), span(valueText(value), value === '(sensitive)' ? 'warning' : 'value')],
  };
}

/** Facts as the tree that they were before they were rows. */
export function factsPane(run: number, env: Env): Screen {
  const read = (at: Env): TreeNode[] => factTree(at.source.store.decoded.rows('fact', { run }));
  return treePane({
    roots: read(env),
    levels: 0,
    reread: read,
    empty: at => emptyLines(at, ['no facts in this run', '', 'an agent sends them with its catalog request']),
  });
}

interface Branch {
  fact: FactRow | null;
  readonly kids: Map<string, Branch>;
}

function factTree(facts: readonly FactRow[]): TreeNode[] {
  const root: Branch = { fact: null, kids: new Map() };
  for (const fact of facts) {
    let branch = root;
    for (const part of segments(fact.path)) {
      const next = branch.kids.get(part) ?? { fact: null, kids: new Map<string, Branch>() };
      branch.kids.set(part, next);
      branch = next;
    }
    branch.fact = fact;
  }
  return nodesOf(root);
}

function nodesOf({ kids }: Branch): TreeNode[] {
  return [...kids]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, branch]): TreeNode => {
      const { fact } = branch;
      if (branch.kids.size > 0)
        return { key: name, label: [span(name, 'name'), span(` {${branch.kids.size}}`, 'dim')], kids: () => nodesOf(branch) };
      return {
        key: name,
        label: [span(`${name}: `, 'name'), span(fact?.value ?? '', fact?.type === 'String' ? 'value' : 'changed')],
      };
    });
}

/** `os.release.full` in its parts; a part with a dot is quoted. */
function segments(path: string): string[] {
  return [...path.matchAll(/"((?:[^"\\]|\\.)*)"|([^."]+)/g)].map(match => match[1] ?? match[2] ?? '');
}
