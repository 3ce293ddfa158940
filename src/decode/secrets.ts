import type { Fields } from '../model.ts';
import {
  type Data,
  entriesOf,
  FLOAT,
  field,
  has,
  isMapping,
  isTypeKey,
  ptypeOf,
  pvalueOf,
  SYMBOL,
  Tagged,
  textOf,
  textsOf,
} from './data.ts';
import { dataJson } from './data-json.ts';
import { percentDecode } from './route.ts';

/*
 * Where the secrets of Puppet's bodies are. What stands in their place is the caller's choice: `(hidden)` for a reader, a pseudonym for
 * a capture that is shared. Nothing here knows a store or a file.
 */

/** What made a value a secret. */
export type SecretKind =
  /** Puppet calls it Sensitive. */
  | 'sensitive'
  | 'private-key'
  /** `ENC[PKCS7,…]`: encrypted, and still for nobody's ticket. */
  | 'eyaml'
  /** Its name says so: `password`, `api_key`, an Authorization field, the password in a URL. */
  | 'named'
  /** The same text is a secret elsewhere in the run. */
  | 'known';

/** What becomes of secrets. Called for each one; the caller counts and lists as it likes. */
export interface Hiding {
  replace(secret: string, kind: SecretKind): string;
  /** Texts that are secret wherever they are; see {@link knownPattern}. */
  known: RegExp | null;
  /** Sensitive values stay Sensitive, with another text in them; without it the text stands alone. */
  typed?: boolean;
}

/** What a reader sees in the place of a secret. */
export const HIDDEN = '(hidden)';

/** Hides for a reader, and counts. */
export function createHiding(known: RegExp | null = null): Hiding & { count: number } {
  const hiding = {
    count: 0,
    known,
    replace(_: string, kind: SecretKind): string {
      hiding.count += 1;
      return kind === 'sensitive' ? '(sensitive)' : kind === 'private-key' ? '(private key)' : HIDDEN;
    },
  };
  return hiding;
}

/**
 * Names whose values are secrets, at the end of a longer name too (`db_password`, `rootPassword`). What comes after such a word makes
 * it another thing: `password_max_age`, `token_file`.
 */
const SECRET_NAME =
  /(?:^|[_.:\s-])(?:(?:pass|password|passwd|passphrase|pwd|secret|token|credential|psk)s?|(?:api|access|private|secret|encryption|preshared|shared|license|auth)_?keys?|(?:password|pw)_?hash(?:es)?|auth_?string|salt|pw)$/;

/** Whether a parameter, fact, setting or field of this name holds a secret. */
export const isSecretName = remembering(
  name => name.length <= 300 && SECRET_NAME.test(name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()),
);

/** Names come again and again, and a body may have any: so many answers are remembered, of names that are not long. */
const REMEMBERED = 4096;

function remembering(ask: (name: string) => boolean): (name: string) => boolean {
  const answers = new Map<string, boolean>();
  return name => {
    const before = answers.get(name);
    if (before !== undefined) return before;
    const answer = ask(name);
    if (name.length > 100) return answer;
    if (answers.size >= REMEMBERED) answers.clear();
    answers.set(name, answer);
    return answer;
  };
}

/** What is never a secret, whatever its name: nothing, a switch, one digit (`pass` of a mount), what is hidden already. */
function isPlaceholder(text: string): boolean {
  return /^(?:|\d|true|false|undef|unset|absent|present|nil|\[redacted\]|\(sensitive\)|\(hidden\)|\(private key\))$/.test(text);
}

/**
 * The PEM block of a private key, in text or in JSON, where its lines end with `\n`. Without an end it reaches to the next quote, which
 * no PEM block holds. Each match is consumed, so the search is linear.
 */
export const PRIVATE_KEY =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^"']*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|(?=["'])|$)/g;
/** A value of hiera-eyaml, also over several lines or with its line ends escaped. */
const EYAML = /ENC\[[A-Z0-9]{1,20},[A-Za-z0-9+/=\s\\]+\]/g;
const USER_INFO = /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@"']{0,200}:)([^\s/@"']{1,200})@/gi;

/** Hides what a text shows by itself: private keys, eyaml, passwords in URLs, and what is known to be a secret. */
export function hideInText(text: string, hiding: Hiding): string {
  let shown = text;
  if (shown.includes('PRIVATE KEY-----')) shown = shown.replace(PRIVATE_KEY, key => hiding.replace(key, 'private-key'));
  if (shown.includes('ENC[')) shown = shown.replace(EYAML, value => hiding.replace(value, 'eyaml'));
  if (shown.includes('://')) {
    shown = shown.replace(USER_INFO, (_, before: string, secret: string) => `${before}${hiding.replace(secret, 'named')}@`);
  }
  if (hiding.known !== null) shown = shown.replace(hiding.known, value => hiding.replace(value, 'known'));
  return shown;
}

/** Shorter texts are words that occur anywhere. */
const KNOWN_MIN = 8;
const KNOWN_MAX = 4096;
const KNOWN_COUNT = 1000;

