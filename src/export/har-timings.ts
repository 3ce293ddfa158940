import type { ConnectionRow, ExchangeDetail } from '../capture/store.ts';

/** HAR 1.2 timings, ms; -1 is what did not happen. `ssl` is part of `connect`; the others, those of -1 left out, sum up to `time`. */
export interface HarTimings {
  blocked: number;
  dns: number;
  connect: number;
  ssl: number;
  send: number;
  wait: number;
  receive: number;
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;
const since = (from: number, to: number): number => round(Math.max(0, to - from));

/**
 * The times of an exchange as its agent saw them. The first exchange on a connection has the connection's TCP and TLS in `connect`; what
 * the agent waited between that and its request is not in the entry.
 */
export function timingsOf(exchange: ExchangeDetail, connection: ConnectionRow | undefined): HarTimings {
  const { startMono, requestEndMono, responseHeadMono, endMono } = exchange.timing;
  const opened = exchange.agentOrdinal === 1 && connection !== undefined && connection.recording === exchange.recording;
  const tls = opened ? connection.handshakeMs : null;
  const tcp = opened ? connection.connectMs : null;
  const sent = Math.min(requestEndMono ?? startMono, endMono);
  const head = Math.max(sent, Math.min(responseHeadMono ?? endMono, endMono));
  return {
    blocked: -1,
    dns: -1,
    connect: tcp === null && tls === null ? -1 : round((tcp ?? 0) + (tls ?? 0)),
    ssl: tls === null ? -1 : round(tls),
    send: since(startMono, sent),
    wait: since(sent, head),
    receive: since(head, endMono),
  };
}

/** `time` of an entry. */
export function totalOf({ blocked, dns, connect, send, wait, receive }: HarTimings): number {
  return round([blocked, dns, connect, send, wait, receive].reduce((sum, ms) => sum + Math.max(0, ms), 0));
}

/** When an entry begins: with its connection, where it opened one. */
export function startedDateTime(exchange: ExchangeDetail, { connect }: HarTimings): string {
  return connect <= 0 ? exchange.startedAt : new Date(Date.parse(exchange.startedAt) - connect).toISOString();
}
