import { createHash } from 'node:crypto';
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_CLIENT_PORT,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_RESEND_COUNT,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_NETWORK_PEER_ADDRESS,
  ATTR_NETWORK_PEER_PORT,
  ATTR_NETWORK_PROTOCOL_VERSION,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
  ATTR_URL_QUERY,
  ATTR_URL_SCHEME,
  ATTR_USER_AGENT_ORIGINAL,
} from '@opentelemetry/semantic-conventions';
import { greatest, least } from '../analysis/extremes.ts';
import type { ConnectionRow, ExchangeDetail, RunRow } from '../capture/store.ts';
import { fieldValue } from '../decode/encoding.ts';
import { path } from '../decode/route.ts';
import { hideInTarget } from '../decode/secrets.ts';
import { PHASES } from '../model.ts';
import { urlOf } from './har.ts';
import { hidingOr, type Selection } from './selection.ts';

/*
 * A run as a trace of OpenTelemetry. Its trace id is Puppet's transaction_uuid, so that a report or a catalog leads to it; below the
 * run is a span for each phase, below that a SERVER span for each request as the agent made it, below that a CLIENT span for what went
 * to the primary. Names are those of the stable HTTP conventions; `puppet.…` and `stringtap.…` are ours.
 */

export type Attributes = Record<string, string | number | boolean>;

export interface TraceSpan {
  /** 32 and 16 hex digits. */
  traceId: string;
  spanId: string;
  parentSpanId: string | null;
  name: string;
  kind: 'internal' | 'server' | 'client';
  /** ms since the epoch, fractional. */
  startMs: number;
  endMs: number;
  attributes: Attributes;
  events: { name: string; atMs: number; attributes: Attributes }[];
  links: { traceId: string; spanId: string; attributes: Attributes }[];
  /** `null`: nothing went wrong. */
  error: string | null;
}

/** A connection to the primary may be older than the run: what was long before it is no event of it. */
const BEFORE_MS = 10_000;

/** The spans of a run, the run itself first. */
export function traceOf(selection: Selection, run: RunRow): TraceSpan[] {
  const exchanges = [...selection.exchanges(run)];
  const connections = new Map([...selection.store.connections({ run: run.id })].map(row => [row.id as number, row]));
  const traceId = traceIdOf(run);
  const idOf = (what: string): string => hash(`${traceId} ${run.startedAt} ${what}`, 16);
  const root = runSpan(run, traceId, idOf('run'), exchanges, [...connections.values()]);
  const spans = [root];
  for (const phase of PHASES) {
    const some = exchanges.filter(exchange => exchange.phase === phase);
    if (some.length === 0) continue;
    const ends = some.flatMap(exchange => [
      momentOf(exchange, exchange.timing.startMono),
      momentOf(exchange, exchange.timing.endMono),
    ]);
    const failed = some.find(exchange => errorOf(exchange) !== null);
    const span: TraceSpan = {
      ...bare(traceId, idOf(`phase ${phase}`), root.spanId, phase, 'internal'),
      startMs: least(ends),
      endMs: greatest(ends),
      attributes: { 'puppet.phase': phase, 'stringtap.exchanges': some.length },
      error: failed === undefined ? null : errorOf(failed),
    };
    spans.push(span);
    for (const exchange of some) spans.push(...exchangeSpans(selection, exchange, connections, span, idOf));
  }
  return spans;
}

function bare(traceId: string, spanId: string, parent: string | null, name: string, kind: TraceSpan['kind']): TraceSpan {
  const nothing = { startMs: 0, endMs: 0, attributes: {}, events: [], links: [], error: null };
  return { traceId, spanId, parentSpanId: parent, name, kind, ...nothing };
}

/** The transaction_uuid; of a run that never said one (it only bootstrapped) a hash of who and when. */
function traceIdOf(run: RunRow): string {
  const uuid = run.transactionUuid?.replaceAll('-', '').toLowerCase() ?? '';
  return /^(?!0+$)[0-9a-f]{32}$/.test(uuid) ? uuid : hash(`${run.certname} ${run.startedAt}`, 32);
}

