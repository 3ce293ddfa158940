import type { BodyData, ConnectionData, ExchangeData, RunData } from '../analysis/compare-data.ts';
import { plainBytes } from '../analysis/compare-decoded.ts';
import { MAX_TEXT_BYTES } from '../analysis/compare-text.ts';
import type { Side } from '../model.ts';
import type { BodyInfo, ExchangeDetail, RunRow } from './shapes.ts';
import type { Store } from './store-shape.ts';

/*
 * Runs and exchanges of a capture as the comparison takes them.
 */

/** A body that is larger is told apart by its digest: catalogs and reports of the largest sites are below it. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** All bodies of a run that are read. */
const MAX_RUN_BYTES = 256 * 1024 * 1024;
/** Contents that are looked up elsewhere in the capture. */
const MAX_CONTENTS = 1000;

/** @throws CaptureError when the file cannot be read */
export function exchangeData(store: Store, exchange: ExchangeDetail, limitBytes = MAX_BODY_BYTES): ExchangeData {
  const { method, target, fields } = exchange.request;
  const body = (side: Side): BodyData | null => {
    const info = exchange.bodies.find(one => one.side === side);
    return info === undefined ? null : bodyData(store, exchange.id, info, limitBytes);
  };
  return {
    id: `e${exchange.id}`,
    method,
    target,
    status: exchange.status,
    outcome: exchange.outcome,
    failure: exchange.failure?.reason ?? null,
    answeredBy: exchange.answeredBy,
    fault: exchange.fault,
    requestFields: fields,
    responseFields: exchange.response?.fields ?? [],
    request: body('request'),
    response: body('response'),
    durationMs: exchange.durationMs,
  };
}

function bodyData(store: Store, exchange: number, { side, sha256, size, kept, cut }: BodyInfo, limitBytes: number): BodyData {
  const bytes = kept > limitBytes ? null : new Uint8Array(Buffer.concat([...store.body(exchange, side)]));
  return { sha256, sizeBytes: size, complete: cut === null, bytes };
}

/**
 * A run with the bodies of its exchanges. Of a run with more than 256 MiB of bodies, those that no longer fit are left where they are; the comparison
 * then knows their digests.
 *
 * @throws CaptureError when the file cannot be read
 */
export function runData(store: Store, run: RunRow): RunData {
  let left = MAX_RUN_BYTES;
  const exchanges: ExchangeData[] = [];
  for (const { id } of store.exchanges({ run: run.id })) {
    const detail = store.exchange(id);
    if (detail === null) continue;
    const data = exchangeData(store, detail, Math.min(left, MAX_BODY_BYTES));
    left -= (data.request?.bytes?.length ?? 0) + (data.response?.bytes?.length ?? 0);
    exchanges.push(data);
  }
  const connections = [...store.connections({ run: run.id })].map(
    ({ leg, tlsVersion, resumed }): ConnectionData => ({ leg, tlsVersion, resumed }),
  );
  const endedAt = run.endedAt === null ? null : Date.parse(run.endedAt);
  return {
    id: `r${run.id}`,
    capture: store.file,
    certname: run.certname,
    environment: run.environment,
    puppetVersion: run.puppetVersion,
    startedAt: run.startedAt,
    durationMs: endedAt === null ? null : endedAt - Date.parse(run.startedAt),
    exchanges,
    connections,
    contents: contentsOf(store, run),
  };
}

/**
 * Contents that the metadata of a run promises and that some exchange of the capture carried: a run fetches only what the agent does not have, and
 * what it had is in an earlier run.
 */
function contentsOf(store: Store, run: RunRow): ReadonlyMap<string, Uint8Array> {
  const own = store.decoded.rows('file_metadata', { run: run.id });
  const promised = new Set(own.flatMap(row => (row.checksum === null ? [] : [`{${row.checksumType ?? ''}}${row.checksum}`])));
  const found = new Map<string, Uint8Array>();
  if (promised.size === 0) return found;
  for (const { exchange, side, sha256, md5, complete, bytes } of store.decoded.rows('file_content', {})) {
    const names = [`{sha256}${sha256}`, `{md5}${md5}`].filter(name => promised.has(name) && !found.has(name));
    if (names.length === 0 || !complete || bytes > MAX_TEXT_BYTES || found.size >= MAX_CONTENTS) continue;
    const detail = store.exchange(exchange);
    const content = detail === null ? null : plainContent(store, detail, side);
    if (content !== null) for (const name of names) found.set(name, content);
  }
  return found;
}

function plainContent(store: Store, exchange: ExchangeDetail, side: Side): Uint8Array | null {
  const { requestFields, responseFields, request, response } = exchangeData(store, exchange, MAX_TEXT_BYTES);
  return side === 'request' ? plainBytes(request, requestFields) : plainBytes(response, responseFields);
}
