import type { Catalog } from '../decode/catalog.ts';
import type { FileAnswer } from '../decode/decode.ts';
import type { FileMetadata } from '../decode/file-metadata.ts';
import type { Rich } from '../decode/rich-data.ts';
import type { ExchangeData, RunData } from './compare-data.ts';
import { type Decoder, plainBytes, sha256, valueIn } from './compare-decoded.ts';
import type { Routed } from './compare-match.ts';
import type { ContentId, FileDifference } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';
import { contentDifference } from './compare-text.ts';
import { allowance, compareValues } from './compare-values.ts';

/** One file as a run knows it: described by metadata, or fetched, or both. */
export interface FileState {
  phase: FileDifference['phase'];
  metadata: FileMetadata | null;
  /** `{sha256}…`: promised by metadata, or else of the content itself. */
  checksum: string | null;
  content: Uint8Array | null;
}

/** Files of a run by {@link fileKey}. */
export type Inventory = ReadonlyMap<string, FileState>;

/**
 * Mount and path. In a static catalog a file of a module is named by its place in the environment (`modules/m/files/a`), else by its mount
 * (`modules/m/a`): both are the second here.
 */
export function fileKey(path: string, staticPath = false): string {
  const clean = path.replace(/^\/+/, '').replace(/\/+/g, '/');
  return staticPath ? clean.replace(/^(?:[^/]+\/)*?modules\/([^/]+)\/files\//, 'modules/$1/') : clean;
}

/** `puppet:///modules/m/a` and `puppet://server/modules/m/a`: `modules/m/a`; `null` for what is no file of a primary. */
function sourceKey(source: string): string | null {
  const match = /^puppet:\/\/[^/]*\/(.+)$/s.exec(source);
  return match === null ? null : fileKey(match[1]!.replace(/\/$/, ''));
}

/** All that a run says of files. */
export function inventory(run: RunData, exchanges: readonly Routed[], catalog: Catalog | null, decode: Decoder): Inventory {
  const files = new Map<string, FileState>();
  const note = (key: string, phase: FileDifference['phase'], state: Partial<FileState>): void => {
    const known = files.get(key) ?? { phase, metadata: null, checksum: null, content: null };
    files.set(key, { ...known, ...state });
  };
  const describe = (key: string, phase: FileDifference['phase'], metadata: FileMetadata): void => {
    const relative = metadata.relativePath ?? '.';
    const checksum = metadata.checksum === null ? null : `{${metadata.checksumType ?? ''}}${metadata.checksum}`;
    note(relative === '.' ? key : fileKey(`${key}/${relative}`), phase, { metadata, checksum });
  };
  for (const { metadata, source } of catalog === null ? [] : [...catalog.metadata, ...catalog.recursiveMetadata]) {
    const key = sourceKey(source ?? metadata.source ?? '');
    if (key !== null) describe(key, 'file', metadata);
  }
  for (const { exchange, route } of exchanges) {
    const { phase, indirection, key } = route;
    if ((phase !== 'file' && phase !== 'pluginsync') || key === null || exchange.status !== 200) continue;
    const answer = answerOf(exchange, decode);
    if (answer?.type === 'metadata') for (const entry of answer.entries) describe(fileKey(key), phase, entry);
    else if (answer?.type === 'content') {
      const name = fileKey(key, indirection === 'static_file_content');
      const checksum = files.get(name)?.checksum ?? `{sha256}${answer.digests.sha256}`;
      note(name, phase, { content: plainBytes(exchange.response, exchange.responseFields), checksum });
    }
  }
  for (const state of files.values()) {
    if (state.content === null && state.checksum !== null) state.content = run.contents?.get(state.checksum) ?? null;
  }
  return files;
}

/** Metadata, or content that is whole; `null` for what says nothing of files. */
function answerOf(exchange: ExchangeData, decode: Decoder): FileAnswer | null {
  const decoded = decode(exchange);
  if ((decoded.phase !== 'file' && decoded.phase !== 'pluginsync') || exchange.response?.complete !== true) return null;
  const answer = valueIn(decoded.response);
  return answer?.type === 'content' && !answer.complete ? null : answer;
}

/** Whether what an exchange says is in the {@link inventory} of its run. */
export function describesFiles(exchange: ExchangeData, decode: Decoder): boolean {
  return exchange.status === 200 && answerOf(exchange, decode) !== null;
}

/** Which `File` resources take a file as their source. */
export interface Users {
  names: readonly string[];
  /** One of them calls its source or content Sensitive. */
  hidden: boolean;
}

/** @returns the resources of a file by its key, those of a directory for all that is below it */
export function usersOf(catalogs: readonly (Catalog | null)[]): (key: string) => Users {
  const sources = new Map<string, { name: string; hidden: boolean }[]>();
  for (const { type, title, parameters, sensitiveParameters } of catalogs.flatMap(catalog => catalog?.resources ?? [])) {
    if (type !== 'File') continue;
    const hidden = sensitiveParameters.includes('source') || sensitiveParameters.includes('content');
    for (const source of textsIn(parameters.get('source'))) {
      const key = sourceKey(source);
      if (key !== null) sources.set(key, [...(sources.get(key) ?? []), { name: `File[${title}]`, hidden }]);
    }
  }
  return key => {
    const users = prefixes(key).flatMap(prefix => sources.get(prefix) ?? []);
    return { names: [...new Set(users.map(({ name }) => name))], hidden: users.some(({ hidden }) => hidden) };
  };
}

function textsIn(value: Rich | undefined): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(item => textsIn(item));
  const sensitive = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Sensitive';
  return sensitive ? textsIn(value.value) : [];
}

