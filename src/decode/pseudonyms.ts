import { createHmac } from 'node:crypto';
import { VOCABULARY } from './vocabulary.ts';

/** What of a capture gets another name when it is shared. */
export type Level =
  /** Secrets alone. */
  | 'low'
  /** Names of hosts and domains, and addresses, too. */
  | 'moderate'
  /** Every word that is not one of Puppet's own, and every file. */
  | 'full';

/**
 * Other words for those of a capture: of the same length in bytes, of the same shape (letters, case, digits, hexadecimal), the same for the
 * same word wherever it is, and by a key that nobody keeps. What has a meaning to rules and commands (Puppet's own words, times) stays.
 */
export interface Pseudonyms {
  readonly level: Level;
  /** A text of the wire. */
  text(text: string): string;
  /** Only names and addresses in it, above `low`: words of TLS libraries and of stringtap. */
  names(text: string): string;
  /** A value of which nothing may stay: a fact, a secret, a name. */
  strict(text: string): string;
  /** Bytes of the same length that depend on the key and on these bytes. */
  filler(bytes: Uint8Array, printable: boolean): Uint8Array;
  /** Another number of as many digits. */
  number(value: number | bigint): number | bigint;
  /** Checksums of files that were rewritten, old to new, lower-case hex. */
  readonly checksums: Map<string, string>;
  /** How many different words, names and addresses were replaced. */
  readonly counts: { words: number; names: number; addresses: number };
}

/** Words that are remembered so that two of them never become one. */
const REMEMBERED = 1_000_000;

const PARTS = [
  String.raw`(?<time>(?<![\p{L}\p{N}])\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z| ?[+-]\d\d:?\d\d)?)?(?![\p{L}\p{N}]))`,
  String.raw`(?<ipv4>(?<![\p{L}\p{N}.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?[\p{L}\p{N}]))`,
  String.raw`(?<colons>(?<![\p{L}\p{N}:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\p{L}\p{N}:]))`,
  String.raw`(?<words>[\p{L}\p{N}]+(?:[._-]+[\p{L}\p{N}]+)*)`,
];
const TOKEN = new RegExp(PARTS.join('|'), 'gu');

/**
 * @param known names of hosts and domains, lower-case; a name of one label that is a word of Puppet's own is no name
 * @param key random bytes, for one shared file
 */
