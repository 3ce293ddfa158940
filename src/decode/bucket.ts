import { type Checksum, checkContent, type Verdict } from './checksum.ts';
import { type FileContent, fileContent } from './file-content.ts';
import type { Body } from './format.ts';
import { first, query } from './route.ts';

/** What a file bucket's path names: `file_bucket_file/sha256/HEX/original/path`. */
export interface BucketKey {
  checksum: Checksum | null;
  /** Where the file was on the agent, with its leading slash; `null` when the path was left out. */
  path: string | null;
  /** Of a request for a difference: the other file's checksum. */
  diffWith: string | null;
}

export interface BucketFile extends FileContent {
  /** Whether the content is what the path says it is. */
  verdict: Verdict;
}

/** Reads the key of a route; it holds a double slash where a path follows (the path is absolute). */
export function bucketKey(key: string | null, target: string): BucketKey {
  const match = /^(\w{1,16})\/([^/]*)(?:\/(.*))?$/s.exec(key ?? '');
  const checksum = match === null ? null : { type: match[1]!, value: match[2]! };
  return { checksum, path: match?.[3] || null, diffWith: first(query(target), 'diff_with') };
}

export function bucketFile(body: Body, key: BucketKey): BucketFile {
  const checkable = body.truncated === null && key.checksum !== null;
  return { ...fileContent(body), verdict: checkable ? checkContent(body.bytes, key.checksum!) : 'unchecked' };
}
