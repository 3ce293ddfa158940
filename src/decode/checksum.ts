import { createHash } from 'node:crypto';

/** A checksum as Puppet promises it: `{sha256}ab…` in metadata, `sha256/ab…` in a file bucket path. */
export interface Checksum {
  /** `sha256`, `md5`, `sha256lite`, …, `mtime`, `ctime`, `none`. */
  type: string;
  /** Lower-case hex, or a time for `mtime` and `ctime`. */
  value: string;
}

/** `unchecked`: a time, `none`, a type that is not known, or a body that is not whole. */
export type Verdict = 'match' | 'mismatch' | 'unchecked';

/** Digests of one content, by Puppet's names: those that agents promise by default (sha256; md5 up to Puppet 6). */
export interface Digests {
  sha256: string;
  sha256lite: string;
  md5: string;
  md5lite: string;
}

/** The `…lite` types are digests of this many first bytes (`lib/puppet/util/checksums.rb`, `content[0..511]`). */
const LITE_BYTES = 512;

const ALGORITHMS: ReadonlySet<string> = new Set(['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']);

export function digestsOf(bytes: Uint8Array): Digests {
  const lite = bytes.subarray(0, LITE_BYTES);
  return {
    sha256: digest('sha256', bytes),
    sha256lite: digest('sha256', lite),
    md5: digest('md5', bytes),
    md5lite: digest('md5', lite),
  };
}

function digest(algorithm: string, bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** Reads `{type}value`. `null` when the text has no type and `type` gives none. */
export function checksumOf(text: string | null, type: string | null = null): Checksum | null {
  if (text === null) return null;
  const match = /^\{(\w{1,16})\}(.*)$/s.exec(text);
  if (match !== null) return { type: match[1]!.toLowerCase(), value: match[2]! };
  return type === null ? null : { type: type.toLowerCase(), value: text };
}

/** Whether content is what was promised. */
export function checkContent(bytes: Uint8Array, promised: Checksum): Verdict {
  const lite = promised.type.endsWith('lite');
  const algorithm = lite ? promised.type.slice(0, -'lite'.length) : promised.type;
  if (!ALGORITHMS.has(algorithm)) return 'unchecked';
  return digest(algorithm, lite ? bytes.subarray(0, LITE_BYTES) : bytes) === promised.value.toLowerCase() ? 'match' : 'mismatch';
}

/** Whether equal checksums of this type mean equal contents. */
export function isWholeDigest(type: string): boolean {
  return ALGORITHMS.has(type);
}

/** Whether a promise can be checked, but not by these digests: it takes the content itself. */
export function needsContent(digests: Digests, promised: Checksum): boolean {
  return !Object.hasOwn(digests, promised.type) && ALGORITHMS.has(promised.type.replace(/lite$/, ''));
}

/** The same from digests that were taken before; types that are not among them are `unchecked`. */
export function checkDigests(digests: Digests, promised: Checksum): Verdict {
  const actual = new Map(Object.entries(digests)).get(promised.type);
  if (actual === undefined) return 'unchecked';
  return actual === promised.value.toLowerCase() ? 'match' : 'mismatch';
}
