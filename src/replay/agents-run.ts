import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { routeOf } from '../decode/route.ts';
import { createHiding, hideInTarget } from '../decode/secrets.ts';
import type { Certname, ConnectionId, ExchangeId, Failure, Fields, Phase, Tape } from '../model.ts';
import type { Presented, Primary } from '../proxy/dial.ts';
import { reasonOf } from '../proxy/failure.ts';
import { requestFields } from '../proxy/fields.ts';
import { authority, mono, newExchange } from '../proxy/tracking.ts';
import { type Call, openUpstream, type Upstream } from '../proxy/upstream.ts';
import { type Fresh, freshBody, freshTarget, isUuid, type RecordedRequest } from './agents-fresh.ts';
import {
  type CatalogIds,
  catalogIdsIn,
  contentSha256,
  MAX_CATALOG_BYTES,
  type Script,
  type ScriptStep,
} from './agents-script.ts';
import { type AgentTape, agentTape, type ConnectionCount } from './agents-tape.ts';
import { type Pace, paced } from './pace.ts';

/** What became of one request that was sent. */
export interface SentRequest {
  /** In the capture that is replayed. */
  recorded: ExchangeId;
  recordedStatus: number | null;
  /** Whether another answer than the recorded one is a difference, see {@link PlannedRequest.compared}. */
  compared: boolean;
  /** On the tape of the replay. */
  replayed: ExchangeId;
  phase: Phase;
  method: string;
  /** As a reader sees it: its secrets are hidden. */
  target: string;
  /** `null` when no answer came, or not all of it. */
  status: number | null;
  failure: Failure | null;
  /** The content of a file is another one than the recorded. */
  otherContent: boolean;
  /** From the moment at which a connection was ready to the last byte of the answer. */
  answerMs: number;
  /** The whole, with the connection's own time when a new one was needed. */
  totalMs: number;
  responseBytes: number;
  /** On a connection that had to be opened for it. */
  opened: boolean;
}

/** One replayed run. */
export interface AgentResult {
  certname: Certname;
  script: Script;
  startedAt: number;
  endedAt: number;
  sent: readonly SentRequest[];
  connections: ConnectionCount;
  /** `gave-up`: three requests in a row found no primary, or none that takes this agent. */
  end: 'done' | 'gave-up' | 'interrupted';
}

export interface AgentOptions {
  script: Script;
  /** As whom. */
  certname: Certname;
  identity: Presented;
  primary: Primary;
  pace: Pace;
  /** Where the replay is recorded. */
  tape: Tape;
  signal: AbortSignal;
  /** Told once for each request. */
  onSent?(sent: SentRequest): void;
}

/** After so many failures in a row the rest would fail as well, each with a wait of its own. */
const MAX_FAILURES = 3;
const LEAVE_MS = 500;
/** Whether a connection is idle for too long is for the primary or the recorded agent to say. */
const IDLE_MS = 3_600_000;

/**
 * Replays one run as one agent: one request at a time, each on the connection that stands for the recorded one, after the recorded
 * pause. Never rejects.
 */
export async function replayAgent(options: AgentOptions): Promise<AgentResult> {
  const { script, certname, signal } = options;
  const wire = agentTape(options.tape, certname);
  const upstream = openUpstream({ tape: wire.tape, pool: 'mirror', idleMs: IDLE_MS });
  const sent: SentRequest[] = [];
  const uuids = new Map<string, string>();
  const { transactionUuid } = script.plan;
  if (isUuid(transactionUuid)) uuids.set(transactionUuid, randomUUID());
  const startedAt = Date.now();
  const catalogs = [...script.catalogs];
  const codeIds = new Map<string, string>();
  const shiftMs = startedAt - Date.parse(script.plan.startedAt);
  let failures = 0;
  let end: AgentResult['end'] = 'done';

  for (const step of script.steps) {
    if (!(await pause(paced(step.pauseMs, options.pace), signal))) break;
    if (step.type === 'close') {
      upstream.release(step.connection);
      continue;
    }
    const now = Date.now();
    const fresh: Fresh = { certname: { from: script.plan.certname, to: certname }, uuids, codeIds, now, shiftMs };
    const { request, catalog } = await send(step, fresh, options, wire, upstream);
    sent.push(request);
    options.onSent?.(request);
    if (request.phase === 'catalog') {
      const old = catalogs.shift();
      if (old?.uuid && catalog?.uuid) uuids.set(old.uuid, catalog.uuid);
      if (old?.codeId && catalog?.codeId) codeIds.set(old.codeId, catalog.codeId);
    }
    failures = request.failure === null ? 0 : failures + 1;
    if (failures < MAX_FAILURES) continue;
    end = 'gave-up';
    break;
  }
  if (signal.aborted && end === 'done') end = 'interrupted';
  // A connection that is being opened is waited for, but not by somebody who wants to leave.
  await Promise.race([upstream.close(), ...(signal.aborted ? [sleep(LEAVE_MS, undefined, { ref: false })] : [])]);
  return { certname, script, startedAt, endedAt: Date.now(), sent, connections: wire.count, end };
}

