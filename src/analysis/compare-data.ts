import type { Fields, Leg } from '../model.ts';

/*
 * What is compared: plain data that a caller has read from a capture, or has just received. Ids are text (`r3`, `e17`), `null` for what is in no
 * capture.
 */

/** One body as it was on the wire, content coding kept. */
export interface BodyData {
  /** Lower-case hex, of the bytes on the wire that were kept. */
  sha256: string;
  /** Bytes that passed. */
  sizeBytes: number;
  /** All bytes that passed are there. */
  complete: boolean;
  /** `null` when they were not read because there are too many: bodies are then told apart by their digests. */
  bytes: Uint8Array | null;
}

/** One request with its answer. */
export interface ExchangeData {
  id: string | null;
  method: string;
  /** As received. */
  target: string;
  /** `null` when no answer was made. */
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  /** Name of the failure, `null` without one. */
  failure: string | null;
  answeredBy: 'primary' | 'proxy';
  /** The rule of `--fault` that interfered with it. */
  fault: string | null;
  requestFields: Fields;
  responseFields: Fields;
  request: BodyData | null;
  response: BodyData | null;
  durationMs: number;
}

export interface ConnectionData {
  leg: Leg;
  /** `null` when there was no TLS handshake, or it failed. */
  tlsVersion: string | null;
  /** A TLS session was resumed. */
  resumed: boolean | null;
}

/** One agent run. */
export interface RunData {
  id: string | null;
  /** File that it is from; for people. */
  capture: string | null;
  certname: string;
  environment: string | null;
  /** The agent's version. */
  puppetVersion: string | null;
  /** ISO 8601 in UTC. */
  startedAt: string | null;
  durationMs: number | null;
  /** In the order in which they began. */
  exchanges: readonly ExchangeData[];
  connections: readonly ConnectionData[];
  /**
   * Contents of files that are not among the bodies of this run (it asked for nothing that the agent had already), by checksum as Puppet
   * writes it: `{sha256}ab…`, `{md5}ab…`. Without content coding.
   */
  contents?: ReadonlyMap<string, Uint8Array>;
}
