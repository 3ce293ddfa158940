import { performance } from 'node:perf_hooks';
import type { Worker } from 'node:worker_threads';
import type { ConnectionId, ExchangeId } from '../model.ts';
import type { Losses } from './losses.ts';
import { type Batch, type LossCount, RING_READY_BYTES, type ToWriter } from './messages.ts';
import type { Ring } from './ring.ts';
import type { Value } from './statements.ts';

/** How long things that nobody waits for are gathered. */
const LAZY_MS = 20;

/** Body bytes that are sent on without waiting for more: a message for each piece that a socket gives would cost more than the piece. */
const EAGER_BYTES = 256 << 10;

/** Exchanges that wait for the batch before theirs at most. */
const JOINED_EXCHANGES = 64;

/** Exchanges that may wait for the writer: each is some 2 KiB, and memory is bounded. */
const WAITING_EXCHANGES = 20_000;

/**
 * The queue to the writer thread. What one event-loop turn brings leaves as one message at its end, when somebody waits for the
 * commit; what nobody waits for is gathered a little longer.
 */
export interface Outbox {
  readonly ring: Ring;
  /** So many exchanges wait for the disk that no more are taken. */
  readonly full: boolean;
  /** Body bytes that were written into the ring just now. */
  bytes(write: (parts: number[]) => number): number;
  body(key: number, size: number, cut: number): void;
  /** The exchange that is put next was interfered with. */
  fault(exchange: ExchangeId, rule: string): void;
  /**
   * `committed` runs when the row is on disk, late when the disk is slow, at once when the thread is dead.
   * @param alone no other exchange is under way: there is nothing to wait for that could share its commit
   */
  exchange(id: ExchangeId, row: readonly Value[], committed: (() => void) | null, alone: boolean): void;
  /** The latest row of a connection wins; `row` is made when it is sent. */
  connection(id: ConnectionId, row: () => Value[]): void;
  drop(exchange: ExchangeId): void;
  /** Calls `go` when there is room for bodies again, at the latest when an answer would not wait longer either. */
  whenReady(go: () => void): void;
  flush(): void;
  acknowledged(n: number, losses: readonly LossCount[]): void;
  /** The thread is gone: everybody who waits goes on. @returns how many exchanges were not acknowledged */
  abandon(): number;
}

/** A batch that is on its way. */
interface Sent {
  n: number;
  at: number;
  exchanges: readonly ExchangeId[];
  /** Empty once they have run. */
  committed: ReadonlyArray<() => void>;
  ringEnd: number;
}

