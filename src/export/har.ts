import type { ConnectionRow, ExchangeDetail, RunRow } from '../capture/store.ts';
import { fieldValue } from '../decode/encoding.ts';
import { isPrintable } from '../decode/format.ts';
import { formPairs, query } from '../decode/route.ts';
import { type Hiding, hideInFields, hideInTarget } from '../decode/secrets.ts';
import type { Fields, Side } from '../model.ts';
import { type Content, contentOf } from './content.ts';
import { startedDateTime, timingsOf, totalOf } from './har-timings.ts';
import { hidingOr, plainHiding, type Selection } from './selection.ts';

/*
 * HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/). An entry is an exchange as the agent saw it, a page is a run. Fields of
 * ours begin with an underscore, as the specification wants it: with them `stringtap import` makes the same runs and connections again.
 */

/** A piece of a base64 text: a multiple of 3 bytes makes no padding in the middle. */
const BASE64_STEP = 3 << 16;

/** Text, and what passes through in pieces because it is large. */
type Parts = Generator<string | AsyncIterable<string>>;

/** HAR text in pieces. One body of at most 8 MiB is held at a time, larger ones pass through. */
export async function* harText(selection: Selection, version: string): AsyncGenerator<string> {
  const { runs, recordings } = selection;
  const hiding = plainHiding(selection);
  yield `{"log":{"version":"1.2","creator":${JSON.stringify({ name: 'stringtap', version })},`;
  yield `"_stringtap":{"recordings":${JSON.stringify([...recordings.values()])},"connections":[`;
  yield* joined(selection.connections(), connectionJson, ',');
  yield `],"secrets":"${selection.reveal ? 'revealed' : 'hidden'}"},"pages":[`;
  yield* joined(runs, page, ',\n');
  yield '],\n"entries":[';
  let separator = '\n';
  for (const exchange of selection.exchanges()) {
    // A step of an asynchronous generator costs as much as a field does, and an entry has dozens of parts.
    let text = separator;
    for (const part of entry(selection, exchange, hiding)) {
      if (typeof part === 'string') text += part;
      if (typeof part === 'string' && text.length < BASE64_STEP) continue;
      yield text;
      text = '';
      if (typeof part !== 'string') yield* part;
    }
    yield text;
    separator = ',\n';
  }
  yield '\n]}}\n';
}

function* joined<Row>(rows: Iterable<Row>, json: (row: Row) => object, separator: string): Generator<string> {
  let before = '';
  for (const row of rows) {
    yield `${before}${JSON.stringify(json(row))}`;
    before = separator;
  }
}

function page(run: RunRow): object {
  const took = run.endedAt === null ? -1 : Date.parse(run.endedAt) - Date.parse(run.startedAt);
  return {
    startedDateTime: run.startedAt,
    id: `r${run.id}`,
    title: `${run.certname}, run r${run.id}`,
    pageTimings: { onContentLoad: -1, onLoad: took },
    _certname: run.certname,
    _transactionUuid: run.transactionUuid,
    _environment: run.environment,
    _puppetVersion: run.puppetVersion,
    _end: run.end,
  };
}

function connectionJson(row: ConnectionRow): object {
  return { ...row, id: `c${row.id}` };
}

function* entry(selection: Selection, exchange: ExchangeDetail, outside: Hiding): Parts {
  const hiding = exchange.run === null ? outside : hidingOr(selection, exchange.run);
  const connection = selection.connection(exchange.agentConnection);
  const timings = timingsOf(exchange, connection);
  const head = {
    ...(exchange.run === null ? {} : { pageref: `r${exchange.run}` }),
    startedDateTime: startedDateTime(exchange, timings),
    time: totalOf(timings),
  };
  yield `${JSON.stringify(head).slice(0, -1)},"request":`;
  yield* request(selection, exchange, hiding);
  yield ',"response":';
  yield* response(selection, exchange, hiding);
  const rest = {
    cache: {},
    timings,
    ...addressOf(selection, exchange),
    connection: String(exchange.agentConnection),
    ...extras(exchange, hiding),
  };
  yield `,${JSON.stringify(rest).slice(1)}`;
}