/** One pattern for many texts, the longest first; `null` when none is fit: 8 to 4096 characters, 1000 of them. */
export function knownPattern(texts: Iterable<string>): RegExp | null {
  const fit = [...new Set(texts)].filter(text => text.length >= KNOWN_MIN && text.length <= KNOWN_MAX && !isPlaceholder(text));
  if (fit.length === 0) return null;
  fit.sort((a, b) => b.length - a.length);
  const escaped = fit.slice(0, KNOWN_COUNT).map(text => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'g');
}

/** Words of {@link SECRET_NAME}, of types, and of URLs with a password; `u` as the lower case of a Kelvin sign is a k. */
const MAY_HOLD = /pass|pw|secret|token|credential|psk|key|auth|salt|sensitive|:\/\//iu;

/** Whether {@link secretsIn} could find any in the data that this JSON is of: quickly told, and hardly any resource has one. */
export function mayHoldSecrets(json: string): boolean {
  return MAY_HOLD.test(json);
}

/** The texts that data holds as secrets by name or by type, those within lists and hashes one by one: what {@link knownPattern} takes. */
export function secretsIn(data: Data): string[] {
  const found: string[] = [];
  const replace = (secret: string, kind: SecretKind): string => {
    if (kind === 'sensitive' || kind === 'named') found.push(secret, ...leavesOf(secret));
    return secret;
  };
  hideInData(data, { replace, known: null });
  return found;
}

