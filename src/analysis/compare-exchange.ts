import type { Decoded } from '../decode/decode.ts';
import { mimeOf } from '../decode/format.ts';
import type { Decoding } from '../decode/limits.ts';
import { keyless } from '../decode/private-keys.ts';
import type { Rich } from '../decode/rich-data.ts';
import { isSecretField, isUrlField } from '../decode/secrets.ts';
import type { Fields } from '../model.ts';
import { compareCatalogs } from './compare-catalog.ts';
import type { BodyData, ExchangeData } from './compare-data.ts';
import { createDecoder, type Decoder, plainBytes, sha256, valueIn } from './compare-decoded.ts';
import { compareFacts, isVolatileFact, reasonsAmong } from './compare-facts.ts';
import type { IgnoreRule } from './compare-ignore.ts';
import { routed } from './compare-match.ts';
import { compareReports, reportDifferences } from './compare-report.ts';
import type { ExchangeComparison, ExchangeRef, FieldChange, Part, Subject, ValueChange } from './compare-result.ts';
import { type Secrecy, secrecyOf, secretsOf } from './compare-secrets.ts';
import {
  certificatesValue,
  crlsValue,
  csrValue,
  metadataValue,
  nodeValue,
  otherValue,
  refusalValue,
  requestValue,
} from './compare-subjects.ts';
import { contentDifference } from './compare-text.ts';
import { allowance, compareValues, type ValueOptions } from './compare-values.ts';

export interface CompareOptions {
  /** What is not to be told of catalogs. */
  ignore?: readonly IgnoreRule[];
  /** Compares the tags of resources, too. */
  tags?: boolean;
  /** Tells also facts that are different every time. */
  allFacts?: boolean;
  /** Sensitive values as they are; private keys never. */
  reveal?: boolean;
}

/** What a comparison works with. */
export interface Tools {
  options: CompareOptions;
  decode: Decoder;
  secrecy: Secrecy;
}

/**
 * Compares two exchanges that ask for the same: how they ended, the header fields that matter, and what their bodies say. Never throws,
 * whatever is in the bodies.
 */
export function compareExchanges(a: ExchangeData, b: ExchangeData, options: CompareOptions = {}): ExchangeComparison {
  const decode = createDecoder();
  const catalogs = [a, b].map(decode).map(decoded => (decoded.phase === 'catalog' ? valueIn(decoded.response) : null));
  const tools: Tools = { options, decode, secrecy: secrecyOf(options.reveal === true, secretsOf(catalogs)) };
  return comparisonOf(a, b, tools, compareBodies(a, b, tools));
}

/** @param parts what is to be told of the bodies */
export function comparisonOf(a: ExchangeData, b: ExchangeData, { secrecy }: Tools, parts: readonly Part[]): ExchangeComparison {
  const outcome = compareOutcomes(a, b, secrecy);
  const fields = compareFields(a, b, secrecy);
  const same = outcome.length === 0 && fields.length === 0 && parts.length === 0;
  return { a: exchangeRef(a, secrecy), b: exchangeRef(b, secrecy), same, outcome, fields, parts };
}

export function exchangeRef(exchange: ExchangeData, secrecy: Secrecy): ExchangeRef {
  const { id, method, target, status, outcome } = exchange;
  return { id, phase: routed(exchange).route.phase, method, target: secrecy.target(target), status, outcome };
}

function compareOutcomes(a: ExchangeData, b: ExchangeData, secrecy: Secrecy): ValueChange[] {
  const value = ({ status, outcome, failure, answeredBy, fault }: ExchangeData): Rich =>
    new Map<string, Rich>([
      ['status', status],
      ['outcome', outcome],
      ['failure', failure],
      ['answered_by', answeredBy],
      ['fault', fault],
    ]);
  return compareValues(value(a), value(b), { secrecy, allowance: allowance() });
}

/** Fields of the message's framing, of its moment, of the way it took; the lengths of bodies follow from the bodies. */
const FRAMING: ReadonlySet<string> = new Set([
  ...[
    'age',
    'connection',
    'content-encoding',
    'content-length',
    'date',
    'etag',
    'expect',
    'expires',
    'host',
    'if-modified-since',
  ],
  ...['if-none-match', 'keep-alive', 'last-modified', 'proxy-connection', 'te', 'traceparent', 'trailer', 'transfer-encoding'],
  ...['upgrade', 'x-request-id'],
]);