/** The address that answered: the primary's, where one was asked. HAR allows only an address there. */
function addressOf(selection: Selection, exchange: ExchangeDetail): object {
  const upstream = exchange.primaryConnection === null ? undefined : selection.connection(exchange.primaryConnection);
  const address = /^\[?([0-9a-f.:]+?)\]?:\d+$/i.exec(upstream?.peer ?? '')?.[1];
  return address === undefined ? {} : { serverIPAddress: address };
}

/** What HAR has no field for. */
function extras(exchange: ExchangeDetail, hiding: Hiding): object {
  const { id, run, recording, phase, certname, agentConnection, agentOrdinal, primaryConnection, primaryOrdinal } = exchange;
  return {
    // how Chromium's network panel shows what is none of a page's own resources
    _resourceType: 'fetch',
    _connectionId: String(agentConnection),
    _id: `e${id}`,
    _run: run === null ? null : `r${run}`,
    _phase: phase,
    _certname: certname,
    _target: hideInTarget(exchange.request.target, hiding),
    _recording: recording,
    _agent: { connection: `c${agentConnection}`, ordinal: agentOrdinal },
    _primary:
      primaryConnection === null
        ? null
        : {
            connection: `c${primaryConnection}`,
            ordinal: primaryOrdinal,
            reused: (primaryOrdinal ?? 1) > 1,
            status: exchange.primaryStatus,
            resent: exchange.resent,
          },
    _answeredBy: exchange.answeredBy,
    _fault: exchange.fault,
    _outcome: exchange.outcome,
    _failure: exchange.failure,
    _requestBytes: exchange.requestBytes,
    _responseBytes: exchange.responseBytes,
    _startedAt: exchange.startedAt,
    _timing: exchange.timing,
    _trailers: hideInFields(exchange.trailers, hiding),
    ...(exchange.outcome === 'answered' ? {} : { _error: exchange.failure?.reason ?? exchange.outcome }),
  };
}

function* request(selection: Selection, exchange: ExchangeDetail, hiding: Hiding): Parts {
  const { method, httpVersion } = exchange.request;
  const fields = hideInFields(exchange.request.fields, hiding);
  const target = hideInTarget(exchange.request.target, hiding);
  const head = {
    method,
    url: urlOf(selection, exchange, target),
    httpVersion: `HTTP/${httpVersion}`,
    cookies: [],
    headers: headers(fields),
    queryString: query(target).map(([name, value]) => ({ name, value })),
    headersSize: -1,
    bodySize: exchange.requestBytes,
  };
  const content = contentOf(selection, exchange, 'request');
  yield JSON.stringify(head).slice(0, -1);
  if (content.type !== 'none') {
    yield ',"postData":{';
    yield* text(content, fieldValue(fields, 'content-type'), '_encoding');
    if (content.type === 'whole' && content.mime === 'application/x-www-form-urlencoded')
      yield `,"params":${params(content.bytes)}`;
    yield '}';
  }
  yield* primarySide(selection, exchange, 'primary-request');
  yield '}';
}

function* response(selection: Selection, exchange: ExchangeDetail, hiding: Hiding): Parts {
  const { response: answer, request: asked } = exchange;
  const fields = hideInFields(answer?.fields ?? [], hiding);
  const head = {
    status: answer?.status ?? 0,
    statusText: answer?.reason ?? '',
    httpVersion: `HTTP/${asked.httpVersion}`,
    cookies: [],
    headers: headers(fields),
    redirectURL: fieldValue(fields, 'location') ?? '',
    headersSize: -1,
    bodySize: answer === null ? -1 : exchange.responseBytes,
  };
  const content = contentOf(selection, exchange, 'response');
  yield `${JSON.stringify(head).slice(0, -1)},"content":{`;
  const size = content.type === 'whole' ? content.bytes.length : content.type === 'none' ? 0 : exchange.responseBytes;
  const compression = content.type === 'whole' && !content.hidden ? size - exchange.responseBytes : 0;
  yield `"size":${size},`;
  if (compression > 0) yield `"compression":${compression},`;
  yield* text(content, fieldValue(fields, 'content-type'), 'encoding');
  yield '}';
  yield* primarySide(selection, exchange, 'primary-response');
  yield '}';
}

