/*
 * File names out of titles and keys that an agent or a primary chose. No name leaves its folder, is longer than file systems take,
 * or falls on another one, also where upper and lower case are the same.
 */

/** ext4, XFS, APFS and NTFS take 255 bytes or characters; some are left for a number. */
const SEGMENT_BYTES = 120;
const SEGMENTS = 40;

/** One segment of a path: letters, digits, and what no shell or file system treats in a special way. Never empty, `.` or `..`. */
export function safeSegment(text: string): string {
  const plain = text
    .normalize('NFC')
    .toWellFormed()
    .replace(/[^\p{L}\p{N}._+@=-]/gu, '_')
    .replace(/^[.~-]+(?=.)/, dots => '_'.repeat(dots.length))
    .replace(/\.+$/, '_');
  const short = cut(plain, SEGMENT_BYTES);
  // names of devices on Windows, with any ending
  return short === '' || /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i.test(short) ? `_${short}` : short;
}

/** At most so many bytes of UTF-8, no character cut. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let kept = '';
  let length = 0;
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    kept += character;
  }
  return kept;
}

/** A relative path of safe segments; empty ones (`//`, a leading `/`) are left out. */
export function safePath(text: string): string {
  const segments = text
    .split('/')
    .filter(segment => segment !== '' && segment !== '.')
    .map(safeSegment);
  const some = segments.length > SEGMENTS ? [...segments.slice(0, SEGMENTS - 1), segments.at(-1)!] : segments;
  return some.join('/') || '_';
}

/** Gives each path once: the second of the same name gets `~2` before its ending, and so on. */
export function createNames(): (path: string) => string {
  const files = new Set<string>();
  const folders = new Set<string>();
  const count = new Map<string, number>();
  /** `name` below `parent`, or the next one of that name that is not `taken`. */
  const next = (parent: string, name: string, taken: (path: string) => boolean): string => {
    const wanted = key(`${parent}${name}`);
    if (!taken(wanted)) return name;
    for (let n = (count.get(wanted) ?? 1) + 1; ; n++) {
      const dot = name.indexOf('.', 1);
      const other = dot < 0 ? `${name}~${n}` : `${name.slice(0, dot)}~${n}${name.slice(dot)}`;
      if (taken(key(`${parent}${other}`))) continue;
      count.set(wanted, n);
      return other;
    }
  };
  return path => {
    const parts = path.split('/');
    let parent = '';
    for (const part of parts.slice(0, -1)) {
      // a file stands where a folder is wanted
      parent += next(parent, part, wanted => files.has(wanted));
      folders.add(key(parent));
      parent += '/';
    }
    const name = `${parent}${next(parent, parts.at(-1)!, wanted => files.has(wanted) || folders.has(wanted))}`;
    files.add(key(name));
    return name;
  };
}

/** What some file systems take for the same name. */
function key(path: string): string {
  return path.normalize('NFKC').toLowerCase();
}