/** Header fields by name, whatever case they came in; repeated ones in their order. */
function compareFields(a: ExchangeData, b: ExchangeData, secrecy: Secrecy): FieldChange[] {
  return (['request', 'response'] as const).flatMap(side => {
    // an answer that was not made has no fields, and an error has those of an error: the status tells that
    if (side === 'response' && isRefused(a) !== isRefused(b)) return [];
    const [ones, others] = side === 'request' ? [a.requestFields, b.requestFields] : [a.responseFields, b.responseFields];
    const [before, after] = [fieldValues(ones), fieldValues(others)];
    return [...new Set([...before.keys(), ...after.keys()])].flatMap(name => {
      const [one, other] = [before.get(name) ?? null, after.get(name) ?? null];
      if (one === other) return [];
      const shown = (value: string | null): string | null =>
        value === null
          ? null
          : isSecretField(name)
            ? '(hidden)'
            : secrecy[isUrlField(name) ? 'target' : 'text'](value).slice(0, 4096);
      return [{ side, name, before: shown(one), after: shown(other) }];
    });
  });
}

function isRefused({ status }: ExchangeData): boolean | null {
  return status === null ? null : status >= 400;
}

function fieldValues(fields: Fields): Map<string, string> {
  const values = new Map<string, string>();
  for (const [field, text] of fields) {
    const name = field.toLowerCase();
    if (FRAMING.has(name)) continue;
    // `json;charset=utf-8` and `json; charset=utf-8` are the same type
    const value = name === 'content-type' ? (mimeOf(text) ?? '') : text;
    values.set(name, values.has(name) ? `${values.get(name)}, ${value}` : value);
  }
  return values;
}

/** Everything in which the bodies of two exchanges differ. */
export function compareBodies(a: ExchangeData, b: ExchangeData, tools: Tools): Part[] {
  const sides = (['request', 'response'] as const).filter(side => !sameBytes(a, b, side));
  if (sides.length === 0) return [];
  const context: Context = { ...tools, a, b, one: tools.decode(a), other: tools.decode(b) };
  return sides.flatMap(side => (side === 'request' ? requestParts(context) : responseParts(context)));
}

interface Context extends Tools {
  a: ExchangeData;
  b: ExchangeData;
  one: Decoded;
  other: Decoded;
}

function sameBytes(a: ExchangeData, b: ExchangeData, side: 'request' | 'response'): boolean {
  const [one, other] = [a[side], b[side]];
  if (one === null || other === null) return empty(one) && empty(other);
  return one.sha256 === other.sha256 && one.complete && other.complete && a.status === b.status;
}

function empty(body: BodyData | null): boolean {
  return body === null || body.sizeBytes === 0;
}

function requestParts(context: Context): Part[] {
  const { one, other, options, secrecy } = context;
  if (one.phase === 'catalog' && other.phase === 'catalog') {
    const [before, after] = [valueIn(one.request), valueIn(other.request)];
    if (before === null || after === null) return raw(context, 'request', one.request, other.request);
    const parts = values(context, 'request', 'catalog request', requestValue(before), requestValue(after));
    const [ones, others] = [before.facts && valueIn(before.facts), after.facts && valueIn(after.facts)];
    if (ones === null || others === null) {
      const none = before.facts === null && after.facts === null;
      return none ? parts : [...parts, ...raw(context, 'request', before.facts, after.facts)];
    }
    const { told } = compareFacts(ones, others, options.allFacts === true, secrecy);
    return told.changes.length === 0 ? parts : [...parts, { type: 'facts', side: 'request', facts: told }];
  }
  if (one.phase === 'report' && other.phase === 'report') {
    const [before, after] = [valueIn(one.request), valueIn(other.request)];
    if (before === null || after === null) return raw(context, 'request', one.request, other.request);
    const report = compareReports(before, after, secrecy);
    return reportDifferences(report) === 0 ? [] : [{ type: 'report', side: 'request', report }];
  }
  if (one.phase === 'csr' && other.phase === 'csr') {
    return both(context, 'request', 'csr', one.request, other.request, csrValue);
  }
  if (one.phase === 'other' && other.phase === 'other') {
    return both(context, 'request', 'body', one.request, other.request, otherValue);
  }
  return raw(context, 'request', one.requestBody, other.requestBody);
}

