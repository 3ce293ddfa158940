import type { MessagePort } from 'node:worker_threads';
import type { Connection, Exchange, Recording, Side } from '../model.ts';
import { SIDES } from '../model.ts';
import type { Retain } from './retain.ts';
import type { RunRow } from './shapes.ts';
import type { Value } from './statements.ts';

/*
 * What the three threads say to each other.
 *
 *   recorder (main) ── batches ──▶ writer ◀── rows ── deriver        writer and deriver have a channel of their own
 *                   ◀── acks ────         ── kicks ─▶
 *                   ◀──────────── ended runs ───────
 *
 * Rows cross as flat lists of primitives, in the order of the statement's columns: that clones several times faster than the
 * nested objects. Header fields cross as JSON text, which is cheaper to make than to clone the arrays.
 */

/** Bytes that body parts pass through from the main thread to the writer; bounds the memory of bodies in flight. */
export const RING_BYTES = 16 << 20;

/** Beyond this many bytes in flight, senders of large bodies are asked to wait. */
export const RING_READY_BYTES = RING_BYTES / 2;

/** One number for a body: in a batch, `4 * exchange + side`. */
export function bodyKey(exchange: number, side: Side): number {
  return exchange * SIDES.length + SIDES.indexOf(side);
}

/** Everything that one or more event-loop turns gathered. */
export interface Batch {
  n: number;
  /** Body parts in order: body key, place in the ring, length. */
  parts: readonly number[];
  /** Bodies that ended: body key, bytes that passed, {@link CUTS} index. In the order of `exchanges`, whose bodies they are. */
  bodies: readonly number[];
  /** {@link exchangeRow}s, one after the other. */
  exchanges: readonly Value[];
  /** {@link connectionRow}s, one after the other. */
  connections: readonly Value[];
  /** Exchanges whose bodies are not wanted any more. */
  drops: readonly number[];
  /** Exchanges whose answers left before they were committed. */
  early: readonly number[];
  /** Exchanges of this batch that were interfered with, each with the rule. */
  faults: ReadonlyArray<readonly [exchange: number, rule: string]>;
  losses: readonly LossCount[];
}

/** Why not all of a body was kept. */
export const CUTS = [null, 'limit', 'lost'] as const;

export interface LossCount {
  reason: string;
  count: number;
  detail: string;
}

/**
 * V8 lets the young generation of a thread grow to tens of megabytes when much passes through it and nothing stays, as here: kept
 * small, it is collected more often, at no cost that can be measured, and the process takes 100 MB less under load.
 */
export const THREAD_LIMITS = { maxYoungGenerationSizeMb: 4 } as const;

export interface WriterData {
  file: string;
  recording: Recording;
  durability: string;
  retain: Retain | null;
  ring: SharedArrayBuffer;
}

export type ToWriter =
  | { type: 'batch'; batch: Batch }
  /** The deriver's end of a channel; a new one replaces the old. */
  | { type: 'deriver'; port: MessagePort }
  | { type: 'close' };

export type FromWriter =
  | { type: 'ready'; lastConnection: number; lastExchange: number; lastSeq: number }
  | { type: 'refused'; message: string; hint: string | null }
  /** Every batch up to this one is committed. */
  | number
  /** Every batch up to `n` is committed, or lost as `losses` say. */
  | { type: 'ack'; n: number; losses: readonly LossCount[] }
  | { type: 'closed' };

/** One row to write by a statement of {@link DERIVED_SQL}. */
export type DerivedWrite = readonly [statement: string, ...values: Value[]];

/** A step of the derivation: applied in one transaction, or not at all. */
export interface Derived {
  writes: readonly DerivedWrite[];
  /** Seq of the last event that went into the runs; `null`: rows of decoded bodies, which move a watermark of their own. */
  seq: number | null;
  settled: boolean;
}

export interface DeriverData {
  file: string;
  writer: MessagePort;
  /** One number: seq of the exchange whose bodies are being decoded, 0 when none are. It outlives a thread that they end. */
  busy: SharedArrayBuffer;
  /** Seq of the exchange that ended the thread before this one, 0 when none did. */
  culprit: number;
}

export type ToDeriver =
  /** Something was committed. */
  | { type: 'committed' }
  /** The last rows are in the file, or could not be written: send them again later. */
  | { type: 'applied'; ok: boolean }
  /** Nothing more is coming: fold all, settle, and end. */
  | { type: 'finish' };

export type DeriverToWriter =
  | { type: 'rows'; derived: Derived }
  /** All that was committed is folded. */
  | { type: 'idle' }
  | { type: 'finished' };

/** Posted by the deriver to the main thread. */
export interface EndedRuns {
  runs: readonly RunRow[];
}

/** The columns of an exchange in the order of EXCHANGE_COLUMNS, fields as JSON, bodies not yet. */
export function exchangeRow(e: Exchange, seq: number): Value[] {
  const { route, timing, response } = e;
  return [
    e.id,
    seq,
    e.certname,
    route.phase,
    route.indirection,
    route.key,
    route.environment,
    route.transactionUuid,
    e.agent.connection,
    e.agent.ordinal,
    e.primary === null ? null : e.primary.connection,
    e.primary === null ? null : e.primary.ordinal,
    e.resent,
    e.answeredBy,
    e.request.method,
    e.request.target,
    e.request.httpVersion,
    response === null ? null : response.status,
    response === null ? null : response.reason,
    e.primaryStatus,
    e.startedAt,
    timing.startMono,
    timing.requestEndMono,
    timing.primaryReadyMono,
    timing.responseHeadMono,
    timing.firstByteMono,
    timing.endMono,
    e.requestBytes,
    e.responseBytes,
    e.outcome.type,
    e.outcome.type === 'failed' ? JSON.stringify(e.outcome.failure) : null,
    JSON.stringify(e.request.fields),
    response === null ? null : JSON.stringify(response.fields),
    e.trailers.length === 0 ? null : JSON.stringify(e.trailers),
  ];
}

/** The columns of a connection in the order of CONNECTION_COLUMNS. */
export function connectionRow(c: Connection, closedSeq: number | null): Value[] {
  return [
    c.id,
    c.leg,
    c.via,
    c.peer,
    c.target,
    c.openedAt,
    c.openedMono,
    c.connectedMono,
    c.secureMono,
    c.tls === null ? null : c.tls.protocol,
    c.tls === null ? null : c.tls.cipher,
    c.tls === null ? null : Number(c.tls.resumed),
    c.tls === null ? null : c.tls.serverName,
    c.peerName,
    c.certname,
    c.refusal,
    c.error,
    c.bytesRead,
    c.bytesWritten,
    c.exchanges,
    c.closed === null ? null : c.closed.at,
    c.closed === null ? null : c.closed.mono,
    c.closed === null ? null : c.closed.by,
    c.closed === null ? null : c.closed.cause,
    closedSeq,
  ];
}
