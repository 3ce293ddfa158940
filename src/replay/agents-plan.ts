import { greatest } from '../analysis/extremes.ts';
import type { ConnectionRow, ExchangeDetail, RunRow, Store } from '../capture/store.ts';
import { routeOf } from '../decode/route.ts';
import { type Certname, type ConnectionId, type ExchangeId, type Phase, type RunId, toCertname } from '../model.ts';
import { isAmbiguous } from '../proxy/gate.ts';
import { madeByFault } from './faulted.ts';

/** Kinds of requests that change the primary, each sent only when it was asked for. */
export const WRITES = ['csr', 'report', 'filebucket', 'facts', 'renewal'] as const;
export type Write = (typeof WRITES)[number];

/** Why a recorded request is not sent. */
export type Omission =
  /** It changes the primary, and `--writes` does not name its kind. */
  | { reason: 'write'; write: Write }
  /** It changes the primary in a way that no agent run does (`certificate_status`, a DELETE): never sent. */
  | { reason: 'other-write' }
  /** A certificate request names the agent that made it, so that it cannot be sent as another. */
  | { reason: 'csr-of-another' }
  /** The capture does not hold all of its body. */
  | { reason: 'body-missing' }
  /** Its body is over {@link MAX_BODY_BYTES}. */
  | { reason: 'body-too-large' }
  /** It was for another server: a plain request with a whole URL. */
  | { reason: 'elsewhere' };

/** Bodies are sent from memory. The largest that an agent sends is a file for the file bucket. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** One recorded request, and what becomes of it. */
export interface PlannedRequest {
  exchange: ExchangeId;
  phase: Phase;
  method: string;
  /** As recorded; what is new in it is made when it is sent. */
  target: string;
  bodyBytes: number;
  /** The recorded connection; one replayed connection stands for it. */
  connection: ConnectionId;
  /** Sent with the certificate of the run's certname: the recorded connection had one. */
  certificate: boolean;
  /** The primary's own status then, `null` when there was no answer. */
  status: number | null;
  /** `false` for an answer that `--fault` made or cut, and for what depends on something that the run itself changed: its certificate, and whether a file is in the file bucket. */
  compared: boolean;
  omitted: Omission | null;
}

/** What a replayed agent does next. `pauseMs` comes first: the time for which the recorded one did nothing. */
export type PlannedStep =
  | { type: 'send'; pauseMs: number; request: PlannedRequest }
  /** The recorded agent closed this connection in the middle of its run. */
  | { type: 'close'; pauseMs: number; connection: ConnectionId };

/** One run, as it will be replayed. */
export interface RunPlan {
  run: RunId;
  /** Of the recorded run. */
  certname: Certname;
  transactionUuid: string | null;
  startedAt: string;
  /** What was recorded took so long, ms; `null` for a run without an end. */
  durationMs: number | null;
  steps: readonly PlannedStep[];
}

/** What a replay sends, and what it leaves out. */
export interface ReplayPlan {
  runs: readonly RunPlan[];
  /** Requests of one pass over all runs. */
  requests: number;
  connections: number;
  /** Left out, by reason. */
  omitted: ReadonlyArray<{ omission: Omission; requests: number }>;
}

export interface PlanOptions {
  writes: ReadonlySet<Write>;
  /** The runs go out under other names than their own. */
  renamed: boolean;
  /** Only these exchanges of the runs; `null`: all. */
  only?: ReadonlySet<number> | null;
}

/** Plans the replay of these runs, in their order. Reads heads, no bodies. */
export function planReplay(store: Store, runs: readonly RunRow[], options: PlanOptions): ReplayPlan {
  const plans = runs.map(run => planRun(store, run, options));
  const all = plans.flatMap(({ steps }) => steps).flatMap(step => (step.type === 'send' ? [step.request] : []));
  const sent = all.filter(({ omitted }) => omitted === null);
  const omitted = new Map<string, { omission: Omission; requests: number }>();
  for (const { omitted: omission } of all) {
    if (omission === null) continue;
    const entry = omitted.get(JSON.stringify(omission)) ?? { omission, requests: 0 };
    entry.requests += 1;
    omitted.set(JSON.stringify(omission), entry);
  }
  const connections = plans.map(
    ({ steps }) =>
      new Set(steps.flatMap(step => (step.type === 'send' && step.request.omitted === null ? [step.request.connection] : [])))
        .size,
  );
  return {
    runs: plans,
    requests: sent.length,
    connections: connections.reduce((sum, count) => sum + count, 0),
    omitted: [...omitted.values()],
  };
}

