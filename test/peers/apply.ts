import { type Ask, JSON_OR_PSON, OCTETS, RunFailed, said } from './conversation.ts';
import type { Applied } from './report.ts';
import { sha256 } from './site.ts';

/** SHA-256 of each file that the agent has: plugins, and what its catalog manages. */
export type FilesHad = Map<string, string>;

/** What is read of a catalog. */
export interface Catalog {
  catalog_uuid: string;
  code_id: string;
  version: number;
  resources: readonly Resource[];
  metadata: Record<string, Entry>;
}

interface Resource {
  type: string;
  title: string;
  file?: string;
  line?: number;
  tags: string[];
  parameters: Record<string, unknown>;
}

/** One entry of file metadata. */
interface Entry {
  type: string;
  relative_path: string | null;
  checksum: { type: string; value: string };
  content_uri?: string;
}

/** What a primary's old file holds before the first run: it is backed up to the file bucket. */
export const OLD_CONTENT = Buffer.from('old\n');

/** Pluginsync: the environment check, then each mount's list and what of it is new. */
export async function pluginSync(ask: Ask, had: FilesHad, environment: string): Promise<void> {
  const target = (mount: string, recurse: boolean, links: string, permissions: string): string =>
    `/puppet/v3/file_metadatas/${mount}?recurse=${recurse}&max_files=-1&ignore=.svn&ignore=CVS&ignore=.git&ignore=.hg&links=${links}&checksum_type=sha256&source_permissions=${permissions}&${environment}`;
  await ask('GET', target('plugins', false, 'manage', 'ignore'), JSON_OR_PSON);
  for (const [mount, permissions] of [
    ['pluginfacts', 'use'],
    ['plugins', 'ignore'],
  ] as const) {
    const listed = await ask('GET', target(mount, true, 'follow', permissions), JSON_OR_PSON);
    if (listed.status !== 200) throw new RunFailed(`Could not retrieve file metadata for puppet:///${mount}: ${said(listed)}`);
    for (const entry of JSON.parse(listed.body.toString()) as Entry[]) {
      const path = `${mount}/${entry.relative_path}`;
      if (entry.type !== 'file' || had.get(path) === digestOf(entry)) continue;
      const got = await ask('GET', `/puppet/v3/file_content/${encodeURI(path)}?${environment}`, OCTETS);
      had.set(path, sha256(got.body));
    }
  }
}

/** Walks through the catalog as an agent does: asks for what each resource needs, and notes what would be or was changed. */
export async function apply(catalog: Catalog, ask: Ask, had: FilesHad, environment: string, noop: boolean): Promise<Applied[]> {
  const applied: Applied[] = [];
  for (const resource of catalog.resources) {
    const { type, title, file, line, tags, parameters } = resource;
    if (file === undefined) continue; // classes, stages and the like
    const began = performance.now();
    const old = had.get(title) ?? null;
    const wanted = await contentOf(catalog, resource, ask, environment);
    const differs = wanted !== null && wanted.digest !== old;
    if (differs && !noop) {
      if (parameters.backup === 'main' && old !== null) await backUp(ask, old, title, environment);
      if (wanted.target !== null) await ask('GET', wanted.target, OCTETS);
      had.set(title, wanted.digest);
    }
    const event = differs ? eventOf(old, wanted.digest) : null;
    applied.push({ type, title, file, line: line ?? null, tags, event, tookMs: performance.now() - began });
  }
  return applied;
}

/** What a resource is to hold, and where that is to be had unless the catalog says it. */
async function contentOf(
  catalog: Catalog,
  { title, parameters }: Resource,
  ask: Ask,
  environment: string,
): Promise<{ digest: string; target: string | null } | null> {
  const { source, content } = parameters;
  const inlined = catalog.metadata[title];
  if (inlined?.content_uri !== undefined) {
    const path = inlined.content_uri.replace('puppet:///', '');
    return {
      digest: digestOf(inlined),
      target: `/puppet/v3/static_file_content/${path}?code_id=${catalog.code_id}&${environment}`,
    };
  }
  if (typeof source === 'string') {
    // encodeURI leaves `+` and `&` alone, as Puppet does.
    const path = encodeURI(source.replace('puppet:///', ''));
    const query = `links=manage&checksum_type=sha256&source_permissions=ignore&${environment}`;
    const found = await ask('GET', `/puppet/v3/file_metadata/${path}?${query}`, JSON_OR_PSON);
    if (found.status !== 200) return null;
    return {
      digest: digestOf(JSON.parse(found.body.toString()) as Entry),
      target: `/puppet/v3/file_content/${path}?${environment}`,
    };
  }
  if (content === undefined) return null;
  return { digest: sha256(Buffer.from(JSON.stringify(content))), target: null };
}

async function backUp(ask: Ask, digest: string, path: string, environment: string): Promise<void> {
  const target = `/puppet/v3/file_bucket_file/sha256/${digest}/${path}?${environment}`;
  const known = await ask('HEAD', target, OCTETS);
  if (known.status === 404) await ask('PUT', target, OCTETS, { type: OCTETS, bytes: OLD_CONTENT });
}

function eventOf(old: string | null, wanted: string): NonNullable<Applied['event']> {
  const desired = `{sha256}${wanted}`;
  if (old === null)
    return { property: 'ensure', previous: 'absent', desired: 'file', message: `defined content as '${desired}'` };
  const previous = `{sha256}${old}`;
  return { property: 'content', previous, desired, message: `content changed '${previous}' to '${desired}'` };
}

function digestOf({ checksum }: Entry): string {
  return checksum.value.replace(/^\{\w+\}/, '');
}
