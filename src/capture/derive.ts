import type { Database } from 'better-sqlite3';
import type { RunEvent } from '../analysis/run-events.ts';
import { createRunFold, type Run, type RunFold } from '../analysis/runs.ts';
import type { Certname, CloseCause, ConnectionId, ExchangeId, Leg, Phase } from '../model.ts';
import { createBodyReader } from './body-reader.ts';
import type { Derived, DerivedWrite } from './messages.ts';
import { type Peeked, type PeekedHead, peek, peekHead } from './peek.ts';
import { EVENT_SQL, MARK_SQL } from './statements.ts';

/**
 * Events folded in one step. Their rows are one transaction of the writer, for which exchanges may have to wait: some 7 µs each.
 */
const STEP_EVENTS = 64;

/** What happened this long ago is committed and folded, or never will be: time that passes must not overtake events. */
const UNSEEN_MS = 10_000;

/** Header field lists that are remembered: agents send the same ones again and again. */
const REMEMBERED = 2048;

/** What a step gave: rows to write, and the runs that were touched, as they are now. */
export interface Step {
  derived: Derived;
  touched: readonly Run[];
  /** It took as much as a step may: there is more, most likely. */
  full: boolean;
}

/**
 * Makes derived rows out of what is committed, in the order in which it happened. It only reads; whoever owns the file writes the
 * rows, in one transaction with the watermark, so a derivation can end anywhere and another one goes on.
 * Bodies are decoded beside it (decoded-derivation.ts), later: a run is told without waiting for them.
 */
export interface Derivation {
  /** The next events, `null` when all are folded. */
  step(): Step | null;
  /** Nothing more happened until then. `null` when that changes nothing. */
  time(at: number): Step | null;
  /** Nothing can follow: ends what is open. */
  settle(): Step;
  /** Whether a settled state is in the file and nothing came after it. */
  readonly settled: boolean;
  /** Of the last event that was folded; what the decoding of bodies may look at. */
  readonly seq: number;
}

interface ExchangeEventRow {
  seq: number;
  recording: number;
  id: ExchangeId;
  certname: Certname | null;
  phase: Phase;
  indirection: string | null;
  key: string | null;
  environment: string | null;
  transactionUuid: string | null;
  target: string;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  startedAt: number;
  startMono: number;
  endMono: number;
  requestBytes: number;
  responseBytes: number;
  connection: ConnectionId;
  primaryConnection: ConnectionId | null;
  requestFields: number | null;
  requestBody: number | null;
  peer: string | null;
  openedAt: number | null;
}

interface ClosingRow {
  seq: number;
  recording: number;
  id: ConnectionId;
  certname: Certname | null;
  via: 'direct' | 'connect' | 'plain' | 'blind';
  peer: string;
  openedAt: number;
  closedAt: number;
  closedBy: Leg | 'proxy';
  cause: CloseCause;
  exchanges: number;
}

interface Mark {
  seq: number;
  settled: number;
}

interface Sequenced {
  seq: number;
  recording: number;
  event: () => RunEvent;
}

