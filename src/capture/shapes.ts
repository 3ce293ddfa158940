import type { Filter } from '../analysis/filter.ts';
import type { Evidence, Severity } from '../analysis/findings/finding.ts';
import type {
  Certname,
  CloseCause,
  ConnectionId,
  ExchangeId,
  Failure,
  Fields,
  Leg,
  Phase,
  PoolPolicy,
  RequestHead,
  ResponseHead,
  RunId,
  Sha256,
  Side,
  Timing,
} from '../model.ts';

/** How an exchange ended, see {@link Outcome} of the model. */
export type OutcomeType = 'answered' | 'failed' | 'abandoned';

/** How a run ended; see analysis/runs.ts for the exact rules. */
export type RunEnd = 'report' | 'connections-closed' | 'idle';

/** One agent run. Times are ISO 8601 in UTC with milliseconds; this is also the shape of `stringtap runs --json`. */
export interface RunRow {
  id: RunId;
  certname: Certname;
  /** `null` as long as no request of the run has carried it (a run that only bootstraps never does). */
  transactionUuid: string | null;
  environment: string | null;
  /** The agent's `X-Puppet-Version`. */
  puppetVersion: string | null;
  startedAt: string;
  endedAt: string | null;
  /** `null`: the run is still open. */
  end: RunEnd | null;
  exchanges: number;
  /**
   * Exchanges that failed, were abandoned, or were answered with a 5xx status. A 4xx is normal in a run (`file_metadata` 404).
   */
  failed: number;
  agentConnections: number;
  primaryConnections: number;
  requestBytes: number;
  responseBytes: number;
}

/** One exchange in a list; also the shape of `stringtap exchanges --json`. */
export interface ExchangeRow {
  id: ExchangeId;
  /** `null` for an exchange that belongs to no agent run. */
  run: RunId | null;
  /** Position in its run, from 1. */
  n: number | null;
  phase: Phase;
  method: string;
  target: string;
  /** `null` when no answer was made. */
  status: number | null;
  outcome: OutcomeType;
  /** The certname that the agent proved with its certificate. */
  certname: Certname | null;
  agentConnection: ConnectionId;
  /** Position on its connection, from 1; over 1 means that the connection was reused. */
  agentOrdinal: number;
  primaryConnection: ConnectionId | null;
  primaryOrdinal: number | null;
  requestBytes: number;
  responseBytes: number;
  startedAt: string;
  durationMs: number;
  /** Who made the answer. */
  answeredBy: 'primary' | 'proxy';
  failure: Failure | null;
  /** Times that the request was sent again because a pooled connection turned out closed. */
  resent: number;
  /** The start of the proxy that saw it: only within one are `…Mono` moments comparable. */
  recording: number;
  startMono: number;
  /** A primary connection was ready to take the request. */
  primaryReadyMono: number | null;
  endMono: number;
  /** The rule of `--fault` that interfered with it, its action first; `null`: nobody did. */
  fault: string | null;
}

/** Moments of an exchange between its start and its end, see {@link Timing}. */
export interface MomentsRow {
  id: ExchangeId;
  requestEndMono: number | null;
  responseHeadMono: number | null;
  firstByteMono: number | null;
}

/** One body of an exchange: what is stored of it. */
export interface BodyInfo {
  side: Side;
  /** Of the bytes that are stored (`kept`). */
  sha256: Sha256;
  /** Bytes that passed. */
  size: number;
  /** Bytes that were kept; fewer than `size` when the body was cut. */
  kept: number;
  /** Bytes that they take in the file, after zstd. */
  stored: number;
  /** Why not all was kept: `limit` is --max-body, `lost` a recorder that could not keep up. */
  cut: 'limit' | 'lost' | null;
}

/** Everything about one exchange but the bytes of its bodies. */
export interface ExchangeDetail extends ExchangeRow {
  indirection: string | null;
  key: string | null;
  environment: string | null;
  request: RequestHead;
  response: ResponseHead | null;
  trailers: Fields;
  primaryStatus: number | null;
  timing: Timing;
  /** The answer left before it was on disk, because the disk was slower than the recorder waits. */
  early: boolean;
  bodies: readonly BodyInfo[];
}

