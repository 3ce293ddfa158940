import { copyBytes } from './ring.ts';

/** A shorter body costs little to hash. */
const REPEATED_BYTES = 64 << 10;

/** How much of bodies is remembered in all, and of one at most: agents that start together ask for the same few large files. */
const REMEMBERED_BYTES = 4 << 20;
const LONGEST_BYTES = 2 << 20;

/** A body is recognised by so many bytes at its front. */
const FRONT_BYTES = 64;

/** A stored body, whole. */
interface Known {
  id: number;
  bytes: Buffer;
}

/**
 * Large bodies that came twice of late. One that comes again is known by holding it against them as it passes: that takes a fifth of the time of a
 * hash, and nothing of it needs to be kept until it ends.
 */
export interface Repeats {
  /** A body that begins with `part` and may be one of them, `null` when none begins so. */
  begin(part: Buffer): Repeat | null;
  /** A body that was in the file when it came, in parts. */
  came(id: number, sizeBytes: number, parts: readonly Buffer[]): void;
  /** Bodies were deleted, or never written: none is known any more, nor are those that are being compared. */
  forget(): void;
}

/** A body as far as it is the same as a known one. */
export interface Repeat {
  /** Goes on by these parts. @returns whether they are the same too; if not, the repeat is where it was */
  follow(parts: readonly Buffer[]): boolean;
  /** The id of the known body, `null` when it goes on, or was forgotten. */
  whole(): number | null;
  /** What came so far. */
  soFar(): Buffer;
}

export function createRepeats(): Repeats {
  /** By their first bytes; the one that came last is the last. */
  let known = new Map<string, Known>();
  let bytes = 0;

  function remove(front: string): void {
    bytes -= known.get(front)?.bytes.length ?? 0;
    known.delete(front);
  }

  return {
    begin(part) {
      if (known.size === 0 || part.length < FRONT_BYTES) return null;
      const front = frontOf(part);
      const body = known.get(front);
      if (body === undefined) return null;
      known.delete(front);
      known.set(front, body);
      const knownNow = known;
      return repeat(body, () => known === knownNow);
    },
    came(id, sizeBytes, parts) {
      if (sizeBytes < REPEATED_BYTES || sizeBytes > LONGEST_BYTES) return;
      const body = joined(parts, sizeBytes);
      const front = frontOf(body);
      remove(front);
      known.set(front, { id, bytes: body });
      bytes += sizeBytes;
      for (const oldest of known.keys()) {
        if (bytes <= REMEMBERED_BYTES) break;
        remove(oldest);
      }
    },
    forget() {
      known = new Map();
      bytes = 0;
    },
  };
}

function joined(parts: readonly Buffer[], sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  let at = 0;
  for (const part of parts) {
    copyBytes(part, 0, part.length, bytes, at);
    at += part.length;
  }
  return bytes;
}

function frontOf(bytes: Buffer): string {
  return bytes.toString('latin1', 0, FRONT_BYTES);
}

function repeat({ id, bytes }: Known, isValid: () => boolean): Repeat {
  let at = 0;
  return {
    follow(parts) {
      let to = at;
      for (const part of parts) {
        if (to + part.length > bytes.length || part.compare(bytes, to, to + part.length) !== 0) return false;
        to += part.length;
      }
      at = to;
      return true;
    },
    whole: () => (at === bytes.length && isValid() ? id : null),
    soFar: () => bytes.subarray(0, at),
  };
}