/** Waits, unless it is to end. `false` when it is. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  // Below a millisecond a timer would only add to it.
  if (ms >= 1) await sleep(ms, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}

type SendStep = Extract<ScriptStep, { type: 'send' }>;

/** Sends one request and takes its answer; `catalog` is what an answer that is a catalog is known by. */
function send(
  { planned, request, contentSha256: recordedContent }: SendStep,
  fresh: Fresh,
  { primary, identity, tape, signal, script }: AgentOptions,
  wire: AgentTape,
  upstream: Upstream,
): Promise<{ request: SentRequest; catalog: CatalogIds | null }> {
  const body = freshBody(request, fresh);
  const target = freshTarget(request.method, request.target, fresh);
  const fields = sized(requestFields(request.fields, authority(primary.host, primary.port)), body);
  const presented = planned.certificate ? identity : null;
  const head = { method: request.method, target, httpVersion: '1.1', fields };
  const exchange = newExchange(tape, {
    certname: presented?.certname ?? null,
    route: routeOf(request.method, target),
    agent: { connection: 0 as ConnectionId, ordinal: 0 },
    request: head,
  });
  const { timing } = exchange;
  const before = wire.count.opened;
  const reads = (planned.phase === 'catalog' && script.readsCatalogs) || recordedContent !== null;
  const chunks: Buffer[] = [];

  return new Promise(resolve => {
    let call: Call | null = null;
    let over = false;
    const settle = (failure: Failure | null): void => {
      if (over) return;
      over = true;
      signal.removeEventListener('abort', abandon);
      timing.endMono = mono();
      const latest = wire.latest();
      // It found no connection: it belongs to the one that could not be opened.
      if (exchange.agent.ordinal === 0 && latest !== null) exchange.agent = { connection: latest.id, ordinal: 1 };
      const answered = exchange.response?.fields ?? [];
      const status = exchange.outcome.type === 'answered' ? (exchange.response?.status ?? null) : null;
      const result: SentRequest = {
        recorded: planned.exchange,
        recordedStatus: planned.status,
        compared: planned.compared,
        replayed: exchange.id,
        phase: planned.phase,
        method: head.method,
        target: hideInTarget(target, createHiding()),
        status,
        failure,
        otherContent:
          status === 200 && recordedContent !== null && contentSha256(Buffer.concat(chunks), answered) !== recordedContent,
        answerMs: timing.endMono - (timing.primaryReadyMono ?? timing.startMono),
        totalMs: timing.endMono - timing.startMono,
        responseBytes: exchange.responseBytes,
        opened: wire.count.opened > before,
      };
      const isCatalog = planned.phase === 'catalog' && reads && status === 200;
      const catalog = isCatalog ? catalogIdsIn(Buffer.concat(chunks), answered) : null;
      if (exchange.agent.ordinal > 0) tape.exchange(exchange, () => resolve({ request: result, catalog }));
      else {
        tape.drop(exchange.id);
        resolve({ request: result, catalog });
      }
    };
    const abandon = (): void => {
      if (over) return;
      call?.abort();
      exchange.outcome = { type: 'abandoned' };
      settle(null);
    };
    if (body !== null) {
      tape.tap(exchange.id, 'request').write(body);
      exchange.requestBytes = body.length;
    }
    try {
      call = upstream.send(
        {
          primary,
          identity: presented,
          agentConnection: planned.connection,
          method: head.method,
          target,
          fields,
          body: body === null || body.length === 0 ? null : { open: () => body, resendable: () => true },
          resendable: head.method === 'GET' || head.method === 'HEAD' || planned.phase === 'catalog',
        },
        {
          onReady(use, resent) {
            timing.primaryReadyMono ??= mono();
            timing.requestEndMono = mono();
            exchange.agent = use;
            exchange.resent = resent;
          },
          onInformation: () => undefined,
          onHead(answer) {
            timing.responseHeadMono = mono();
            exchange.response = answer;
            exchange.primaryStatus = answer.status;
          },
          onData(chunk) {
            timing.firstByteMono ??= mono();
            exchange.responseBytes += chunk.length;
            tape.tap(exchange.id, 'response').write(chunk);
            if (reads && exchange.responseBytes <= MAX_CATALOG_BYTES) chunks.push(chunk);
            return tape.ready?.(() => call?.resume()) ?? true;
          },
          onEnd(trailers) {
            exchange.trailers = trailers;
            settle(null);
          },
          onFailure(failure) {
            exchange.outcome = { type: 'failed', failure };
            settle(failure);
          },
        },
      );
    } catch (error) {
      // What undici refuses to send: a field or a target that is no HTTP.
      const failure: Failure = { reason: 'internal', detail: reasonOf(error) };
      exchange.outcome = { type: 'failed', failure };
      settle(failure);
      return;
    }
    signal.addEventListener('abort', abandon, { once: true });
  });
}

/** The fields with the length of what is sent; a body that came without one gets it from undici. */
function sized(fields: Fields, body: RecordedRequest['body']): Fields {
  return fields.map(([name, value]) => [name, name.toLowerCase() === 'content-length' ? String(body?.length ?? 0) : value]);
}
