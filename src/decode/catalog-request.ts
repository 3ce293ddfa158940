import { booleanOf, type Data, field, textOf } from './data.ts';
import { decodeContent } from './encoding.ts';
import { type Facts, factsOf } from './facts.ts';
import { parseForm, percentBytes } from './form.ts';
import { type Body, formatOf, isStructured, mimeOf, parseBody } from './format.ts';
import { attempt, type Decoding, type Limits, Malformed } from './limits.ts';
import { first, type Pairs } from './route.ts';

/** What an agent asks a catalog with (`lib/puppet/http/service/compiler.rb`, post_catalog). */
export interface CatalogRequest {
  /** The one asked for; the answer may be of another. */
  environment: string | null;
  configuredEnvironment: string | null;
  checkEnvironment: boolean | null;
  transactionUuid: string | null;
  /** Set by an orchestrator; empty otherwise. */
  jobUuid: string | null;
  staticCatalog: boolean | null;
  /** What the agent can check, best first: `sha256`, `sha384`, … */
  checksumTypes: string[];
  /** `application/json`, or the bare word `pson`, `yaml` or `b64_zlib_yaml`. */
  factsFormat: string | null;
  /** `null` when none were sent. */
  facts: Decoding<Facts> | null;
  /** Every field in its order, the facts left out. */
  fields: Pairs;
}

/**
 * Reads the form of a catalog request; a GET of Puppet 2 and 3 has the same pairs in its query, `/puppet/v4/catalog` posts JSON.
 *
 * @throws Malformed
 */
export function catalogRequest(body: Body | null, queryPairs: Pairs, limits: Limits): CatalogRequest {
  if (body !== null && isStructured(body.format)) return fromJson(parseBody(body, limits, true), body.bytes.length, limits);
  const form = body === null ? [] : parseForm(body.bytes);
  const pairs = form.length === 0 ? queryPairs : form;
  if (form.length === 0 && first(pairs, 'facts') === null && body !== null) throw new Malformed('a form without fields');
  return fromPairs(pairs, limits);
}

function fromPairs(pairs: Pairs, limits: Limits): CatalogRequest {
  const get = (name: string): string | null => first(pairs, name);
  const facts = get('facts');
  const factsFormat = get('facts_format');
  return {
    environment: get('environment'),
    configuredEnvironment: get('configured_environment'),
    checkEnvironment: booleanOf(get('check_environment')),
    transactionUuid: get('transaction_uuid'),
    jobUuid: get('job_uuid'),
    staticCatalog: booleanOf(get('static_catalog')),
    checksumTypes: get('checksum_type')?.split('.') ?? [],
    factsFormat,
    facts: facts === null ? null : attempt(() => formFacts(facts, factsFormat, limits)),
    fields: pairs.filter(([name]) => name !== 'facts'),
  };
}

/** Facts are percent-encoded before they are put into the form, which encodes them once more. @throws Malformed */
function formFacts(encoded: string, factsFormat: string | null, limits: Limits): Facts {
  // What Puppet compares with payload_soft_limit is the text before the form's own encoding (configurer.rb, `facts_hash[:facts].bytesize`).
  const payloadBytes = Buffer.byteLength(encoded);
  let bytes = percentBytes(encoded);
  let mime = mimeOf(factsFormat);
  if (mime === 'b64_zlib_yaml') {
    bytes = decodeContent(Buffer.from(Buffer.from(bytes).toString('latin1'), 'base64'), ['deflate'], limits.bodyBytes).bytes;
    mime = 'yaml';
  }
  const body: Body = { format: formatOf(mime, bytes), mime, codings: [], bytes, truncated: null };
  return factsOf(parseBody(body, limits, true), payloadBytes, limits);
}

/** `post_catalog4`: facts plain, names of its own. */
function fromJson(data: Data, payloadBytes: number, limits: Limits): CatalogRequest {
  const text = (key: string): string | null => textOf(field(data, key));
  const facts = field(data, 'facts');
  return {
    environment: text('environment'),
    configuredEnvironment: text('configured_environment'),
    checkEnvironment: null,
    transactionUuid: text('transaction_uuid'),
    jobUuid: text('job_id'),
    staticCatalog: null,
    checksumTypes: [],
    factsFormat: null,
    facts: facts === null ? null : attempt(() => factsOf(facts, payloadBytes, limits)),
    fields: ['certname', 'environment', 'configured_environment', 'transaction_uuid', 'job_id'].flatMap(name => {
      const value = text(name);
      return value === null ? [] : [[name, value] as const];
    }),
  };
}
