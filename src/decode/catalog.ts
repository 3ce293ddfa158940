import {
  booleanOf,
  type Data,
  entriesOf,
  field,
  has,
  isMapping,
  itemsOf,
  numberOf,
  tagsOf,
  textOf,
  textsOf,
  unwrap,
} from './data.ts';
import { type FileMetadata, fileMetadata } from './file-metadata.ts';
import { type Budget, budgetOf, type Limits, Malformed } from './limits.ts';
import { type Rich, type RichMap, richMapOf, richOf } from './rich-data.ts';

/** `Type[title]` in a catalog (`lib/puppet/resource.rb`, to_data_hash). */
export interface Resource {
  type: string;
  title: string;
  /** Parameters that `sensitiveParameters` names are Sensitive values here; on the wire they are clear text. */
  parameters: RichMap;
  sensitiveParameters: string[];
  /** Of clients that know more than parameters: `{alias, …}` by name; empty in Puppet's own catalogs. */
  extParameters: RichMap;
  tags: string[];
  file: string | null;
  line: number | null;
  exported: boolean;
  virtual: boolean;
  /** `class`, `defined_type`, `compilable_type`, `unknown`. */
  kind: string | null;
}

export interface Edge {
  source: string;
  target: string;
}

/** File metadata that a static catalog carries, so that the agent need not ask. */
export interface InlineMetadata {
  /** Title of the file resource. */
  resource: string;
  /** Of recursive metadata, the `source` that the entry is from. */
  source: string | null;
  metadata: FileMetadata;
}

export interface Catalog {
  name: string | null;
  version: string | null;
  codeId: string | null;
  catalogUuid: string | null;
  catalogFormat: number | null;
  environment: string | null;
  tags: string[];
  resources: Resource[];
  edges: Edge[];
  classes: string[];
  metadata: InlineMetadata[];
  recursiveMetadata: InlineMetadata[];
}

/** Reads a catalog of any Puppet since 3 (`lib/puppet/resource/catalog.rb`, to_data_hash). @throws Malformed */
export function catalogOf(data: Data, limits: Limits): Catalog {
  // /puppet/v4/catalog puts the catalog below a key of that name
  const inner = unwrap(data);
  const catalog = isMapping(field(inner, 'catalog')) ? field(inner, 'catalog') : inner;
  if (!has(catalog, 'resources')) throw new Malformed('a catalog without resources');
  const budget = budgetOf(limits);
  const text = (key: string): string | null => textOf(field(catalog, key));
  return {
    name: text('name'),
    version: text('version'),
    codeId: text('code_id'),
    catalogUuid: text('catalog_uuid'),
    catalogFormat: numberOf(field(catalog, 'catalog_format')),
    environment: text('environment'),
    tags: tagsOf(field(catalog, 'tags')),
    resources: itemsOf(field(catalog, 'resources')).map(resource => resourceOf(resource, budget)),
    edges: itemsOf(field(catalog, 'edges')).map(edgeOf),
    classes: textsOf(field(catalog, 'classes')),
    metadata: [...entriesOf(field(catalog, 'metadata'))].map(([resource, metadata]) => inline(resource, null, metadata)),
    recursiveMetadata: [...entriesOf(field(catalog, 'recursive_metadata'))].flatMap(([resource, sources]) =>
      [...entriesOf(sources)].flatMap(([source, list]) => itemsOf(list).map(metadata => inline(resource, source, metadata))),
    ),
  };
}

/** `Type[title]`, as edges and reports name a resource. */
export function resourceRef(resource: Pick<Resource, 'type' | 'title'>): string {
  return `${resource.type}[${resource.title}]`;
}

function resourceOf(envelope: Data, budget: Budget): Resource {
  const data = unwrap(envelope);
  const sensitive = textsOf(field(data, 'sensitive_parameters'));
  return {
    type: textOf(field(data, 'type')) ?? '',
    title: textOf(field(data, 'title')) ?? '',
    parameters: parametersOf(field(data, 'parameters'), new Set(sensitive), budget),
    sensitiveParameters: sensitive,
    extParameters: richMapOf(field(data, 'ext_parameters'), budget, true),
    tags: tagsOf(field(data, 'tags')),
    file: textOf(field(data, 'file')),
    line: numberOf(field(data, 'line')),
    exported: booleanOf(field(data, 'exported')) ?? false,
    virtual: booleanOf(field(data, 'virtual')) ?? false,
    kind: textOf(field(data, 'kind')),
  };
}

function parametersOf(data: Data, sensitive: ReadonlySet<string>, budget: Budget): RichMap {
  if (!isMapping(data)) return new Map();
  const parameters = new Map<string, Rich>();
  for (const [key, value] of entriesOf(data)) {
    const name = textOf(key) ?? '';
    const rich = richOf(value, budget, true, 1);
    parameters.set(name, sensitive.has(name) && !isSensitive(rich) ? { type: 'Sensitive', value: rich } : rich);
  }
  return parameters;
}

function isSensitive(value: Rich): boolean {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Sensitive';
}

/** Ends are references; Puppet 2 wrote some as `{type, title}`. */
function edgeOf(edge: Data): Edge {
  return { source: endOf(field(edge, 'source')), target: endOf(field(edge, 'target')) };
}

function endOf(end: Data): string {
  if (!isMapping(end)) return textOf(end) ?? '';
  return resourceRef({ type: textOf(field(end, 'type')) ?? '', title: textOf(field(end, 'title')) ?? '' });
}

function inline(resource: Data, source: Data, metadata: Data): InlineMetadata {
  return { resource: textOf(resource) ?? '', source: textOf(source), metadata: fileMetadata(metadata) };
}