function hash(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

/** A moment of the recording's clock as wall time. */
function momentOf({ startedAt, timing }: ExchangeDetail, mono: number): number {
  return Date.parse(startedAt) + mono - timing.startMono;
}

function runSpan(
  run: RunRow,
  traceId: string,
  spanId: string,
  exchanges: readonly ExchangeDetail[],
  connections: readonly ConnectionRow[],
): TraceSpan {
  const starts = exchanges.map(exchange => momentOf(exchange, exchange.timing.startMono));
  const ends = exchanges.map(exchange => momentOf(exchange, exchange.timing.endMono));
  const opened = connections.filter(row => row.leg === 'agent').map(row => Date.parse(row.openedAt));
  const started = Date.parse(run.startedAt);
  const startMs = least([started, ...starts, ...opened.filter(at => at > started - BEFORE_MS)]);
  const endMs = greatest([run.endedAt === null ? 0 : Date.parse(run.endedAt), started, ...ends]);
  const reused = (leg: 'agentOrdinal' | 'primaryOrdinal'): number => exchanges.filter(row => (row[leg] ?? 0) > 1).length;
  const attributes: Attributes = {
    'puppet.certname': run.certname,
    'stringtap.run': `r${run.id}`,
    'stringtap.run.end': run.end ?? 'open',
    'stringtap.exchanges': run.exchanges,
    'stringtap.exchanges.failed': run.failed,
    'stringtap.agent.connections': run.agentConnections,
    'stringtap.agent.exchanges.reused': reused('agentOrdinal'),
    'stringtap.primary.connections': run.primaryConnections,
    'stringtap.primary.exchanges.reused': reused('primaryOrdinal'),
    'stringtap.request.bytes': run.requestBytes,
    'stringtap.response.bytes': run.responseBytes,
  };
  if (run.transactionUuid !== null) attributes['puppet.transaction_uuid'] = run.transactionUuid;
  if (run.environment !== null) attributes['puppet.environment'] = run.environment;
  if (run.puppetVersion !== null) attributes['puppet.version'] = run.puppetVersion;
  return {
    ...bare(traceId, spanId, null, 'puppet run', 'internal'),
    startMs,
    endMs,
    attributes,
    events: connections.flatMap(row => connectionEvents(row, startMs, endMs)).sort((a, b) => a.atMs - b.atMs),
    error: run.failed > 0 ? `${run.failed} of ${run.exchanges} exchanges failed` : null,
  };
}

/** Handshake and close of a connection, as far as they fall into the run. */
function connectionEvents(row: ConnectionRow, startMs: number, endMs: number): TraceSpan['events'] {
  const who: Attributes = { 'stringtap.leg': row.leg, 'stringtap.connection': `c${row.id}` };
  const opened = Date.parse(row.openedAt);
  const events: TraceSpan['events'] = [];
  if (opened >= startMs && opened <= endMs && row.handshakeMs !== null) {
    const attributes: Attributes = {
      ...who,
      'stringtap.connect.duration_us': Math.round((row.connectMs ?? 0) * 1000),
      'stringtap.handshake.duration_us': Math.round(row.handshakeMs * 1000),
      'tls.resumed': row.resumed === true,
    };
    if (row.tlsVersion !== null) attributes['tls.protocol.version'] = row.tlsVersion.replace('TLSv', '');
    if (row.cipher !== null) attributes['tls.cipher'] = row.cipher;
    if (row.serverName !== null) attributes['tls.client.server_name'] = row.serverName;
    events.push({ name: 'tls.handshake', atMs: opened + (row.connectMs ?? 0) + row.handshakeMs, attributes });
  }
  const closed = row.closedAt === null ? null : Date.parse(row.closedAt);
  if (closed !== null && closed >= startMs && closed <= endMs + 1000) {
    const how = { 'stringtap.closed.by': row.closedBy ?? '', 'stringtap.closed.cause': row.cause ?? '' };
    events.push({ name: 'connection.closed', atMs: closed, attributes: { ...who, ...how } });
  }
  return events;
}

function exchangeSpans(
  selection: Selection,
  exchange: ExchangeDetail,
  connections: ReadonlyMap<number, ConnectionRow>,
  parent: TraceSpan,
  idOf: (what: string) => string,
): TraceSpan[] {
  const { request, timing } = exchange;
  const target = hideInTarget(request.target, hidingOr(selection, exchange.run));
  const url = URL.parse(urlOf(selection, exchange, target));
  const route = routeOf(exchange);
  const endMs = momentOf(exchange, timing.endMono);
  const common: Attributes = {
    [ATTR_HTTP_REQUEST_METHOD]: request.method,
    'puppet.phase': exchange.phase,
    'stringtap.exchange': `e${exchange.id}`,
    'http.request.body.size': exchange.requestBytes,
    'http.response.body.size': exchange.responseBytes,
  };
  const agent: TraceSpan = {
    ...bare(parent.traceId, idOf(`e${exchange.id} agent`), parent.spanId, `${request.method} ${route ?? ''}`.trim(), 'server'),
    startMs: momentOf(exchange, timing.startMono),
    endMs,
    attributes: {
      ...common,
      ...serverOf(url),
      ...(url === null ? {} : { [ATTR_URL_SCHEME]: url.protocol.replace(':', '') }),
      [ATTR_URL_PATH]: path(target),
      ...(target.includes('?') ? { [ATTR_URL_QUERY]: target.slice(target.indexOf('?') + 1) } : {}),
      ...(route === null ? {} : { [ATTR_HTTP_ROUTE]: route }),
      ...legOf('agent', exchange.agentConnection, exchange.agentOrdinal),
      ...peerOf(connections.get(exchange.agentConnection), ATTR_CLIENT_ADDRESS, ATTR_CLIENT_PORT),
      [ATTR_NETWORK_PROTOCOL_VERSION]: request.httpVersion,
      'stringtap.answered_by': exchange.answeredBy,
      ...(exchange.fault === null ? {} : { 'stringtap.fault': exchange.fault }),
      ...userAgentOf(exchange),
      ...statusOf(exchange.response?.status ?? null),
      ...errorAttribute(exchange),
      ...(exchange.certname === null ? {} : { 'puppet.certname': exchange.certname }),
    },
    links: traceParents(exchange),
    error: errorOf(exchange),
  };
  const { primaryConnection, primaryOrdinal } = exchange;
  if (primaryConnection === null || primaryOrdinal === null) return [agent];
  const upstream = connections.get(primaryConnection);
  const origin = `${upstream?.via === 'plain' ? 'http' : 'https'}://${upstream?.target ?? url?.host ?? ''}`;
  const primary: TraceSpan = {
    ...bare(parent.traceId, idOf(`e${exchange.id} primary`), agent.spanId, request.method, 'client'),
    startMs: momentOf(exchange, timing.primaryReadyMono ?? timing.startMono),
    endMs,
    attributes: {
      ...common,
      [ATTR_URL_FULL]: `${origin}${target}`,
      ...serverOf(URL.parse(origin)),
      ...legOf('primary', primaryConnection, primaryOrdinal),
      ...peerOf(upstream, ATTR_NETWORK_PEER_ADDRESS, ATTR_NETWORK_PEER_PORT),
      ...(exchange.resent > 0 ? { [ATTR_HTTP_REQUEST_RESEND_COUNT]: exchange.resent } : {}),
      ...statusOf(exchange.primaryStatus),
      ...errorAttribute(exchange),
    },
    error: exchange.failure === null ? clientError(exchange.primaryStatus) : exchange.failure.reason,
  };
  return [agent, primary];
}

/** `/puppet/v3/:indirection/{key}`: the same for all agents and files. */
function routeOf({ request, indirection }: ExchangeDetail): string | null {
  const match = /^(\/puppet(?:-ca)?\/v\d)\/[^/?]+(\/[^?]+)?/.exec(request.target);
  return match === null || indirection === null
    ? null
    : `${match[1]}/${indirection.slice(0, 100)}${match[2] === undefined ? '' : '/{key}'}`;
}

function serverOf(url: URL | null): Attributes {
  if (url === null || url.hostname === '') return {};
  const address = url.hostname.replace(/^\[|\]$/g, '');
  return { [ATTR_SERVER_ADDRESS]: address, [ATTR_SERVER_PORT]: Number(url.port) || (url.protocol === 'http:' ? 80 : 443) };
}

function peerOf(row: ConnectionRow | undefined, address: string, port: string): Attributes {
  const match = /^\[?(.+?)\]?:(\d{1,5})$/.exec(row?.peer ?? '');
  return match === null ? {} : { [address]: match[1]!, [port]: Number(match[2]) };
}

function legOf(leg: string, connection: number, ordinal: number): Attributes {
  return {
    'stringtap.leg': leg,
    'stringtap.connection': `c${connection}`,
    'stringtap.connection.ordinal': ordinal,
    'stringtap.connection.reused': ordinal > 1,
  };
}

function userAgentOf({ request }: ExchangeDetail): Attributes {
  const value = fieldValue(request.fields, 'user-agent');
  return value === null ? {} : { [ATTR_USER_AGENT_ORIGINAL]: value.slice(0, 300) };
}

function statusOf(status: number | null): Attributes {
  return status === null ? {} : { [ATTR_HTTP_RESPONSE_STATUS_CODE]: status };
}

/** HTTP conventions: on the server side a 4xx is no error. */
function errorOf({ failure, outcome, response }: ExchangeDetail): string | null {
  if (failure !== null) return failure.reason;
  if (outcome !== 'answered') return outcome;
  return response !== null && response.status >= 500 ? String(response.status) : null;
}

function clientError(status: number | null): string | null {
  return status !== null && status >= 400 ? String(status) : null;
}

function errorAttribute(exchange: ExchangeDetail): Attributes {
  const error = errorOf(exchange);
  return error === null ? {} : { [ATTR_ERROR_TYPE]: error };
}

/** A `traceparent` (W3C Trace Context) of the agent's side is linked: the run's own trace id is already decided. */
function traceParents({ request }: ExchangeDetail): TraceSpan['links'] {
  const match = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}/.exec(
    fieldValue(request.fields, 'traceparent') ?? '',
  );
  return match === null ? [] : [{ traceId: match[1]!, spanId: match[2]!, attributes: { 'stringtap.link': 'traceparent' } }];
}