/** The texts in a secret that is a list or a hash: it comes as JSON. */
function leavesOf(secret: string): string[] {
  if (!/^[[{]/.test(secret)) return [];
  const leaves: string[] = [];
  try {
    JSON.parse(secret, (_, value: unknown) => {
      if (typeof value === 'string') leaves.push(value);
      return null;
    });
  } catch {
    // a text that only begins like JSON
  }
  return leaves;
}

/**
 * Data without its secrets; what holds none is given as it is, and not copied. It knows a resource with `sensitive_parameters`, Sensitive values, events and log lines of
 * secret properties, facts and extensions by their names, in the spelling of the wire and in that of `--json`.
 */
export function hideInData(data: Data, hiding: Hiding): Data {
  return walk(data, hiding, false);
}

/** @param secret a name above says that what is below is one */
function walk(data: Data, hiding: Hiding, secret: boolean): Data {
  if (data === null || typeof data === 'boolean') return data;
  if (typeof data === 'string') return secret ? replaced(data, hiding) : hideInText(data, hiding);
  if (typeof data === 'number' || typeof data === 'bigint') return secret ? keptNumber(data, hiding) : data;
  if (data instanceof Uint8Array) return bytes(data, hiding, secret);
  if (Array.isArray(data)) {
    const items = data.map(item => walk(item, hiding, secret));
    return items.some((item, i) => item !== data[i]) ? items : data;
  }
  if (data instanceof Tagged) {
    const shown = data.tag === SYMBOL ? data.value : walk(data.value, hiding, secret);
    if (shown === data.value) return data;
    return data.tag === FLOAT ? shown : new Tagged(data.tag, shown);
  }
  const ptype = textOf(ptypeOf(data));
  if (ptype === 'Sensitive') {
    const shown = hiding.replace(plain(pvalueOf(data)), 'sensitive');
    if (hiding.typed !== true) return shown;
    return like(data, [
      ['__ptype', 'Sensitive'],
      ['__pvalue', shown],
    ]);
  }
  if (ptype === 'Binary') return binary(data, hiding, secret);
  const special = specialOf(data);
  const shown = (name: string, value: Data): Data => {
    if (name === 'parameters' && special.sensitive.size > 0) return parameters(value, special.sensitive, hiding);
    if (isTypeKey(name) || (ptype === 'Deferred' && name === 'name')) return value;
    return walk(value, hiding, secret || special.fields.has(name) || isSecretName(name));
  };
  let isChanged = false;
  const entries = Array.from(entriesOf(data), ([key, value]): [Data, Data] => {
    const after = shown(textOf(key) ?? '', value);
    isChanged ||= after !== value;
    return [key, after];
  });
  return isChanged ? like(data, entries) : data;
}

const NONE: ReadonlySet<string> = new Set();

/** Fields that are secret because of what stands beside them. */
function specialOf(data: Data): { sensitive: ReadonlySet<string>; fields: ReadonlySet<string> } {
  const sensitive = has(data, 'sensitive_parameters') ? new Set(textsOf(field(data, 'sensitive_parameters'))) : NONE;
  if (!has(data, 'property') && !has(data, 'message') && !has(data, 'value')) return { sensitive, fields: NONE };
  const fields = new Set<string>();
  const named = (key: string): boolean => isSecretName(textOf(field(data, key))?.split(/[./]/).at(-1) ?? '');
  if (has(data, 'property') && named('property')) for (const name of CHANGED) fields.add(name);
  if (has(data, 'message') && has(data, 'source') && named('source')) fields.add('message');
  // a fact as a row, an X.509 extension or a CSR's attribute
  if (has(data, 'value') && (named('name') || (textOf(field(data, 'path')) ?? '').split('.').some(isSecretName))) {
    fields.add('value');
  }
  return { sensitive, fields };
}

const CHANGED = [
  'previous_value',
  'desired_value',
  'historical_value',
  'message',
  'previousValue',
  'desiredValue',
  'historicalValue',
];

function parameters(data: Data, sensitive: ReadonlySet<string>, hiding: Hiding): Data {
  if (!isMapping(data)) return walk(data, hiding, true);
  return like(
    data,
    [...entriesOf(data)].map(([key, value]): [Data, Data] => {
      const name = textOf(key) ?? '';
      if (sensitive.has(name) && plain(value) !== '(sensitive)') {
        const typed = hiding.typed === true && textOf(ptypeOf(value)) === 'Sensitive';
        return [key, typed ? walk(value, hiding, false) : hiding.replace(plain(value), 'sensitive')];
      }
      return [key, walk(value, hiding, isSecretName(name))];
    }),
  );
}

/** A mapping of the same kind; no key is special in either. */
function like(data: Data, entries: readonly (readonly [Data, Data])[]): Data {
  if (data instanceof Map) return new Map(entries);
  return Object.fromEntries(entries.map(([key, value]) => [textOf(key) ?? '', value]));
}

/** What a value is as a text: itself, or its JSON; of a Sensitive value what is in it. */
function plain(data: Data): string {
  const inner = textOf(ptypeOf(data)) === 'Sensitive' ? pvalueOf(data) : data;
  return textOf(inner) ?? dataJson(inner);
}

function replaced(text: string, hiding: Hiding): string {
  return isPlaceholder(text) ? text : hiding.replace(text, 'named');
}

function keptNumber(data: number | bigint, hiding: Hiding): Data {
  const text = String(data);
  return isPlaceholder(text) ? data : hiding.replace(text, 'named');
}

function bytes(data: Uint8Array, hiding: Hiding, secret: boolean): Data {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
  if (secret) return hiding.replace(text, 'named');
  return text.includes('PRIVATE KEY-----') ? hiding.replace(text, 'private-key') : data;
}

function binary(data: Data, hiding: Hiding, secret: boolean): Data {
  const value = textOf(pvalueOf(data)) ?? '';
  if (secret) return hiding.replace(value, 'named');
  return Buffer.from(value, 'base64').includes('PRIVATE KEY-----') ? hiding.replace(value, 'private-key') : data;
}

/** Credentials of a proxy or a person in front of the primary; X-Authentication is a token of Puppet Enterprise. */
const SECRET_FIELD = /^(?:proxy-)?authorization$|^x-authentication$|^cookie$|^set-cookie$/i;

/** Whether a header field holds credentials. */
export const isSecretField = remembering(name => SECRET_FIELD.test(name) || isSecretName(name.replaceAll('-', '_')));

/** Whether a header field holds a URL: what {@link hideInTarget} takes. */
export function isUrlField(name: string): boolean {
  return /^(?:content-location|location|referer)$/i.test(name);
}

export function hideInFields(fields: Fields, hiding: Hiding): Fields {
  return fields.map(([name, value]) => {
    if (isSecretField(name)) return [name, replaced(value, hiding)] as const;
    return [name, isUrlField(name) ? hideInTarget(value, hiding) : hideInText(value, hiding)] as const;
  });
}

/** A request target, or a URL, with the values of secret query fields and a password before the host hidden. */
export function hideInTarget(target: string, hiding: Hiding): string {
  const start = target.indexOf('?');
  const before = hideInEscaped(hideInText(start < 0 ? target : target.slice(0, start), hiding), hiding, encodeURI);
  if (start < 0) return before;
  const pairs = target.slice(start + 1).split('&');
  const shown = pairs.map(pair => {
    const [name, value] = halves(pair);
    if (isSecretName(percentDecode(name)) && !isPlaceholder(value)) {
      return `${name}=${encodeURIComponent(hiding.replace(value, 'named'))}`;
    }
    const hidden = hideInText(pair, hiding);
    const [named, rest] = halves(hidden);
    return `${hidden.includes('=') ? `${named}=` : ''}${hideInEscaped(rest, hiding, encodeURIComponent)}`;
  });
  return `${before}?${shown.join('&')}`;
}

function halves(pair: string): [name: string, value: string] {
  const equals = pair.indexOf('=');
  return [equals < 0 ? '' : pair.slice(0, equals), pair.slice(equals + 1)];
}

/** Of part of a target: what is known to be a secret may be percent-encoded there. */
function hideInEscaped(text: string, hiding: Hiding, encode: (plain: string) => string): string {
  if (hiding.known === null || !/[%+]/.test(text)) return text;
  for (const spaced of [text, text.replaceAll('+', ' ')]) {
    const plain = percentDecode(spaced);
    const hidden = plain.replace(hiding.known, value => hiding.replace(value, 'known'));
    if (hidden !== plain) return encode(hidden.toWellFormed());
  }
  return text;
}