/** What the two legs do not share: the CSR that stringtap sent, the certificate and the bundles that the primary answered with. */
function* primarySide(selection: Selection, exchange: ExchangeDetail, side: Side): Parts {
  const content = contentOf(selection, exchange, side);
  if (content.type === 'none') return;
  yield ',"_primary":{';
  yield* text(content, null, 'encoding');
  yield '}';
}

/** `"mimeType"` and the text of a body: as it is where it is UTF-8 text, else in base64. */
function* text(content: Content, contentType: string | null, encoding: 'encoding' | '_encoding'): Parts {
  const mime = content.type === 'whole' && content.hidden ? content.mime : contentType;
  yield `"mimeType":${JSON.stringify(mime ?? 'application/octet-stream')}`;
  switch (content.type) {
    case 'none':
      return;
    case 'omitted':
      yield `,"comment":${JSON.stringify(`left out: ${content.reason}`)}`;
      return;
    case 'whole':
      if (content.hidden) yield ',"_hidden":true';
      if (content.coded) yield ',"_coded":true';
      if (isPrintable(content.bytes)) yield `,"text":${JSON.stringify(asBuffer(content.bytes).toString('utf8'))}`;
      else {
        const bytes = asBuffer(content.bytes);
        yield `,"${encoding}":"base64","text":"`;
        for (let at = 0; at < bytes.length; at += BASE64_STEP) yield bytes.toString('base64', at, at + BASE64_STEP);
        yield '"';
      }
      return;
    case 'pieces':
      if (content.coded) yield ',"_coded":true';
      yield `,"${encoding}":"base64","text":"`;
      yield base64(content.pieces);
      yield '"';
      return;
  }
}

async function* base64(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const piece of pieces) {
    let bytes = rest.length === 0 ? asBuffer(piece) : Buffer.concat([rest, piece]);
    for (; bytes.length >= BASE64_STEP; bytes = bytes.subarray(BASE64_STEP))
      yield bytes.subarray(0, BASE64_STEP).toString('base64');
    rest = Buffer.from(bytes);
  }
  yield Buffer.from(rest).toString('base64');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A form's pairs, as viewers list them; facts are long and are in the text already. */
function params(bytes: Uint8Array): string {
  const pairs = formPairs(asBuffer(bytes).toString('utf8')).slice(0, 100);
  return JSON.stringify(
    pairs.map(([name, value]) => ({ name, value: value.length > 1000 ? `${value.slice(0, 1000)}…` : value })),
  );
}

function headers(fields: Fields): { name: string; value: string }[] {
  return fields.map(([name, value]) => ({ name, value }));
}

/** What no URL holds (RFC 3986); a `%` that begins no escape stays, for a URL parser to judge. */
const NOT_IN_URL = /[^A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]/gu;

/** An absolute URL of a target; the target as received is in `_target`. */
export function urlOf(selection: Selection, exchange: ExchangeDetail, target: string): string {
  const host =
    fieldValue(exchange.request.fields, 'host') ?? selection.recordings.get(exchange.recording)?.primaries[0] ?? 'primary';
  const plain = selection.connection(exchange.agentConnection)?.via === 'plain';
  const authority = /^[A-Za-z0-9.:_[\]-]{1,300}$/.test(host) ? host : 'invalid.invalid';
  const absolute = /^https?:\/\//i.test(target)
    ? target
    : `${plain ? 'http' : 'https'}://${authority}${target.startsWith('/') ? '' : '/'}${target}`;
  return absolute
    .replace(NOT_IN_URL, character => (character.isWellFormed() ? encodeURIComponent(character) : '%EF%BF%BD'))
    .replace(/%(?![0-9a-f]{2})/gi, '%25');
}