/** One connection; also the shape of `stringtap connections --json`. */
export interface ConnectionRow {
  id: ConnectionId;
  leg: Leg;
  /** `address:port`. */
  peer: string;
  certname: Certname | null;
  tlsVersion: string | null;
  cipher: string | null;
  /** `null` when there was no handshake. */
  resumed: boolean | null;
  openedAt: string;
  /** From the start of `connect` to TCP connected; 0 on the agent leg, where the kernel has accepted it already. */
  connectMs: number | null;
  /** From TCP connected to handshake done. */
  handshakeMs: number | null;
  closedAt: string | null;
  closedBy: Leg | 'proxy' | null;
  cause: CloseCause | null;
  exchanges: number;
  via: 'direct' | 'connect' | 'plain' | 'blind';
  target: string | null;
  serverName: string | null;
  peerName: string | null;
  refusal: string | null;
  error: string | null;
  bytesRead: number;
  bytesWritten: number;
  /** The start of the proxy that saw it: only within one are `…Mono` moments comparable. */
  recording: number;
  openedMono: number;
  closedMono: number | null;
}

/** One start of the proxy that wrote into the capture. */
export interface RecordingRow {
  id: number;
  startedAt: string;
  /** `null`: it is running, or it was killed. */
  endedAt: string | null;
  version: string;
  pool: PoolPolicy;
  primaries: readonly string[];
  listen: string;
  /** It was not seen by stringtap: `version` says where it is from, and what was not told there is unknown. */
  imported: boolean;
}

/** Something that the capture lacks, see LossReason in losses.ts. */
export interface LossRow {
  at: string;
  recording: number;
  reason: string;
  count: number;
  detail: string;
}

export interface RunFilter {
  certname?: string;
  /** Only runs that began then or later, ISO 8601 in UTC with milliseconds, as in all filters. */
  since?: string;
  /** Only runs that are (not) over. */
  ended?: boolean;
  /** Only runs with a greater id. */
  after?: number;
  /** Only runs with a lower id. */
  before?: number;
  /** Newest first; `limit` then takes the newest. */
  reverse?: boolean;
  /** Only what a filter of the filter language wants, see analysis/filter-parse.ts. */
  match?: Filter | null;
  limit?: number;
}

export interface ExchangeFilter {
  run?: number;
  /** Only these. */
  ids?: readonly number[];
  since?: string;
  phase?: Phase;
  status?: number;
  outcome?: OutcomeType;
  certname?: string;
  /** On this connection, whichever leg. */
  connection?: number;
  /** Only exchanges with a greater id. */
  after?: number;
  /** Only exchanges with a lower id. */
  before?: number;
  reverse?: boolean;
  /** Only what a filter of the filter language wants, see analysis/filter-parse.ts. */
  match?: Filter | null;
  limit?: number;
}

export interface ConnectionFilter {
  /** Connections that a run used, on either leg. */
  run?: number;
  since?: string;
  leg?: Leg;
  certname?: string;
  after?: number;
  before?: number;
  reverse?: boolean;
  /** Only what a filter of the filter language wants, see analysis/filter-parse.ts. */
  match?: Filter | null;
  limit?: number;
}

/** What a rule found, in a run or, without one, on connections of an address. */
export interface FindingRow {
  run: RunId | null;
  /** Its id: `masked-by-cache`. */
  rule: string;
  severity: Severity;
  /** The certname; of connections the agent's address. */
  subject: string;
  /** When the run ended, or the last such connection. */
  at: string;
  summary: string;
  /** The setting or the command that mends it. */
  fix: string;
  evidence: Evidence;
}

export interface FindingFilter {
  /** `null`: of no run. */
  run?: number | null;
  severity?: Severity;
  rule?: string;
  since?: string;
  match?: Filter | null;
  limit?: number;
}

/** What SQL gave: rows are read as they are asked for. A blob is a Uint8Array. */
export interface QueryResult {
  columns: readonly string[];
  rows: Iterable<readonly unknown[]>;
}
