/**
 * The nouns of stringtap. Plain data that can be cloned to a thread, stored and shown; this file imports nothing.
 *
 * Time: `…At` is wall-clock milliseconds since the epoch (fractional), for people. `…Mono` is milliseconds of the recording's
 * monotonic clock (`performance.now()`), for differences: a wall clock that is set back never makes a duration negative.
 * Sizes: `…Bytes`. A moment that was not reached is `null`.
 */

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** The CN of a Puppet certificate, checked by {@link toCertname} where it enters. */
export type Certname = Brand<string, 'Certname'>;
/** Number of a connection in its capture, counted from 1. */
export type ConnectionId = Brand<number, 'ConnectionId'>;
/** Number of an exchange in its capture, counted from 1 in the order in which request heads arrived. */
export type ExchangeId = Brand<number, 'ExchangeId'>;
/** Number of a run in its capture, counted from 1. */
export type RunId = Brand<number, 'RunId'>;
/** Lower-case hex SHA-256. */
export type Sha256 = Brand<string, 'Sha256'>;

/**
 * What Puppet Server accepts as the CN of a CSR (`certificate_authority.clj`, validate-subject!): lower-case letters, digits, dot,
 * underscore, hyphen. Never empty, never over 255 characters, never starting with a dot: a certname also names a file of ours.
 */
const CERTNAME = /^[a-z0-9_-][a-z0-9._-]{0,254}$/;

/** The certname, or `null` when the text is none. */
export function toCertname(text: string): Certname | null {
  return CERTNAME.test(text) ? (text as Certname) : null;
}

/** The agent leg is between agent and proxy, the primary leg between proxy and primary. */
export type Leg = 'agent' | 'primary';

/** The part of an agent run that an exchange belongs to. */
export const PHASES = [
  'ca',
  'crl',
  'csr',
  'certificate',
  'node',
  'pluginsync',
  'catalog',
  'file',
  'filebucket',
  'report',
  'other',
] as const;
export type Phase = (typeof PHASES)[number];

/** What method and target say: `/puppet/v3/:indirection/:key?environment=`. */
export interface Route {
  readonly phase: Phase;
  /** As in the URL (`file_metadatas`, `certificate_request`), `null` for a target that is not of Puppet's shape. */
  readonly indirection: string | null;
  /** Percent-decoded; `null` when there is none. */
  readonly key: string | null;
  readonly environment: string | null;
  /** Only in a node request's query. */
  readonly transactionUuid: string | null;
}

/** Header field lines in the order, case and multiplicity in which they were received. */
export type Fields = ReadonlyArray<readonly [name: string, value: string]>;

/** How one upstream connection relates to the agents' ones; see DESIGN: `pooled` outlives a run, `mirror` is one for one. */
export type PoolPolicy = 'pooled' | 'mirror';

/** One start of the proxy: connections and exchanges of a capture belong to the recording that saw them. */
export interface Recording {
  startedAt: number;
  startedMono: number;
  /** `stringtap` version. */
  version: string;
  pool: PoolPolicy;
  /** `host:port` of each primary. */
  primaries: readonly string[];
  listen: string;
}

/** How a TLS handshake ended; `null` on a connection where none was seen. */
export interface TlsFacts {
  /** `TLSv1.2`, `TLSv1.3`. */
  protocol: string;
  cipher: string;
  /** A TLS session was resumed: another thing than a connection reused. */
  resumed: boolean;
  /** SNI: on the agent leg what the agent asked for, on the primary leg what we sent. */
  serverName: string | null;
}

/** Why a connection ended. `blind` connections are tunnelled unread. */
export const CLOSE_CAUSES = [
  'end',
  'idle-timeout',
  'connection-close',
  'reset',
  'tls-alert',
  'tls-failed',
  'protocol-error',
  'aborted',
  'policy',
  'shutdown',
] as const;
export type CloseCause = (typeof CLOSE_CAUSES)[number];

/** One TCP (and mostly TLS) connection. Metadata only: no socket is ever reachable from here. */
export interface Connection {
  id: ConnectionId;
  leg: Leg;
  /** How the agent came: straight TLS, in a CONNECT tunnel, plain HTTP, or a tunnel to somebody else that we do not read. */
  via: 'direct' | 'connect' | 'plain' | 'blind';
  /** `address:port` of the other end (`[address]:port` for IPv6). */
  peer: string;
  /** `host:port` asked for by CONNECT, or the primary's on the primary leg. */
  target: string | null;
  openedAt: number;
  openedMono: number;
  /** TCP connected: on the agent leg the same as opened. */
  connectedMono: number | null;
  /** TLS handshake done. */
  secureMono: number | null;
  tls: TlsFacts | null;
  /** CN of the peer's certificate, whether it was accepted or not; escaped nowhere, so treat as hostile text. */
  peerName: string | null;
  /** The certname that this connection acts as: proved by the agent on the agent leg, presented by us on the primary leg. */
  certname: Certname | null;
  /** Why the agent's certificate was not accepted (OpenSSL's or our word), `null` when it was or there is none. */
  refusal: string | null;
  /** TLS handshake that failed, or a socket error: OpenSSL's or Node's own reason. */
  error: string | null;
  bytesRead: number;
  bytesWritten: number;
  exchanges: number;
  closed: { at: number; mono: number; by: Leg | 'proxy'; cause: CloseCause } | null;
}

