import type { Data } from '../decode/data.ts';
import type { Pseudonyms } from '../decode/pseudonyms.ts';
import { type Hiding, knownPattern, type SecretKind, secretsIn } from '../decode/secrets.ts';
import type { Store } from './store-shape.ts';

/** Texts that one pattern takes. */
const CHUNK = 1000;

/** Hides secrets by pseudonyms of the same shape, the same for the same secret. */
export interface SecretPseudonyms extends Hiding {
  /** How many different secrets were replaced. */
  readonly count: number;
}

/**
 * @param runs whose catalogs say what is a secret; `null` for all. A secret of one run is one in the others too: bodies are shared
 */
export function secretPseudonyms(store: Store, runs: readonly number[] | null, names: () => Pseudonyms): SecretPseudonyms {
  const found = new Set<string>();
  for (const run of runs ?? Array.from(store.runs(), row => row.id)) {
    for (const row of store.decoded.rows('resource', { run, reveal: true })) {
      for (const secret of secretsIn(row.parameters as Data)) found.add(secret);
    }
  }
  const seen = new Set<string>();
  return {
    typed: true,
    known: patternOf([...found]),
    replace(secret, kind) {
      if (secret !== '') seen.add(secret);
      return shownAs(secret, kind, names());
    },
    get count() {
      return seen.size;
    },
  };
}

/** One pattern for all of them, the longest first within each thousand. */
function patternOf(secrets: readonly string[]): RegExp | null {
  const sorted = [...secrets].sort((a, b) => b.length - a.length);
  const sources: string[] = [];
  for (let at = 0; at < sorted.length; at += CHUNK) {
    const pattern = knownPattern(sorted.slice(at, at + CHUNK));
    if (pattern !== null) sources.push(pattern.source);
  }
  return sources.length === 0 ? null : new RegExp(sources.join('|'), 'g');
}

/** What says of which kind a secret is stays: the lines of a PEM block, `ENC[PKCS7,`, `$6$`, `{SSHA}`. */
function shownAs(secret: string, kind: SecretKind, names: Pseudonyms): string {
  if (kind === 'private-key' || secret.includes('PRIVATE KEY-----')) {
    return secret.replace(/\\[nrt]|-----[^-\n]{1,60}-----|[A-Za-z0-9]+/g, part =>
      /^[\\-]/.test(part) ? part : names.strict(part),
    );
  }
  const prefix = /^(?:ENC\[[A-Z0-9]{1,20},|\$[0-9a-z]{1,8}\$|\{[A-Za-z0-9-]{1,16}\})/.exec(secret)?.[0] ?? '';
  const rest = secret.slice(prefix.length);
  const made = names.strict(rest);
  // what has no letter or digit in it is replaced as well
  return prefix + (made === rest ? Buffer.from(names.filler(Buffer.from(rest), true)).toString('latin1') : made);
}
