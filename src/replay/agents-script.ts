import { createHash } from 'node:crypto';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import { field, textOf, unwrap } from '../decode/data.ts';
import { bodyOf as bodyIn, parseBody } from '../decode/format.ts';
import { DEFAULT_LIMITS, Malformed } from '../decode/limits.ts';
import type { ConnectionId, Side } from '../model.ts';
import { isUuid, type RecordedRequest } from './agents-fresh.ts';
import type { PlannedRequest, RunPlan } from './agents-plan.ts';

/** What a replayed agent does next; as {@link PlannedStep}, with what is sent. */
export type ScriptStep =
  | { type: 'send'; pauseMs: number; planned: PlannedRequest; request: RecordedRequest; contentSha256: string | null }
  | { type: 'close'; pauseMs: number; connection: ConnectionId };

/** By what a catalog is known; `null` when it does not say, or cannot be read. */
export interface CatalogIds {
  uuid: string | null;
  /** Version of the code, with static catalogs. */
  codeId: string | null;
}

/** A run with all that it sends, read from the capture once and shared by all agents that replay it. */
export interface Script {
  plan: RunPlan;
  /** Requests that are left out are not among them; the pauses around them are. */
  steps: readonly ScriptStep[];
  /** Of the recorded catalogs, in their order: their file requests and their report name them. */
  catalogs: readonly CatalogIds[];
  /** Something names them. */
  readsCatalogs: boolean;
}

export function readScript(store: Store, plan: RunPlan): Script {
  const catalogs: CatalogIds[] = [];
  let carriedMs = 0;
  const steps = plan.steps.flatMap((step): ScriptStep[] => {
    if (step.type === 'close') return [step];
    if (step.request.omitted !== null) {
      carriedMs += step.pauseMs;
      return [];
    }
    const pauseMs = step.pauseMs + carriedMs;
    carriedMs = 0;
    const detail = store.exchange(step.request.exchange);
    if (detail === null) return [];
    if (step.request.phase === 'catalog') catalogs.push(recordedCatalog(store, step.request));
    const body = detail.bodies.some(({ side }) => side === 'request') ? bodyOf(store, step.request.exchange, 'request') : null;
    const request = { method: detail.method, target: detail.target, fields: detail.request.fields, body };
    return [{ type: 'send', pauseMs, planned: step.request, request, contentSha256: contentOf(store, detail) }];
  });
  const reports = steps.some(step => step.type === 'send' && step.planned.phase === 'report');
  return { plan, steps, catalogs, readsCatalogs: reports || catalogs.some(({ codeId }) => codeId !== null) };
}

/** At most 64 MiB: the plan has left out what is larger. */
function bodyOf(store: Store, exchange: number, side: Side): Buffer {
  return Buffer.concat([...store.body(exchange, side)]);
}

/** Answers are read into memory for each agent that is under way: a larger file is not compared. */
const MAX_CONTENT_BYTES = 1024 * 1024;
/** The largest catalog whose ids are read; a report on a larger one names the recorded one. */
export const MAX_CATALOG_BYTES = 16 * 1024 * 1024;

/** Digest of the content of a file, which must come again as it was; `null` for any other answer, and for one that is not all there. */
function contentOf(store: Store, detail: ExchangeDetail): string | null {
  const body = detail.bodies.find(({ side }) => side === 'response');
  const isContent = detail.indirection === 'file_content' || detail.indirection === 'static_file_content';
  if (!isContent || detail.status !== 200 || body === undefined || body.cut !== null || body.kept > MAX_CONTENT_BYTES)
    return null;
  return contentSha256(bodyOf(store, detail.id, 'response'), detail.response?.fields ?? []);
}

/** SHA-256 of a body without its content codings; `null` when they cannot be undone. */
export function contentSha256(raw: Uint8Array, fields: RecordedRequest['fields']): string | null {
  try {
    return createHash('sha256')
      .update(bodyIn(raw, fields, DEFAULT_LIMITS).bytes)
      .digest('hex');
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return null;
    throw error;
  }
}

const UNKNOWN: CatalogIds = { uuid: null, codeId: null };

/** The answer to a catalog request. */
function recordedCatalog(store: Store, { exchange }: PlannedRequest): CatalogIds {
  const detail = store.exchange(exchange);
  const kept = detail?.bodies.find(({ side }) => side === 'response')?.kept ?? 0;
  if (detail?.status !== 200 || kept === 0 || kept > MAX_CATALOG_BYTES) return UNKNOWN;
  return catalogIdsIn(bodyOf(store, exchange, 'response'), detail.response?.fields ?? []);
}

/** The ids of a catalog as it was on the wire: JSON, PSON or MessagePack, with its content coding. */
export function catalogIdsIn(raw: Uint8Array, fields: RecordedRequest['fields']): CatalogIds {
  try {
    const body = bodyIn(raw, fields, DEFAULT_LIMITS);
    const catalog = unwrap(parseBody(body, DEFAULT_LIMITS));
    const uuid = textOf(field(catalog, 'catalog_uuid'));
    const codeId = textOf(field(catalog, 'code_id'));
    // An id is ASCII and short; anything else is not put into other requests.
    return { uuid: isUuid(uuid) ? uuid : null, codeId: codeId !== null && /^[\x21-\x7e]{1,255}$/.test(codeId) ? codeId : null };
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return UNKNOWN;
    throw error;
  }
}
