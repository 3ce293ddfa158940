import { isUtf8 } from 'node:buffer';
import { compareRuns } from '../analysis/compare.ts';
import type { BodyData, ExchangeData, RunData } from '../analysis/compare-data.ts';
import { plainBytes, sha256 } from '../analysis/compare-decoded.ts';
import type { CompareOptions } from '../analysis/compare-exchange.ts';
import type { RunComparison } from '../analysis/compare-result.ts';
import { exchangeData, runData } from '../capture/run-data.ts';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import { decodeExchange } from '../decode/decode.ts';
import { fieldValue } from '../decode/encoding.ts';
import { routeOf } from '../decode/route.ts';
import type { Certname, ExchangeId, Fields, Phase, RunId } from '../model.ts';
import type { AgentResult } from './agents-run.ts';

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
  const compared = result.sent.filter(one => one.compared && (one.status !== null || one.failure !== null));
  const { run, certname } = result.script.plan;
  const a = dataOf(
    recorded,
    run,
    certname,
    compared.map(one => one.recorded),
  );
  const [first] = compared;
  const own = first === undefined ? null : (replayed.exchange(first.replayed)?.run ?? null);
  const b = dataOf(
    replayed,
    own,
    result.certname,
    compared.map(one => one.replayed),
  );
  const names = { from: result.certname, to: certname };
  return { result, comparison: withoutOwnWords(compareRuns(a, renamed(b, names), options), factNames(a), names) };
}

/** A run that went out under another name, with the recorded name again: what differs by its name alone is no difference. */
function renamed(run: RunData, { from, to }: { from: string; to: string }): RunData {
  if (from === to) return run;
  const body = (data: BodyData | null, fields: Fields): BodyData | null => {
    const plain = plainBytes(data, fields);
    // Strings of MessagePack have their length in front; bytes that are no text are nobody's name.
    if (data === null || plain === null || !isUtf8(plain) || /msgpack/.test(fieldValue(fields, 'content-type') ?? ''))
      return data;
    const bytes = Buffer.from(Buffer.from(plain).toString('utf8').replaceAll(from, to));
    return { ...data, bytes, sizeBytes: bytes.length, sha256: sha256(bytes) };
  };
  const exchanges = run.exchanges.map(exchange => {
    const { requestFields, responseFields } = exchange;
    const request = body(exchange.request, requestFields);
    const response = body(exchange.response, responseFields);
    const plain = response === exchange.response ? responseFields : withoutCoding(responseFields);
    return { ...exchange, target: exchange.target.replaceAll(from, to), request, response, responseFields: plain };
  });
  return { ...run, certname: to, exchanges };
}

function withoutCoding(fields: Fields): Fields {
  return fields.filter(([name]) => name.toLowerCase() !== 'content-encoding');
}

/** Trusted facts that are made of the certname (Puppet::Context::TrustedInformation). */
const HALVES: ReadonlySet<string> = new Set(['hostname', 'domain']);

/**
 * Node parameters that are facts of this agent: the primary stores what the agent sent last and merges it into the next answer to a node
 * request (`indirector/node`), so that a first run is answered without them, and its replay with them.
 */
function withoutOwnWords(
  comparison: RunComparison,
  facts: ReadonlySet<string>,
  { from, to }: { from: string; to: string },
): RunComparison {
  const isOwn = ([first = '', second = '']: readonly string[]): boolean =>
    (first === 'parameters' && facts.has(second)) || (first === 'trusted' && from !== to && HALVES.has(second));
  const node = comparison.node?.filter(({ path }) => !isOwn(path)) ?? null;
  const counts = { ...comparison.counts, node: node?.length ?? 0 };
  return { ...comparison, node, counts, same: Object.values(counts).every(count => count === 0) };
}

/** Names of the facts that a run's catalog requests carry, at the top. */
function factNames({ exchanges }: RunData): ReadonlySet<string> {
  const names = exchanges.flatMap(({ method, target, requestFields, request }) => {
    const route = routeOf(method, target);
    if (route.phase !== 'catalog' || request === null) return [];
    const head = { route, method, target, status: null, requestFields, responseFields: [] };
    const decoded = decodeExchange({ ...head, request: request.bytes, response: null });
    const asked =
      decoded.phase === 'catalog' && decoded.request !== null && 'value' in decoded.request ? decoded.request.value : null;
    return asked?.facts != null && 'value' in asked.facts ? [...asked.facts.value.values.keys()] : [];
  });
  return new Set(names);
}

/** These exchanges as a run, with what the capture says of the run that they are from. */
function dataOf(store: Store, id: RunId | null, certname: Certname, ids: readonly ExchangeId[]): RunData {
  const row = id === null ? null : store.run(id);
  const run: RunData = row === null ? { ...NO_RUN, capture: store.file, certname } : runData(store, row);
  const read = new Map(run.exchanges.map(exchange => [exchange.id, exchange]));
  const details = ids.flatMap(exchange => store.exchange(exchange) ?? []);
  const connections = [...new Set(details.map(({ agentConnection }) => agentConnection))].flatMap(connection => {
    const found = store.connection(connection);
    return found === null ? [] : [{ leg: found.leg, tlsVersion: found.tlsVersion, resumed: found.resumed }];
  });
  const exchanges = details.map(detail => bootstrapApart(read.get(`e${detail.id}`) ?? exchangeData(store, detail), detail));
  return { ...run, certname, connections, exchanges };
}

const NO_RUN: RunData = {
  id: null,
  capture: null,
  certname: '',
  environment: null,
  puppetVersion: null,
  startedAt: null,
  durationMs: null,
  exchanges: [],
  connections: [],
};

const BOOTSTRAP: ReadonlySet<Phase> = new Set(['ca', 'crl', 'csr', 'certificate']);

/**
 * The bootstrap is compared by its statuses: CA bundle, revocation lists and certificates are each primary's own, and those that a proxy
 * answered are the proxy's.
 */
function bootstrapApart(exchange: ExchangeData, { phase, primaryStatus }: ExchangeDetail): ExchangeData {
  if (!BOOTSTRAP.has(phase)) return exchange;
  const status = primaryStatus ?? exchange.status;
  return {
    ...exchange,
    status,
    answeredBy: 'primary',
    fault: null,
    requestFields: [],
    responseFields: [],
    request: null,
    response: null,
  };
}