export function createPseudonyms(level: Level, known: ReadonlySet<string>, key: Uint8Array): Pseudonyms {
  const words = new Map<string, string>();
  const taken = new Set<string>();
  const namesSeen = new Set<string>();
  const addresses = new Set<string>();
  const checksums = new Map<string, string>();
  /** First labels of known names: most words are none, and are looked at no longer. */
  const starts = new Set(Array.from(known, name => name.split(/[._-]/, 1)[0]!));
  const isName = (text: string): boolean => text.length > 1 && known.has(text) && !VOCABULARY.has(text);

  /** Keyed bytes for a text. */
  function stream(text: string, length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let n = 0, have = 0; have < length; n++) {
      const part = createHmac('sha256', key).update(`${n} ${text}`).digest();
      parts.push(part);
      have += part.length;
    }
    return Buffer.concat(parts).subarray(0, length);
  }

  /** @param lower with ASCII letters in lower case */
  function other(lower: string): string {
    const found = words.get(lower);
    if (found !== undefined) return found;
    let made = lower;
    for (let attempt = 0; attempt < 20; attempt++) {
      made = shaped(lower, stream(`${attempt} word ${lower}`, [...lower].length));
      if (made !== lower && !taken.has(made)) break;
    }
    if (words.size < REMEMBERED) {
      words.set(lower, made);
      taken.add(made);
    }
    return made;
  }

  function word(text: string): string {
    const lower = text.replace(/[A-Z]+/g, part => part.toLowerCase());
    const made = checksums.get(lower) ?? other(lower);
    if (lower === text) return made;
    // case is kept letter by letter; letters beyond ASCII have none here
    const letters = [...text];
    return [...made].map((letter, at) => (/[A-Z]/.test(letters[at] ?? '') ? letter.toUpperCase() : letter)).join('');
  }

  function ipv4(text: string): string {
    const octets = text.split('.').map(Number);
    if (octets.some(octet => octet > 255)) return text.replace(/\d+/g, word);
    if (octets[0] === 127 || octets[0] === 255 || text === '0.0.0.0') return text;
    addresses.add(text);
    return octets.map(octetOf).join('.');
  }

  /** An octet of as many digits: addresses of one network stay in one. */
  function octetOf(octet: number): number {
    const [from, to] = octet < 10 ? [0, 9] : octet < 100 ? [10, 99] : [100, 255];
    // a keyed permutation of the range: sorted by keyed bytes
    const table = permutations.get(from) ?? permuted(from, to);
    permutations.set(from, table);
    return table[octet - from]!;
  }
  const permutations = new Map<number, number[]>();
  function permuted(from: number, to: number): number[] {
    const range = Array.from({ length: to - from + 1 }, (_, at) => at + from);
    const weight = new Map(range.map(octet => [octet, Buffer.from(stream(`octet ${octet}`, 6)).readUIntBE(0, 6)]));
    const sorted = [...range].sort((a, b) => weight.get(a)! - weight.get(b)!);
    // a cycle through them all: no octet stays what it was
    return range.map(octet => sorted[(sorted.indexOf(octet) + 1) % sorted.length]!);
  }

  /** IPv6, MAC; `12:34:56` is a time. */
  function colons(text: string, strict: boolean): string {
    if (/^:*1?$/.test(text)) return text;
    if (!strict && /^\d\d:\d\d:\d\d$/.test(text)) return text;
    addresses.add(text);
    return text.replace(/[0-9a-f]+/gi, group => hexWord(group));
  }

  function hexWord(group: string): string {
    const bytes = stream(`hex ${group.toLowerCase()}`, group.length);
    const made = [...bytes].map(byte => (byte & 15).toString(16)).join('');
    return /[A-F]/.test(group) ? made.toUpperCase() : made;
  }

  /** Runs of labels that are a known name go whole, with what stands before a known domain; the others as `each` says. */
  function token(text: string, each: (label: string) => string): string {
    const parts = text.split(/([._-]+)/);
    const out: string[] = [];
    for (let at = 0; at < parts.length; at += 2) {
      const end = longestName(parts, at);
      if (end > at) {
        const name = parts.slice(at, end).join('').toLowerCase();
        namesSeen.add(name);
        if (name.includes('.') || at > 0) strictBefore(parts, at, out);
        out.push(...parts.slice(at, end).map((part, n) => (n % 2 === 0 ? word(part) : part)), parts[end] ?? '');
        at = end - 1;
      } else out.push(each(parts[at]!), parts[at + 1] ?? '');
    }
    return out.join('');
  }

  /** `host.` before a known domain belongs to its name. */
  function strictBefore(parts: readonly string[], at: number, out: string[]): void {
    for (let before = at - 2; before >= 0 && parts[before + 1] === '.'; before -= 2) out[before] = word(parts[before]!);
  }

  /** @returns the place behind the longest known name that begins at a label, or that label's place */
  function longestName(parts: readonly string[], at: number): number {
    if (!starts.has(parts[at]!.toLowerCase())) return at;
    for (let end = Math.min(parts.length, at + 39); end > at; end -= 2) {
      const odd = (end - at) % 2 === 0 ? end - 1 : end;
      if (isName(parts.slice(at, odd).join('').toLowerCase())) return odd;
    }
    return at;
  }

  const replace = (text: string, strict: boolean, each: (label: string) => string): string =>
    text.replace(TOKEN, (match: string, ...rest: unknown[]) => {
      const groups = rest.at(-1) as Record<string, string | undefined>;
      if (groups.time !== undefined) return strict ? match.replace(/\d+/g, word) : match;
      if (groups.ipv4 !== undefined) return ipv4(match);
      if (groups.colons !== undefined) return colons(match, strict);
      return token(match, each);
    });

  const checksum = (label: string): string =>
    checksums.size > 0 && label.length >= 32 ? (checksums.get(label) ?? label) : label;
  const loose = (label: string): string => {
    // Numbers of up to four digits are versions, lines, sizes: what identifies is longer, or part of a name.
    if (/^\d{1,4}$/.test(label) || VOCABULARY.has(label.toLowerCase())) return label;
    return word(label);
  };

  return {
    level,
    checksums,
    text: text => {
      if (level === 'low') return checksums.size === 0 ? text : text.replace(/[0-9a-f]{32,128}/g, checksum);
      return replace(text, false, level === 'full' ? loose : checksum);
    },
    names: text => (level === 'low' ? text : replace(text, false, checksum)),
    strict: text => replace(text, true, word),
    number(value) {
      // what is not written in digits alone (1e21, -0.5e-7) has no shape to keep
      const text = String(value);
      if (!/^-?\d+(?:\.\d+)?$/.test(text)) return 0;
      const made = text.replace(/\d+/g, word);
      return typeof value === 'bigint' ? BigInt(made) : Number(made);
    },
    filler(bytes, printable) {
      const seed = createHmac('sha256', key).update(bytes).digest('hex');
      const made = Buffer.from(stream(`filler ${seed}`, bytes.length));
      if (printable) for (let at = 0; at < made.length; at++) made[at] = at % 64 === 63 ? 0x0a : 0x61 + (made[at]! % 26);
      return new Uint8Array(made);
    },
    get counts() {
      return { words: words.size, names: namesSeen.size, addresses: addresses.size };
    },
  };
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** A word with the shape of another: digits, hexadecimal with a digit in it, letters by their length in UTF-8. */
function shaped(word: string, bytes: Uint8Array): string {
  const hex = word.length >= 4 && /^[0-9a-f]+$/.test(word) && /\d/.test(word) && /[a-f]/.test(word);
  return [...word]
    .map((letter, at) => {
      const byte = bytes[at]!;
      if (hex) return (byte & 15).toString(16);
      // a number keeps its number of digits, a leading zero stays one
      if (letter >= '0' && letter <= '9') {
        return at > 0 ? String(byte % 10) : letter === '0' && word.length > 1 ? '0' : String(1 + (byte % 9));
      }
      if (letter < '\x80') return LETTERS[byte % 26]!;
      const point = letter.codePointAt(0)!;
      if (point < 0x800) return String.fromCharCode(0xe0 + (byte % 22));
      return point < 0x10000 ? String.fromCharCode(0x3041 + (byte % 80)) : String.fromCodePoint(0x10428 + (byte % 40));
    })
    .join('');
}
