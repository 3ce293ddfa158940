import { type Data, entriesOf, isMapping, isTypeKey, ptypeOf, pvalueOf, SYMBOL, Tagged, textOf } from './data.ts';
import type { Pseudonyms } from './pseudonyms.ts';
import { FACT_NAMES } from './vocabulary.ts';

/** What a part of a body holds. */
type Part =
  /** Puppet's own structure: its numbers are sizes, lines and times. */
  | 'structure'
  /** Parameters of a resource: their numbers are a site's. */
  | 'parameters'
  /** Nothing but facts: no value stays. */
  | 'facts';

/**
 * A copy of parsed data with pseudonyms in it. Keys of Puppet's structure stay, for decoders read by them.
 *
 * @param phase of the exchange: what a node object calls parameters are facts
 */
export function shareData(data: Data, phase: string, names: Pseudonyms): Data {
  return walk(data, 'structure', phase, names);
}

/** Facts as an agent sends them: `{name, values, timestamp, expiration}`. */
export function shareFacts(data: Data, names: Pseudonyms): Data {
  return walk(data, 'structure', 'facts', names);
}

function walk(data: Data, part: Part, phase: string, names: Pseudonyms): Data {
  const full = names.level === 'full';
  if (data === null || typeof data === 'boolean') return data;
  if (typeof data === 'string') return part === 'facts' && full ? names.strict(data) : names.text(data);
  if (typeof data === 'number' || typeof data === 'bigint') return part === 'structure' || !full ? data : names.number(data);
  if (data instanceof Uint8Array) return full ? names.filler(data, false) : data;
  if (Array.isArray(data)) return data.map(item => walk(item, part, phase, names));
  if (data instanceof Tagged) return data.tag === SYMBOL ? data : new Tagged(data.tag, walk(data.value, part, phase, names));
  if (textOf(ptypeOf(data)) === 'Binary' && full) return binary(data, names);
  const entries = [...entriesOf(data)].map(([key, value]): [Data, Data] => {
    const name = textOf(key);
    if (name === null) return [key, walk(value, part, phase, names)];
    if (isTypeKey(name) && part !== 'facts') return [key, value];
    return [keyOf(name, part, names), walk(value, partOf(name, value, part, phase), phase, names)];
  });
  // an object would order keys that are numbers, and know `__proto__`
  return new Map(entries);
}

/** Bytes as Puppet's rich data writes them; the text is base64 still. */
function binary(data: Data, names: Pseudonyms): Data {
  const bytes = Buffer.from(textOf(pvalueOf(data)) ?? '', 'base64');
  return new Map<Data, Data>([
    ['__ptype', 'Binary'],
    ['__pvalue', Buffer.from(names.filler(bytes, false)).toString('base64')],
  ]);
}

function keyOf(name: string, part: Part, names: Pseudonyms): string {
  if (part === 'facts') return FACT_NAMES.has(name) ? name : names.text(name);
  return part === 'structure' && /^[a-z_]{1,40}$/.test(name) && KEYS.has(name) ? name : names.text(name);
}

function partOf(name: string, value: Data, part: Part, phase: string): Part {
  if (part !== 'structure') return part;
  // in a catalog request, and by themselves: `puppet facts upload`
  if (name === 'values' && isMapping(value)) return 'facts';
  if (phase === 'node' && (name === 'parameters' || name === 'facts')) return 'facts';
  return name === 'parameters' || name === 'class_parameters' || name === 'classes' ? 'parameters' : 'structure';
}

/** Keys with words that are not of {@link VOCABULARY}: those of catalogs, metadata, nodes and reports (`api/schemas` of Puppet). */
const KEYS: ReadonlySet<string> = new Set(
  `catalog_uuid catalog_format code_id document_type data metadata api_version destination relative_path content_uri recursive_metadata
  sensitive_parameters containment_path resource_type resource_statuses evaluation_time provider_used failed_to_restart out_of_sync
  out_of_sync_count change_count previous_value desired_value historical_value property corrective_change configuration_version
  report_format puppet_version transaction_uuid transaction_completed cached_catalog_status noop_pending server_used master_used
  initial_environment initial_server logs metrics facts trusted_facts server_facts persistence issue_kind stacktrace message
  prefer_requested_transaction_uuid producer_timestamp expiration timestamp check_environment static_catalog checksum_types job_uuid
  corrective_change_count audited redacted invalidate_refreshes kind evaluated`
    .split(/\s+/)
    .filter(name => name !== ''),
);