export function createOutbox(writer: Worker, ring: Ring, losses: Losses, commitWaitMs: number): Outbox {
  const sent: Sent[] = [];
  let n = 0;
  let waitingExchanges = 0;
  const waitingSenders = new Set<() => void>();
  let urgent: NodeJS.Immediate | null = null;
  let lazy: NodeJS.Timeout | null = null;
  let overdue: NodeJS.Timeout | null = null;

  let next = emptyContent();

  /**
   * One batch is on its way at a time, as long as the next one is small: what comes while the writer commits joins the next
   * commit. Under load that is one message for several exchanges, and nobody waits longer for the disk than for two commits.
   */
  function flushSoon(now = false): void {
    const newest = sent.at(-1);
    const awaited = newest !== undefined && newest.committed.length > 0;
    if (awaited && next.exchanges.length < JOINED_EXCHANGES && next.partBytes < EAGER_BYTES) return;
    if (now) flush();
    else urgent ??= setImmediate(flush);
  }

  function flushSometime(): void {
    if (urgent === null) lazy ??= setTimeout(flush, LAZY_MS);
  }

  function stopTimers(): void {
    if (urgent !== null) clearImmediate(urgent);
    if (lazy !== null) clearTimeout(lazy);
    urgent = lazy = null;
  }

  function flush(): void {
    stopTimers();
    const { exchanges, committed } = next;
    const connections: Value[] = [];
    for (const row of next.connections.values()) for (const value of row()) connections.push(value);
    const batch: Batch = {
      n: ++n,
      parts: next.parts,
      bodies: next.bodies,
      exchanges: next.rows,
      connections,
      drops: next.drops,
      early: next.early,
      faults: next.faults,
      losses: losses.untold(),
    };
    sent.push({ n, at: performance.now(), exchanges, committed, ringEnd: ring.end() });
    next = emptyContent();
    const message: ToWriter = { type: 'batch', batch };
    writer.postMessage(message);
    if (committed.length > 0) overdue ??= setTimeout(checkOverdue, commitWaitMs);
  }

  /** The disk is slower than an answer may wait: it leaves, and its exchange is marked. */
  function checkOverdue(): void {
    overdue = null;
    const now = performance.now();
    let late = 0;
    for (const batch of sent) {
      if (batch.committed.length === 0) continue;
      if (now - batch.at < commitWaitMs) {
        overdue = setTimeout(checkOverdue, batch.at + commitWaitMs - now);
        break;
      }
      for (const id of batch.exchanges) next.early.push(id);
      late += batch.committed.length;
      runCommitted(batch);
    }
    if (late === 0) return;
    if (next.committed.length > 0) flushSoon();
    losses.add('late', late, `not on disk after ${commitWaitMs} ms`);
    flushSometime();
  }

  /** In the order in which they came, each as long as there is room: hundreds at once, with a piece each, would overrun the ring. */
  function wakeSenders(): void {
    for (const go of waitingSenders) {
      if (ring.used() >= RING_READY_BYTES) return;
      go();
    }
  }

  return {
    ring,
    get full() {
      return waitingExchanges >= WAITING_EXCHANGES;
    },
    bytes(write) {
      const taken = write(next.parts);
      next.partBytes += taken;
      if (next.partBytes >= EAGER_BYTES) flushSoon();
      else flushSometime();
      return taken;
    },
    body(key, size, cut) {
      next.bodies.push(key, size, cut);
    },
    fault(exchange, rule) {
      next.faults.push([exchange, rule]);
    },
    exchange(id, row, committed, alone) {
      for (const value of row) next.rows.push(value);
      next.exchanges.push(id);
      waitingExchanges++;
      if (committed === null) return flushSometime();
      next.committed.push(committed);
      flushSoon(alone);
    },
    connection(id, row) {
      next.connections.set(id, row);
      flushSometime();
    },
    drop(exchange) {
      next.drops.push(exchange);
      flushSometime();
    },
    whenReady(go) {
      flushSoon();
      const once = (): void => {
        clearTimeout(timer);
        waitingSenders.delete(once);
        go();
      };
      const timer = setTimeout(once, commitWaitMs);
      waitingSenders.add(once);
    },
    flush,
    acknowledged(upTo, lost) {
      for (const loss of lost) losses.add(loss.reason, loss.count, loss.detail);
      while (sent.length > 0 && sent[0]!.n <= upTo) {
        const batch = sent.shift()!;
        ring.release(batch.ringEnd);
        waitingExchanges -= batch.exchanges.length;
        runCommitted(batch);
      }
      if (next.committed.length > 0) flushSoon();
      wakeSenders();
    },
    abandon() {
      stopTimers();
      if (overdue !== null) clearTimeout(overdue);
      const unacknowledged = waitingExchanges;
      waitingExchanges = 0;
      for (const batch of sent.splice(0)) runCommitted(batch);
      runCommitted(next);
      next = emptyContent();
      for (const go of [...waitingSenders]) go();
      return unacknowledged;
    },
  };
}

/** What the next batch will hold. */
function emptyContent() {
  return {
    parts: [] as number[],
    partBytes: 0,
    bodies: [] as number[],
    rows: [] as Value[],
    exchanges: [] as ExchangeId[],
    committed: [] as ReadonlyArray<() => void> & Array<() => void>,
    connections: new Map<ConnectionId, () => Value[]>(),
    drops: [] as number[],
    early: [] as number[],
    faults: [] as [exchange: number, rule: string][],
  };
}

/** A callback that throws is a defect of the caller; the other answers leave all the same. */
function runCommitted(batch: { committed: ReadonlyArray<() => void> }): void {
  const callbacks = batch.committed;
  batch.committed = [];
  for (const callback of callbacks) {
    try {
      callback();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