/** The n-th exchange on a connection; ordinal 1 is the first, every later one reused the connection. */
export interface Use {
  connection: ConnectionId;
  ordinal: number;
}

/** What went wrong with an exchange. Data, not text: {@link Failure} becomes words in proxy/failure.ts only. */
export type Failure =
  /** No client certificate, and the path is not one that Puppet's auth.conf leaves open. */
  | { reason: 'no-certificate' }
  /** The client certificate was refused; `detail` is the verdict (expired, revoked, unknown issuer, …). */
  | { reason: 'certificate-refused'; detail: string }
  /** The certname is proved, but there is nothing to present to the primary for it. */
  | { reason: 'no-identity'; certname: Certname }
  /** The primary ended the TLS connection because of the identity that we presented. */
  | { reason: 'primary-rejected-identity'; certname: Certname | null; alert: string }
  /** The primary's certificate did not verify. */
  | { reason: 'primary-untrusted'; origin: string; detail: string }
  | { reason: 'primary-unreachable'; origin: string; code: string }
  | { reason: 'primary-timeout'; origin: string; afterMs: number }
  /** The connection ended inside the answer, or before any of it. */
  | { reason: 'primary-closed'; origin: string; detail: string; partial: boolean }
  /** What the primary sent is not HTTP. */
  | { reason: 'primary-protocol'; origin: string; detail: string }
  /** A request that stringtap does not forward (an unknown host, a CONNECT that is not allowed, a bad target). */
  | { reason: 'not-forwarded'; detail: string }
  /** A rule of `--fault` made it: what was done (`status=503`), and why that could not be done as it was asked. */
  | { reason: 'fault'; action: string; detail: string | null }
  /** A defect of ours or of the machine; the agent gets a 502. */
  | { reason: 'internal'; detail: string };

/** How an exchange ended for the agent. */
export type Outcome =
  | { type: 'answered' }
  /** Answered by us with an error, or cut short, because of `failure`. */
  | { type: 'failed'; failure: Failure }
  /** The agent went away before the answer was complete. */
  | { type: 'abandoned' };

export interface RequestHead {
  method: string;
  /** As received, never normalised. */
  target: string;
  httpVersion: string;
  fields: Fields;
}

export interface ResponseHead {
  status: number;
  /** Reason phrase as received. */
  reason: string;
  fields: Fields;
}

/** Monotonic moments of one exchange, ms. */
export interface Timing {
  /** Request head parsed. */
  startMono: number;
  requestEndMono: number | null;
  /** A primary connection was ready to take the request. */
  primaryReadyMono: number | null;
  responseHeadMono: number | null;
  firstByteMono: number | null;
  /** The last byte of the answer was at hand (it leaves when the exchange is committed). */
  endMono: number;
}

/** Which end of an exchange a body belongs to; the `primary-…` ones exist only where the two legs differ (CA, CRL, CSR, certificate). */
export const SIDES = ['request', 'response', 'primary-request', 'primary-response'] as const;
export type Side = (typeof SIDES)[number];

/** One request with its outcome, as the agent leg saw it. */
export interface Exchange {
  id: ExchangeId;
  /** The certname that the agent proved, or `null`. */
  certname: Certname | null;
  route: Route;
  agent: Use;
  /** `null` when nothing went upstream. */
  primary: Use | null;
  /** Times that the request was sent again because a pooled connection turned out closed. */
  resent: number;
  /** Who made the answer: the primary, or stringtap (CA bundle, CRL bundle, certificates of our CA, errors). */
  answeredBy: 'primary' | 'proxy';
  /** The rule of `--fault` that interfered with it, as text; `null`: nobody did. */
  fault: string | null;
  request: RequestHead;
  response: ResponseHead | null;
  /** The primary's own status, where ours differs from it or may. */
  primaryStatus: number | null;
  trailers: Fields;
  startedAt: number;
  timing: Timing;
  /** Bytes of the bodies on the agent leg, transfer coding removed, content coding kept. */
  requestBytes: number;
  responseBytes: number;
  outcome: Outcome;
}

/** Takes the bytes of one body as they pass. Never throws, never keeps the buffer that it was given. */
export interface BodyTap {
  write(chunk: Uint8Array): void;
}

/**
 * Where the proxy leaves what it saw. capture/recorder.ts implements it for a file; it takes everything at once and never throws
 * into the traffic.
 */
export interface Tape {
  connectionId(): ConnectionId;
  exchangeId(): ExchangeId;
  /** Called when a connection opens, when its handshake is done and when it closes; the latest call wins. */
  connection(connection: Connection): void;
  /** Starts the copy of one body. Bodies of an exchange that never ends are dropped with {@link Tape.drop}. */
  tap(exchange: ExchangeId, side: Side): BodyTap;
  /** The exchange is over. `committed` runs once: when it is on disk, or when it is known that it never will be. */
  exchange(exchange: Exchange, committed: () => void): void;
  drop(exchange: ExchangeId): void;
  /**
   * Whether bodies may go on: `false` asks the sender of a large body to pause until `go` is called, once, within the time that
   * an answer waits for the disk at most. A sender that never asks risks that its bodies are cut in the capture, nothing else.
   */
  ready?(go: () => void): boolean;
}
