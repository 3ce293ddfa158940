import { compareRuns } from '../analysis/compare.ts';
import type { BodyData, ConnectionData, ExchangeData, RunData } from '../analysis/compare-data.ts';
import type { CompareOptions } from '../analysis/compare-exchange.ts';
import type { RunComparison } from '../analysis/compare-result.ts';
import type { BodyInfo, ConnectionRow, ExchangeDetail, RunRow, Store } from '../capture/store.ts';
import type { ExchangeId, Phase, Side } from '../model.ts';
import type { AgentResult } from './agents-run.ts';

/** Larger bodies are told apart by their digests. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** A replayed run beside the recorded one. */
export interface ReplayedComparison {
  result: AgentResult;
  comparison: RunComparison;
}

/**
 * Compares what was recorded with what the replay got, request by request. What the replay left out is not missed: only what was sent
 * is compared. Both sides are read from captures, so that it is the same comparison that `stringtap diff` makes.
 *
 * @param recorded the capture that was replayed
 * @param replayed the capture of the replay
 */
export function compareReplay(
  recorded: Store,
  replayed: Store,
  result: AgentResult,
  options: CompareOptions = {},
): ReplayedComparison {
  const run = recorded.run(result.script.plan.run);
  const ids = result.sent.filter(({ status, failure }) => status !== null || failure !== null);
  const a = runData(
    recorded,
    run,
    result.script.plan.certname,
    ids.map(one => one.recorded),
    'agent',
  );
  const exchange = ids[0] === undefined ? null : replayed.exchange(ids[0].replayed);
  const own = exchange?.run == null ? null : replayed.run(exchange.run);
  const b = runData(
    replayed,
    own,
    result.certname,
    ids.map(one => one.replayed),
    'agent',
  );
  return { result, comparison: compareRuns(a, b, options) };
}

function runData(store: Store, run: RunRow | null, certname: string, ids: readonly ExchangeId[], leg: 'agent'): RunData {
  const details = ids.flatMap(id => store.exchange(id) ?? []);
  const connections = new Set(details.map(({ agentConnection }) => agentConnection));
  return {
    id: run === null ? null : `r${run.id}`,
    capture: store.file,
    certname,
    environment: run?.environment ?? null,
    puppetVersion: run?.puppetVersion ?? null,
    startedAt: run?.startedAt ?? null,
    durationMs: run?.endedAt == null ? null : Date.parse(run.endedAt) - Date.parse(run.startedAt),
    exchanges: details.map(detail => exchangeData(store, detail)),
    connections: [...connections].flatMap(id => connectionData(store.connection(id), leg)),
  };
}

function connectionData(row: ConnectionRow | null, leg: 'agent'): ConnectionData[] {
  return row === null ? [] : [{ leg, tlsVersion: row.tlsVersion, resumed: row.resumed }];
}

/**
 * The bootstrap is compared by its statuses: CA bundle, revocation lists and certificates are each primary's own, and those that a
 * proxy answered are the proxy's.
 */
const BY_STATUS: ReadonlySet<Phase> = new Set(['ca', 'crl', 'csr', 'certificate']);

function exchangeData(store: Store, detail: ExchangeDetail): ExchangeData {
  const byStatus = BY_STATUS.has(detail.phase);
  const body = (side: Side): BodyData | null => (byStatus ? null : bodyData(store, detail, side));
  return {
    id: `e${detail.id}`,
    method: detail.method,
    target: detail.target,
    status: byStatus ? (detail.primaryStatus ?? detail.status) : detail.status,
    outcome: detail.outcome,
    failure: detail.failure?.reason ?? null,
    answeredBy: byStatus ? 'primary' : detail.answeredBy,
    requestFields: byStatus ? [] : detail.request.fields,
    responseFields: byStatus ? [] : (detail.response?.fields ?? []),
    request: body('request'),
    response: body('response'),
    durationMs: detail.durationMs,
  };
}

function bodyData(store: Store, detail: ExchangeDetail, side: Side): BodyData | null {
  const info: BodyInfo | undefined = detail.bodies.find(one => one.side === side);
  if (info === undefined) return null;
  const bytes = info.kept > MAX_BODY_BYTES ? null : Buffer.concat([...store.body(detail.id, side)]);
  return { sha256: info.sha256, sizeBytes: info.size, complete: info.cut === null, bytes };
}
