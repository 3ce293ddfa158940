import { type Catalog, type Resource, resourceRef } from '../decode/catalog.ts';
import type { Rich } from '../decode/rich-data.ts';
import type { Reasons } from './compare-facts.ts';
import { type IgnoreRule, ignoresResource, ignoresValue, rulesFor } from './compare-ignore.ts';
import type { CatalogComparison, EdgeChange, Place, ResourceChange } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';
import { type Allowance, allowance, compareValues } from './compare-values.ts';

export interface CatalogOptions {
  ignore: readonly IgnoreRule[];
  /** Tags are compared as well: they say how a resource came about, and change with the name of a class. */
  tags: boolean;
  secrecy: Secrecy;
  /** Finds the changed facts behind a change. */
  reasons: Reasons;
}

/** Metaparameters whose arrays are sets. */
const SETS: ReadonlySet<string> = new Set(['before', 'require', 'notify', 'subscribe', 'tag', 'alias']);

/**
 * Compares two catalogs resource by resource, by type and title. What is different in every catalog is left out: version, catalog_uuid, code_id,
 * environment; so are the places in Puppet code, which move with every line above them and are told beside what changed.
 */
export function compareCatalogs(before: Catalog, after: Catalog, options: CatalogOptions): CatalogComparison {
  const [ones, others] = [byRef(before.resources), byRef(after.resources)];
  const context: Context = { ...options, allowance: allowance(), ignored: 0 };
  const resources: ResourceChange[] = [];
  for (const [ref, one] of ones) {
    const change = compareResource(one, others.get(ref), context);
    if (change !== null) resources.push(change);
  }
  for (const [ref, other] of others) {
    if (ones.has(ref)) continue;
    const change = compareResource(undefined, other, context);
    if (change !== null) resources.push(change);
  }
  return {
    resourcesBefore: before.resources.length,
    resourcesAfter: after.resources.length,
    resources,
    ...compareEdges(before, after),
    ignored: context.ignored,
    omitted: context.allowance.omitted,
  };
}

interface Context extends CatalogOptions {
  allowance: Allowance;
  ignored: number;
}

/** A catalog has each resource once; of one that does not, the n-th stands against the n-th. */
function byRef(resources: readonly Resource[]): Map<string, Resource> {
  const found = new Map<string, Resource>();
  const times = new Map<string, number>();
  for (const resource of resources) {
    const ref = resourceRef(resource);
    const n = times.get(ref) ?? 0;
    times.set(ref, n + 1);
    found.set(n === 0 ? ref : `${ref}\f${n}`, resource);
  }
  return found;
}

function compareResource(before: Resource | undefined, after: Resource | undefined, context: Context): ResourceChange | null {
  const named = after ?? before;
  if (named === undefined) return null;
  const { type, title } = named;
  const [one, other] = [before && resourceValue(before, context.tags), after && resourceValue(after, context.tags)];
  const kind = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const rules = rulesFor(context.ignore, type, title);
  const ignored = { count: 0 };
  const changes = compareValues(one ?? NOTHING, other ?? NOTHING, {
    secrecy: context.secrecy,
    allowance: context.allowance,
    skip: (path, was, is) => {
      if (rules.length === 0 || path.length < 1 || kind !== 'changed' || !ignoresValue(rules, path, was, is)) return false;
      ignored.count++;
      return true;
    },
  });
  if (kind === 'changed' && changes.length === 0) {
    context.ignored += ignored.count;
    return null;
  }
  if (ignoresResource(rules, kind)) {
    context.ignored++;
    return null;
  }
  context.ignored += ignored.count;
  const facts = kind === 'changed' ? context.reasons(changes) : [];
  return { kind, type, title, before: placeOf(before), after: placeOf(after), changes, facts };
}

function placeOf(resource: Resource | undefined): Place | null {
  return resource === undefined ? null : { file: resource.file, line: resource.line };
}

/** A resource that is not there has no parameters: each one of the other side is told. */
const NOTHING: Rich = new Map([['parameters', new Map()]]);

/** A resource as a value; its empty parts are left out, so that one that comes or goes shows what it has. */
function resourceValue(resource: Resource, tags: boolean): Rich {
  const parameters = [...resource.parameters].map(([name, value]): [string, Rich] => [name, asSet(name, value)]);
  const parts: [string, Rich][] = [['parameters', new Map(parameters)]];
  if (resource.extParameters.size > 0) parts.push(['ext_parameters', resource.extParameters]);
  if (resource.exported) parts.push(['exported', true]);
  if (resource.virtual) parts.push(['virtual', true]);
  if (tags && resource.tags.length > 0) parts.push(['tags', [...resource.tags].sort()]);
  return new Map(parts);
}

function asSet(name: string, value: Rich): Rich {
  if (!SETS.has(name) || !Array.isArray(value)) return value;
  return value.every(item => typeof item === 'string') ? [...value].sort() : value;
}

/** Edges that come and go with their resources say nothing new. */
function compareEdges(before: Catalog, after: Catalog): Pick<CatalogComparison, 'edges' | 'impliedEdges'> {
  const refs = (catalog: Catalog): Set<string> => new Set(catalog.resources.map(resourceRef));
  const [ones, others] = [refs(before), refs(after)];
  const edges: EdgeChange[] = [];
  let impliedEdges = 0;
  const lacking = (from: Catalog, to: Catalog, kind: EdgeChange['kind']): void => {
    const known = new Set(to.edges.map(edgeKey));
    for (const edge of from.edges) {
      const key = edgeKey(edge);
      if (known.has(key)) continue;
      known.add(key);
      const both = [edge.source, edge.target].every(ref => ones.has(ref) && others.has(ref));
      if (both) edges.push({ kind, source: edge.source, target: edge.target });
      else impliedEdges++;
    }
  };
  lacking(before, after, 'removed');
  lacking(after, before, 'added');
  return { edges, impliedEdges };
}

function edgeKey({ source, target }: { source: string; target: string }): string {
  return `${source.length} ${source} ${target}`;
}