/** `a/b/c`, `a/b`, `a`: at most as many as a path of Linux has names. */
function prefixes(key: string): string[] {
  const parts = key.split('/').slice(0, 256);
  return parts.map((_, n) => parts.slice(0, parts.length - n).join('/'));
}

/**
 * Files that differ. A file that only one side knows is told when the other one knows its surroundings: an agent asks for a file of a
 * recursive directory, or a plugin, by listing all of them; a single source comes and goes with its resource.
 */
export function compareFiles(
  before: Inventory,
  after: Inventory,
  usersBefore: (key: string) => Users,
  usersAfter: (key: string) => Users,
  secrecy: Secrecy,
): FileDifference[] {
  const found: FileDifference[] = [];
  const left = allowance();
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const [one, other] = [before.get(path), after.get(path)];
    if (one === undefined || other === undefined) {
      const present = (one ?? other)!;
      const lacks = one === undefined ? before : after;
      if (present.metadata === null || !listed(path, lacks)) continue;
    }
    const { names, hidden } = merged(usersBefore(path), usersAfter(path));
    const metadata = compareValues(traitsOf(one), traitsOf(other), { secrecy, allowance: left });
    const content = differs(one, other) ? contentOf(one, other, hidden && !secrecy.reveal, secrecy) : null;
    if (one !== undefined && other !== undefined && metadata.length === 0 && content === null) continue;
    const kind = one === undefined ? 'added' : other === undefined ? 'removed' : 'changed';
    found.push({ kind, path, phase: (other ?? one)!.phase, resources: names, metadata, content });
  }
  return found.sort((x, y) => (x.path < y.path ? -1 : x.path > y.path ? 1 : 0));
}

function merged(one: Users, other: Users): Users {
  return { names: [...new Set([...one.names, ...other.names])], hidden: one.hidden || other.hidden };
}

/** A directory above it is described there. */
function listed(path: string, files: Inventory): boolean {
  return prefixes(path)
    .slice(1)
    .some(prefix => files.get(prefix)?.metadata?.type === 'directory');
}

function traitsOf(state: FileState | undefined): Rich {
  if (!state?.metadata) return new Map();
  const { type, mode, owner, group, destination } = state.metadata;
  const traits: [string, Rich][] = [
    ['type', type],
    ['mode', mode],
    ['owner', owner],
    ['group', group],
    ['destination', destination],
  ];
  return new Map(traits.filter(([, value]) => value !== null));
}

/** Directories and links have a checksum of nothing that lasts (a time, or of their target). */
function differs(one: FileState | undefined, other: FileState | undefined): boolean {
  const type = (other ?? one)?.metadata?.type ?? 'file';
  if (type !== 'file') return false;
  if (one?.content && other?.content) return sha256(one.content) !== sha256(other.content);
  return one !== undefined && other !== undefined && one.checksum !== other.checksum && sameType(one, other);
}

/** Checksums of two types say nothing of each other. */
function sameType(one: FileState, other: FileState): boolean {
  const type = (state: FileState): string | undefined => /^\{(\w+)\}/.exec(state.checksum ?? '')?.[1];
  const [first, second] = [type(one), type(other)];
  return first !== undefined && first === second && !/time$|^none$/.test(first);
}

function contentOf(
  one: FileState | undefined,
  other: FileState | undefined,
  hidden: boolean,
  secrecy: Secrecy,
): FileDifference['content'] {
  if (one === undefined || other === undefined) return null;
  const side = ({ checksum, content }: FileState): { id: ContentId; bytes: Uint8Array | null } => ({
    id: { checksum, bytes: content?.length ?? null },
    bytes: content,
  });
  return contentDifference(side(one), side(other), secrecy, hidden);
}
