import type { Certname, CloseCause, ConnectionId, ExchangeId, Leg, Phase } from '../model.ts';

/** An exchange is over. */
export interface ExchangeEvent {
  type: 'exchange';
  id: ExchangeId;
  /** Proved by the client certificate. */
  certname: Certname | null;
  phase: Phase;
  indirection: string | null;
  key: string | null;
  target: string;
  /** Agent leg. */
  connection: ConnectionId;
  openedAt: number;
  /** Of the agent's end of the connection, without the port. */
  address: string;
  primaryConnection: ConnectionId | null;
  startedAt: number;
  endedAt: number;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  requestBytes: number;
  /** The same bytes have the same number; `null` when there were none. */
  requestBody: number | null;
  responseBytes: number;
  /** From the query, the catalog form or the report. */
  transactionUuid: string | null;
  environment: string | null;
  /** The agent's X-Puppet-Version. */
  puppetVersion: string | null;
  /** The request had If-Modified-Since. */
  conditional: boolean;
}

/** An agent's connection was closed. */
export interface ClosedEvent {
  type: 'closed';
  connection: ConnectionId;
  /** Proved by the client certificate. */
  certname: Certname | null;
  via: 'direct' | 'connect' | 'plain' | 'blind';
  address: string;
  openedAt: number;
  closedAt: number;
  by: Leg | 'proxy';
  cause: CloseCause;
  exchanges: number;
}

export type RunEvent =
  | ExchangeEvent
  | ClosedEvent
  /** Nothing happened until then. */
  | { type: 'time'; at: number }
  /** The recording ended, and with it every connection; nothing of it can follow. */
  | { type: 'cut' };
