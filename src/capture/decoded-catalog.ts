import type { Catalog, Resource } from '../decode/catalog.ts';
import type { CatalogRequest } from '../decode/catalog-request.ts';
import type { FileMetadata } from '../decode/file-metadata.ts';
import type { Node, NodeRequest } from '../decode/node.ts';
import type { Rich, RichMap } from '../decode/rich-data.ts';
import { int, json, keyless, rich } from './decoded-cells.ts';
import { row } from './decoded-statements.ts';
import type { Cells, Lists } from './lists.ts';
import type { DerivedWrite } from './messages.ts';

export function nodeRow(exchange: number, asked: NodeRequest, node: Node | null): DerivedWrite {
  return row('node', {
    exchange,
    name: node?.name ?? null,
    environment: node?.environment ?? null,
    requested_environment: asked.environment,
    configured_environment: asked.configuredEnvironment,
    transaction_uuid: asked.transactionUuid,
    classes: json(node?.classes ?? []),
    class_parameters: rich(node?.classParameters ?? new Map()),
    parameters: rich(node?.parameters ?? new Map()),
    trusted: rich(node?.trusted ?? null),
    server_facts: rich(node?.serverFacts ?? null),
  });
}

/**
 * Facts of one body that become rows, and can be searched: each costs the writer 30 µs and more, most of them for the index. Ten times as many as those at
 * which Puppet itself warns.
 */
const MAX_FACTS = 20_000;

/** Rows of what an agent asks a catalog with, its facts among them. */
export function* catalogRequestRows(exchange: number, asked: CatalogRequest, lists: Lists): Generator<DerivedWrite> {
  const facts = asked.facts !== null && 'value' in asked.facts ? asked.facts.value : null;
  if (asked.facts !== null && 'error' in asked.facts) {
    yield row('decode_note', { exchange, side: 'request', error: true, text: `the facts: ${asked.facts.error}` });
  }
  yield row('catalog_request', {
    exchange,
    environment: asked.environment,
    configured_environment: asked.configuredEnvironment,
    check_environment: asked.checkEnvironment,
    transaction_uuid: asked.transactionUuid,
    job_uuid: asked.jobUuid,
    static_catalog: asked.staticCatalog,
    checksum_types: json(asked.checksumTypes),
    facts_format: asked.factsFormat,
    facts_name: facts?.name,
    facts_timestamp: facts?.timestamp,
    top_level_facts: facts?.values.size,
    facts: facts?.rows.length,
  });
  const limits = facts?.softLimits ?? [];
  yield* lists.rows('soft_limit', exchange, limits.length, i => ({ ...limits[i] }));
  const leaves = facts?.rows.slice(0, MAX_FACTS) ?? [];
  if (facts !== null && facts.rows.length > leaves.length) {
    const text = `of ${facts.rows.length} facts the first ${leaves.length} are rows`;
    yield row('decode_note', { exchange, side: 'request', error: false, text });
  }
  yield* lists.rows('fact', exchange, leaves.length, i => {
    const { path, type, value, bytes } = leaves[i]!;
    return { path, type, value: keyless(value), bytes };
  });
}

/**
 * Rows of a catalog; those of the file metadata in it belong to its body, as all file metadata does.
 *
 * @param body `null` when those are there already: a primary that answers from a file gives the same bytes again
 */
export function* catalogRows(exchange: number, body: number | null, catalog: Catalog, lists: Lists): Generator<DerivedWrite> {
  const inlined = [...catalog.metadata, ...catalog.recursiveMetadata];
  yield row('catalog', {
    exchange,
    name: catalog.name,
    version: catalog.version,
    code_id: catalog.codeId,
    catalog_uuid: catalog.catalogUuid,
    catalog_format: int(catalog.catalogFormat),
    environment: catalog.environment,
    tags: json(catalog.tags),
    resources: catalog.resources.length,
    edges: catalog.edges.length,
    classes: catalog.classes.length,
    metadata: inlined.length,
  });
  const { classes, resources, edges } = catalog;
  yield* lists.rows('class', exchange, classes.length, i => ({ name: classes[i]! }));
  yield* lists.rows('resource', exchange, resources.length, i => resourceCells(resources[i]!));
  yield* lists.rows('edge', exchange, edges.length, i => ({ source: edges[i]!.source, target: edges[i]!.target }));
  if (body === null) return;
  yield* lists.rows('file_metadata', body, inlined.length, i => {
    const { resource, metadata } = inlined[i]!;
    return fileMetadataCells(metadata, resource, metadata.contentUri?.replace(/^puppet:\/\/[^/]*\//, '') ?? '');
  });
}

function resourceCells(resource: Resource): Cells {
  const shown = rich(resource.parameters);
  return {
    type: resource.type,
    title: resource.title,
    parameters: shown,
    secrets: hasSecrets(resource.parameters) ? rich(resource.parameters, 'mark') : null,
    sensitive: json(resource.sensitiveParameters),
    tags: json(resource.tags),
    file: resource.file,
    line: int(resource.line),
    exported: resource.exported,
    virtual: resource.virtual,
    kind: resource.kind,
  };
}

/** Whether there is a Sensitive value anywhere in it: as an argument of a Deferred, or within a hash, too. */
function hasSecrets(value: Rich | RichMap): boolean {
  if (value === null || typeof value !== 'object') return false;
  if (Array.isArray(value)) return value.some(hasSecrets);
  if (value instanceof Map) return [...value.values()].some(hasSecrets);
  if (!('type' in value)) return false;
  switch (value.type) {
    case 'Sensitive':
      return true;
    case 'Deferred':
      return value.arguments.some(hasSecrets);
    case 'Hash':
      return value.entries.some(([key, item]) => hasSecrets(key) || hasSecrets(item));
    case 'Object':
      return hasSecrets(value.attributes);
    case 'Binary':
    case 'Scalar':
    case 'Default':
    case 'Float':
    case 'LocalRef':
      return false;
    default:
      return value satisfies never;
  }
}

/** @param place what the content is asked for by: the path below the start of a search, or of a static catalog the content's URI */
export function fileMetadataCells(metadata: FileMetadata, resource: string | null, place: string): Cells {
  return {
    place,
    resource,
    path: metadata.path,
    relative_path: metadata.relativePath,
    type: metadata.type,
    mode: metadata.mode,
    owner: metadata.owner,
    group: metadata.group,
    checksum_type: metadata.checksumType,
    checksum: metadata.checksum,
    size: int(metadata.sizeBytes),
    links: metadata.links,
    destination: metadata.destination,
    source: metadata.source,
    content_uri: metadata.contentUri,
  };
}