export function createDerivation(db: Database): Derivation {
  const exchanges = db.prepare<[number, number], ExchangeEventRow>(EVENT_SQL.exchanges);
  const closings = db.prepare<[number, number], ClosingRow>(EVENT_SQL.closings);
  const fieldLines = db.prepare<[number], string>(EVENT_SQL.fields).pluck();
  const recordingOf = db.prepare<[number], { id: number; firstSeq: number }>(EVENT_SQL.recordingOf);
  const lastRunBefore = db.prepare<[number], number>(EVENT_SQL.lastRunBefore).pluck();
  const read = db.transaction(() => ({ ended: exchanges.all(seq, STEP_EVENTS), closed: closings.all(seq, STEP_EVENTS) }));
  const readBody = createBodyReader(db);
  const heads = new Map<number, PeekedHead>();

  const mark = db.prepare<[], Mark>(MARK_SQL.read).get() ?? { seq: 0, settled: 1 };
  let seq = mark.seq;
  let settled = mark.settled === 1;
  let recording: number | null = null;
  let fold: RunFold;

  if (settled) fold = createRunFold(lastRunBefore.get(Number.MAX_SAFE_INTEGER) ?? 0);
  else {
    // In the middle of a recording: its fold is brought to where it was. Its rows up to there are in the file.
    const current = recordingOf.get(seq) ?? { id: 0, firstSeq: 0 };
    fold = createRunFold(lastRunBefore.get(current.id) ?? 0);
    const until = seq;
    seq = current.firstSeq - 1;
    recording = current.id;
    for (let events = next(until); events.length > 0; events = next(until)) {
      for (const { event, seq: at } of events) {
        fold.apply(event());
        seq = at;
      }
      fold.take();
    }
    seq = until;
  }

  /** The next events in order; both lists are read in one snapshot. */
  function next(until: number): Sequenced[] {
    const { ended, closed } = read();
    // A list that was cut off by the limit says nothing about what is behind its last.
    const full = [ended, closed].filter(list => list.length === STEP_EVENTS);
    const bound = Math.min(until, ...full.map(list => list.at(-1)!.seq));
    const events: Sequenced[] = [
      ...ended.map(row => ({ seq: row.seq, recording: row.recording, event: () => exchangeEvent(row) })),
      ...closed.map(row => ({ seq: row.seq, recording: row.recording, event: () => closedEvent(row) })),
    ];
    return events.filter(event => event.seq <= bound).sort((a, b) => a.seq - b.seq);
  }

  function exchangeEvent(row: ExchangeEventRow): RunEvent {
    const peeked = peekInto(row);
    return {
      type: 'exchange',
      id: row.id,
      certname: row.certname,
      phase: row.phase,
      indirection: row.indirection,
      key: row.key,
      target: row.target,
      connection: row.connection,
      openedAt: Math.round(row.openedAt ?? row.startedAt),
      address: address(row.peer),
      primaryConnection: row.primaryConnection,
      startedAt: Math.round(row.startedAt),
      endedAt: Math.round(row.startedAt + row.endMono - row.startMono),
      status: row.status,
      outcome: row.outcome,
      requestBytes: row.requestBytes,
      requestBody: row.requestBody,
      responseBytes: row.responseBytes,
      transactionUuid: row.transactionUuid ?? peeked.transactionUuid,
      environment: peeked.environment ?? row.environment,
      ...headOf(row.requestFields),
    };
  }

  /** A body that cannot be read leaves its run without these values, nothing else. */
  function peekInto({ phase, requestBody }: ExchangeEventRow): Peeked {
    const nothing: Peeked = { transactionUuid: null, environment: null };
    if (requestBody === null || (phase !== 'catalog' && phase !== 'report')) return nothing;
    try {
      return peek(phase, readBody(requestBody));
    } catch {
      return nothing;
    }
  }

  function headOf(fields: number | null): PeekedHead {
    if (fields === null) return { puppetVersion: null, conditional: false };
    const known = heads.get(fields);
    if (known !== undefined) return known;
    const head = peekHead(fieldLines.get(fields) ?? '');
    if (heads.size >= REMEMBERED) heads.clear();
    heads.set(fields, head);
    return head;
  }

  function taken(full = false): Step {
    const { runs, exchanges: members, connections } = fold.take();
    const touched = [...runs].map(run => ({ ...run }));
    const writes: DerivedWrite[] = touched.map(run => runWrite(run, recording ?? 0));
    for (const { exchange, run, n } of members) writes.push(['runExchange', exchange, run, n]);
    for (const { connection, run } of connections) writes.push(['runConnection', run, connection]);
    return { derived: { writes, seq, settled }, touched, full };
  }

  return {
    get settled() {
      return settled;
    },
    get seq() {
      return seq;
    },
    step() {
      const events = next(Number.POSITIVE_INFINITY);
      const first = events[0];
      if (first === undefined) return null;
      if (first.recording !== recording) {
        if (!settled) {
          fold.apply({ type: 'cut' });
          settled = true;
          return taken(true);
        }
        recording = first.recording;
      }
      settled = false;
      for (const { seq: at, recording: of, event } of events) {
        if (of !== recording) break;
        fold.apply(event());
        seq = at;
      }
      return taken(events.length >= STEP_EVENTS || events.at(-1)!.seq > seq);
    },
    time(at) {
      fold.apply({ type: 'time', at: at - UNSEEN_MS });
      const step = taken();
      return step.derived.writes.length > 0 ? step : null;
    },
    settle() {
      fold.apply({ type: 'cut' });
      settled = true;
      return taken();
    },
  };
}

function closedEvent(row: ClosingRow): RunEvent {
  return {
    type: 'closed',
    connection: row.id,
    certname: row.certname,
    via: row.via,
    address: address(row.peer),
    openedAt: Math.round(row.openedAt),
    closedAt: Math.round(row.closedAt),
    by: row.closedBy,
    cause: row.cause,
    exchanges: row.exchanges,
  };
}

/** `address:port` without the port. */
function address(peer: string | null): string {
  return peer?.replace(/:\d+$/, '') ?? '';
}

function runWrite(run: Run, recording: number): DerivedWrite {
  return [
    'run',
    run.id,
    recording,
    run.certname,
    run.transactionUuid,
    run.environment,
    run.puppetVersion,
    run.startedAt,
    run.endedAt,
    run.end,
    run.exchanges,
    run.failed,
    run.agentConnections,
    run.primaryConnections,
    run.requestBytes,
    run.responseBytes,
  ];
}
