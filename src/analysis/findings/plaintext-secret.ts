import { counted } from '../words.ts';
import type { NamedValue } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Words that names of parameters with secrets hold; what is looked for in the capture. */
const WORDS = [
  'password',
  'passwd',
  'passphrase',
  'secret',
  'api_key',
  'apikey',
  'auth_token',
  'access_token',
  'private_key',
] as const;

/** The whole name, or its last word: `password_file`, `password_max_age` and `manage_password` hold none. */
const NAME =
  /^(?!manage_|validate_|show_|use_|enable_|no_|require_)(?:[a-z0-9_]*_)?(?:password|passwd|passphrase|secret|secret_key|api_?key|auth_token|access_token|private_key)$/;

/** Values that are no secret in clear: hashes of passwords (crypt, LDAP, PostgreSQL, MySQL), locked accounts, places, eyaml, masks. */
const HARMLESS = [
  /^$/,
  /^\$[0-9a-z]{1,12}\$/i,
  /^\{[A-Z0-9-]{2,20}\}/,
  /^md5[0-9a-f]{32}$/,
  /^SCRAM-SHA-/,
  /^\*[0-9A-F]{40}$/,
  /^[!*x]{1,2}$/,
  /^!/,
  /^ENC\[/,
  /^(?:\/|[A-Za-z]:[\\/]|puppet:|file:|vault:)/,
  /^(?:undef|none|null|true|false|yes|no|present|absent|unset|default)$/i,
  /^\[?\(?(?:redacted|sensitive|sensitive \[value redacted\])\)?\]?$/i,
  /^\$\{?\w+\}?$/,
];

/** What `content` says in place of a private key, in the capture's tables. */
const KEY = '(private key)';

export const plaintextSecret: Rule = {
  id: 'plaintext-secret',
  severities: ['warning'],
  title: 'a secret is in the catalog in clear, and not marked Sensitive',
  meaning:
    'Its value is in the catalog cache of the node, in PuppetDB, and, when it changes, in reports and logs. Sensitive keeps it out of the latter; only encryption keeps it out of the catalog. The value is never shown here.',
  fix: 'Sensitive(…) or a Sensitive parameter type in the manifest, lookup_options convert_to: Sensitive in Hiera; or node_encrypt, or Deferred, so that the catalog has no clear text at all',
  threshold:
    'a parameter named password, secret, passphrase, api_key, auth_token, access_token or private_key (or _password, …) with a text that is neither Sensitive nor a hash, a path, eyaml or a mask; or a private key in a parameter that is not Sensitive',
  page: page('lang_data_sensitive.html'),
  judge(run) {
    const found = run.namedValues(WORDS).filter(isSecret);
    const [first] = found;
    if (first === undefined) return [];
    const place = first.file === null ? '' : ` (${first.file}${first.line === null ? '' : `:${first.line}`})`;
    const rows = found.map(({ exchange, n }) => ({ kind: 'resource', exchange, n }));
    return [
      {
        severity: 'warning',
        summary: `${counted(found.length, 'secret')} in clear in the catalog: ${quoted(`${first.resource} ${first.parameter}${place}`)}`,
        evidence: evidence({
          exchanges: run.phase('catalog').flatMap(one => (rows.some(row => row.exchange === one.id) ? [one.id] : [])),
          rows,
          figures: { secrets: found.length, resource: first.resource, parameter: first.parameter },
        }),
      },
    ];
  },
};

/** Whether the value of a parameter is a secret in clear, by the parameter's name and the shape of the value. */
export function isSecret({ parameter, value }: Pick<NamedValue, 'parameter' | 'value'>): boolean {
  if (typeof value !== 'string') return false;
  if (value.includes(KEY)) return true;
  // of a hash within a parameter the last name tells: config.database.password
  if (!NAME.test((parameter.split('.').at(-1) ?? '').toLowerCase())) return false;
  return !HARMLESS.some(shape => shape.test(value));
}
