import type { Catalog } from '../decode/catalog.ts';
import { keyless } from '../decode/private-keys.ts';
import type { Rich } from '../decode/rich-data.ts';
import { createHiding, hideInTarget, hideInText, isSecretName, knownPattern } from '../decode/secrets.ts';

/** What becomes of secrets in what a comparison tells. They are compared as they are: that one differs is told. */
export interface Secrecy {
  readonly reveal: boolean;
  /** A text without private keys and, unless revealed, without encrypted values, passwords in URLs, and texts that are secret elsewhere. */
  text(text: string): string;
  /** Whether a value below these names is a secret. */
  named(path: readonly string[]): boolean;
  target(target: string): string;
  /** Steps that line by line comparisons of texts may still take: counted down over the whole of a comparison. */
  readonly effort: { left: number };
}

/** One to three seconds of the search in compare-text.ts. */
const MAX_EFFORT = 16_000_000;

/** @param secrets texts that are secret wherever they stand */
export function secrecyOf(reveal: boolean, secrets: Iterable<string> = []): Secrecy {
  const effort = { left: MAX_EFFORT };
  if (reveal) return { reveal, effort, text: keyless, named: () => false, target: target => target };
  const hiding = createHiding(knownPattern(secrets));
  return {
    reveal,
    effort,
    text: text => hideInText(text, hiding),
    named: path => path.some(isSecretName),
    target: target => hideInTarget(target, hiding),
  };
}

/** Texts of catalogs that Puppet calls Sensitive, or whose names say that they are. */
export function secretsOf(catalogs: readonly (Catalog | null)[]): string[] {
  const found: string[] = [];
  const collect = (value: Rich, secret: boolean): void => {
    if (typeof value === 'string') {
      if (secret) found.push(value);
    } else if (Array.isArray(value)) for (const item of value) collect(item, secret);
    else if (value instanceof Map) for (const [key, item] of value) collect(item as Rich, secret || isSecretName(key as string));
    else if (typeof value === 'object' && value !== null && 'type' in value) {
      if (value.type === 'Sensitive') collect(value.value, true);
      if (value.type === 'Hash')
        for (const [key, item] of value.entries) collect(item, secret || (typeof key === 'string' && isSecretName(key)));
    }
  };
  for (const catalog of catalogs) for (const { parameters } of catalog?.resources ?? []) collect(parameters as Rich, false);
  return found;
}
