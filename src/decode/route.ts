import type { Phase, Route } from '../model.ts';

/** A query's or a form's pairs in the order received, repeats kept; both halves decoded. */
export type Pairs = ReadonlyArray<readonly [name: string, value: string]>;

/** Agents ask for the same things in the same words: so many routes are remembered, of targets up to this length. */
const REMEMBERED = 1024;
const REMEMBERED_CHARACTERS = 512;
const routes = new Map<string, Route>();

/** Mounts that pluginsync reads (`lib/puppet/configurer/plugin_handler.rb`). */
const PLUGIN_MOUNTS: ReadonlySet<string> = new Set(['plugins', 'pluginfacts', 'locales']);

/** One well-formed escaped UTF-8 character; the alternatives start with different digits, so matching is linear. */
const ESCAPED = /%[0-7][0-9a-f]|%[cd][0-9a-f]%[89ab][0-9a-f]|%e[0-9a-f](?:%[89ab][0-9a-f]){2}|%f[0-7](?:%[89ab][0-9a-f]){3}/gi;

/** Percent-decodes what decodes; an escape that is cut, no hex or no UTF-8 stays as it is. `+` stays `+` (RFC 3986). */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(ESCAPED, escaped => {
    try {
      return decodeURIComponent(escaped);
    } catch {
      return escaped; // overlong forms and surrogates match the pattern and are no UTF-8
    }
  });
}

/** Splits `a=1&b=2` as application/x-www-form-urlencoded (`+` is a space there). A pair without `=` has an empty value. */
export function formPairs(text: string): Pairs {
  return text
    .split('&')
    .filter(pair => pair !== '')
    .map(pair => {
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      const value = equals < 0 ? '' : pair.slice(equals + 1);
      return [percentDecode(name.replaceAll('+', ' ')), percentDecode(value.replaceAll('+', ' '))] as const;
    });
}

/** The path of a target as received: no query, no fragment, and of an absolute-form target no scheme and authority. */
export function path(target: string): string {
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target);
  const rest = origin === null ? target : target.slice(origin[0].length);
  const end = rest.search(/[?#]/);
  return end < 0 ? rest : rest.slice(0, end);
}

/** The pairs of a target's query. */
export function query(target: string): Pairs {
  const start = target.indexOf('?');
  if (start < 0) return [];
  const fragment = target.indexOf('#', start);
  return formPairs(target.slice(start + 1, fragment < 0 ? undefined : fragment));
}

/** The first value of a name, `null` when there is none or it is empty. */
export function first(pairs: Pairs, name: string): string | null {
  return pairs.find(pair => pair[0] === name)?.[1] || null;
}

/** Every value of a name, in order. */
export function all(pairs: Pairs, name: string): string[] {
  return pairs.filter(pair => pair[0] === name).map(pair => pair[1]);
}

/**
 * Names the phase of a run that a request belongs to, from its method and target alone. Total, and linear in the target.
 * The target is never normalised: keys hold `//` (file bucket) and raw `+` and `&` (file names). Routes are those of Puppet 4 to 8:
 * `/puppet/v3/:indirection/:key`, `/puppet-ca/v1/:indirection/:key` and `/puppet/v4/catalog`; all else is `other`.
 */
export function routeOf(method: string, target: string): Route {
  const asked = `${method} ${target}`;
  const known = routes.get(asked);
  if (known !== undefined) return known;
  const route = routed(method, target);
  if (routes.size >= REMEMBERED) routes.clear();
  if (asked.length <= REMEMBERED_CHARACTERS) routes.set(asked, route);
  return route;
}

function routed(method: string, target: string): Route {
  const match = /^\/(puppet\/v[34]|puppet-ca\/v1)\/([^/]+)(?:\/(.*))?$/s.exec(path(target));
  const pairs = query(target);
  const environment = first(pairs, 'environment');
  if (match === null) return { phase: 'other', indirection: null, key: null, environment, transactionUuid: null };
  const indirection = percentDecode(match[2]!);
  const key = percentDecode(match[3] ?? '') || null;
  const phase = phaseOf(method, match[1]!, indirection, key);
  const transactionUuid = phase === 'node' ? first(pairs, 'transaction_uuid') : null;
  return { phase, indirection, key, environment, transactionUuid };
}

function phaseOf(method: string, prefix: string, indirection: string, key: string | null): Phase {
  switch (prefix) {
    case 'puppet-ca/v1':
      return authorityPhase(method, indirection, key);
    case 'puppet/v3':
      return runPhase(indirection, key);
    default:
      return indirection === 'catalog' ? 'catalog' : 'other';
  }
}

function authorityPhase(method: string, indirection: string, key: string | null): Phase {
  // No name that a CA knows holds a slash; a key that does may be dot segments on the way to another path.
  if (key?.includes('/')) return 'other';
  const read = method === 'GET' || method === 'HEAD';
  switch (indirection) {
    case 'certificate':
      if (key === null) return 'other';
      if (key !== 'ca') return 'certificate';
      return read ? 'ca' : 'other';
    case 'certificate_renewal':
      return 'certificate';
    case 'certificate_revocation_list':
      return read ? 'crl' : 'other';
    case 'certificate_request':
      return 'csr';
    default:
      return 'other';
  }
}

function runPhase(indirection: string, key: string | null): Phase {
  switch (indirection) {
    case 'file_metadata':
    case 'file_metadatas':
    case 'file_content':
      return PLUGIN_MOUNTS.has(key?.split('/', 1)[0] ?? '') ? 'pluginsync' : 'file';
    case 'static_file_content':
      return 'file';
    case 'file_bucket_file':
      return 'filebucket';
    case 'node':
    case 'catalog':
    case 'report':
      return indirection;
    default:
      return 'other';
  }
}