function responseParts(context: Context): Part[] {
  const { a, b, one, other, options, secrecy } = context;
  if (one.refusal !== null || other.refusal !== null) {
    const value = ({ refusal }: Decoded): Rich => (refusal === null ? new Map() : refusalValue(refusal));
    return values(context, 'response', 'refusal', value(one), value(other));
  }
  if (one.phase === 'catalog' && other.phase === 'catalog') {
    const [before, after] = [valueIn(one.response), valueIn(other.response)];
    if (before === null || after === null) return raw(context, 'response', one.response, other.response);
    const facts = [one, other].map(({ request }) => valueIn(valueIn(request)?.facts ?? null));
    const changed = facts[0] && facts[1] ? compareFacts(facts[0], facts[1], true, secrecy).all : [];
    const catalog = compareCatalogs(before, after, {
      ignore: options.ignore ?? [],
      tags: options.tags === true,
      secrecy,
      reasons: reasonsAmong(changed),
    });
    return catalog.resources.length + catalog.edges.length === 0 ? [] : [{ type: 'catalog', side: 'response', catalog }];
  }
  if (one.phase === 'node' && other.phase === 'node') {
    const [before, after] = [valueIn(one.response), valueIn(other.response)];
    if (before === null || after === null) return raw(context, 'response', one.response, other.response);
    return values(context, 'response', 'node', nodeValue(before), nodeValue(after), skipVolatile(options));
  }
  if ((one.phase === 'file' || one.phase === 'pluginsync') && (other.phase === 'file' || other.phase === 'pluginsync')) {
    const [before, after] = [valueIn(one.response), valueIn(other.response)];
    if (before?.type === 'metadata' && after?.type === 'metadata') {
      return values(context, 'response', 'file metadata', metadataValue(before.entries), metadataValue(after.entries));
    }
    return raw(context, 'response', one.response, other.response);
  }
  if ((one.phase === 'ca' || one.phase === 'certificate') && (other.phase === 'ca' || other.phase === 'certificate')) {
    return both(context, 'response', 'certificates', one.response, other.response, certificatesValue);
  }
  if (one.phase === 'crl' && other.phase === 'crl') {
    return both(context, 'response', 'crls', one.response, other.response, crlsValue);
  }
  if (one.phase === 'report' && other.phase === 'report' && a.status === b.status) {
    return both(context, 'response', 'answer', one.response, other.response, processors => processors);
  }
  if (one.phase === 'other' && other.phase === 'other') {
    return both(context, 'response', 'body', one.response, other.response, otherValue);
  }
  return raw(context, 'response', one.responseBody, other.responseBody);
}

/** Facts stand among the parameters of a node; those that change by themselves are no news there either. */
export function skipVolatile({ allFacts }: CompareOptions): ValueOptions['skip'] {
  return allFacts === true ? undefined : path => path[0] === 'parameters' && isVolatileFact(path.slice(1));
}

type Side = 'request' | 'response';

function values({ secrecy }: Context, side: Side, of: Subject, before: Rich, after: Rich, skip?: ValueOptions['skip']): Part[] {
  const left = allowance();
  const changes = compareValues(before, after, { secrecy, allowance: left, ...(skip !== undefined && { skip }) });
  return changes.length === 0 ? [] : [{ type: 'values', side, of, changes, omitted: left.omitted }];
}

/** Two decoded values, or else their bytes. */
function both<T>(
  context: Context,
  side: Side,
  of: Subject,
  before: Decoding<T> | null,
  after: Decoding<T> | null,
  valueFrom: (value: T) => Rich,
): Part[] {
  const [one, other] = [valueIn(before), valueIn(after)];
  if (one === null || other === null) return raw(context, side, before, after);
  const [first, second] = [valueFrom(one), valueFrom(other)];
  // of a binary body there is no value
  return first === null && second === null ? raw(context, side, before, after) : values(context, side, of, first, second);
}

/** The bytes themselves, where nothing is known of what they say or one side is not there. */
function raw({ a, b, secrecy }: Context, side: Side, before: Decoding<unknown> | null, after: Decoding<unknown> | null): Part[] {
  const content = (exchange: ExchangeData): { bytes: Uint8Array | null; body: BodyData | null } => ({
    bytes: plainBytes(exchange[side], side === 'request' ? exchange.requestFields : exchange.responseFields),
    body: exchange[side],
  });
  const [one, other] = [content(a), content(b)];
  const none = new Uint8Array(0);
  const ones = empty(one.body) ? none : one.bytes;
  const others = empty(other.body) ? none : other.bytes;
  if (ones !== null && others !== null && Buffer.from(ones).equals(others)) return [];
  if (failed(before) || failed(after)) return undecoded(side, before, after);
  const id = (bytes: Uint8Array | null, body: BodyData | null) => ({
    checksum: bytes === null ? (body === null ? null : `{sha256}${body.sha256}`) : `{sha256}${sha256(bytes)}`,
    bytes: bytes?.length ?? body?.sizeBytes ?? null,
  });
  const difference = contentDifference(
    { id: id(ones, one.body), bytes: ones },
    { id: id(others, other.body), bytes: others },
    secrecy,
  );
  return [{ type: 'content', side, content: difference }];
}

function failed(part: Decoding<unknown> | null): boolean {
  return part !== null && 'error' in part;
}

function undecoded(side: Side, before: Decoding<unknown> | null, after: Decoding<unknown> | null): Part[] {
  const why = (part: Decoding<unknown> | null): string | null => (part !== null && 'error' in part ? keyless(part.error) : null);
  return [{ type: 'undecoded', side, before: why(before), after: why(after) }];
}