function planRun(store: Store, run: RunRow, options: PlanOptions): RunPlan {
  const { only = null } = options;
  const wanted = [...store.exchanges({ run: run.id })].filter(({ id }) => only === null || only.has(id));
  const exchanges = wanted.flatMap(({ id }) => store.exchange(id) ?? []);
  const used = new Set(exchanges.map(({ agentConnection }) => agentConnection));
  const connections = [...store.connections({ run: run.id, leg: 'agent' })].filter(({ id }) => only === null || used.has(id));
  return {
    run: run.id,
    certname: run.certname,
    transactionUuid: run.transactionUuid,
    startedAt: run.startedAt,
    durationMs: run.endedAt === null ? null : Date.parse(run.endedAt) - Date.parse(run.startedAt),
    steps: stepsOf(exchanges, connections, options),
  };
}

/** Something that the recorded agent did; moments in ms of one clock. */
interface Deed {
  from: number;
  to: number;
  step(pauseMs: number): PlannedStep;
}

/**
 * What the agent did, in order. A pause is the time between the end of what it did before and the start of what it does next: an
 * agent does one thing at a time, and waits for its answer.
 */
function stepsOf(
  exchanges: readonly ExchangeDetail[],
  connections: readonly ConnectionRow[],
  options: PlanOptions,
): PlannedStep[] {
  const sends = exchanges.map((exchange): Deed => {
    const request = plannedRequest(exchange, options);
    const from = exchange.startMono;
    return { from, to: exchange.endMono, step: pauseMs => ({ type: 'send', pauseMs, request }) };
  });
  const last = greatest(sends.map(({ from }) => from));
  // What is closed after the last request is closed by the end of the replayed run, too.
  const closings = connections.flatMap(({ id, closedMono, closedBy, exchanges: carried }): Deed[] => {
    if (closedMono === null || closedBy !== 'agent' || closedMono > last || carried === 0) return [];
    return [{ from: closedMono, to: closedMono, step: pauseMs => ({ type: 'close', pauseMs, connection: id }) }];
  });
  let until = Number.NEGATIVE_INFINITY;
  return [...sends, ...closings]
    .sort((a, b) => a.from - b.from)
    .map(({ from, to, step }) => {
      const pauseMs = until === Number.NEGATIVE_INFINITY ? 0 : Math.max(0, from - until);
      until = Math.max(until, to);
      return step(pauseMs);
    });
}

function plannedRequest(exchange: ExchangeDetail, options: PlanOptions): PlannedRequest {
  const { id, phase, method, target, agentConnection, certname, status, primaryStatus } = exchange;
  const body = exchange.bodies.find(({ side }) => side === 'request');
  const isOurs = madeByFault(exchange);
  return {
    exchange: id,
    phase,
    method,
    target,
    bodyBytes: body?.size ?? 0,
    connection: agentConnection,
    certificate: certname !== null,
    status: primaryStatus ?? (isOurs ? null : status),
    compared: !isOurs && phase !== 'certificate' && !(phase === 'filebucket' && method === 'HEAD'),
    omitted: omissionOf(exchange, options),
  };
}

function omissionOf(exchange: ExchangeDetail, { writes, renamed }: PlanOptions): Omission | null {
  if (!exchange.target.startsWith('/')) return { reason: 'elsewhere' };
  const write = writeOf(exchange.method, exchange.target);
  if (write === 'other') return { reason: 'other-write' };
  if (write !== null && !writes.has(write)) return { reason: 'write', write };
  if (write === 'csr' && renamed) return { reason: 'csr-of-another' };
  const body = exchange.bodies.find(({ side }) => side === 'request');
  const kept = body?.kept ?? 0;
  if (kept < Math.max(exchange.requestBytes, body?.size ?? 0)) return { reason: 'body-missing' };
  return kept > MAX_BODY_BYTES ? { reason: 'body-too-large' } : null;
}

/** How a request changes the primary, `null` when it does not. A catalog request is a question, although it is a POST. */
function writeOf(method: string, target: string): Write | 'other' | null {
  if (method === 'GET' || method === 'HEAD') return null;
  if (isAmbiguous(target)) return 'other';
  const { phase, indirection } = routeOf(method, target);
  if (phase === 'catalog') return method === 'POST' ? null : 'other';
  if (phase === 'csr' && method === 'PUT') return 'csr';
  if (phase === 'report' && method === 'PUT') return 'report';
  if (phase === 'filebucket' && method === 'PUT') return 'filebucket';
  if (indirection === 'facts' && method === 'PUT') return 'facts';
  if (indirection === 'certificate_renewal' && method === 'POST') return 'renewal';
  return 'other';
}

/** The n-th name (from 1) of a pattern with one `%d`, or `%04d` for digits in front; without one, the pattern itself. */
export function nameOf(pattern: string, n: number): Certname | null {
  return toCertname(pattern.replace(/%(?:0(\d))?d/, (_, digits?: string) => String(n).padStart(Number(digits ?? 1), '0')));
}
