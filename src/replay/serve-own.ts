import { path } from '../decode/route.ts';
import type { Certname, Fields, Route } from '../model.ts';
import type { NearMiss } from './match.ts';

/** A whole answer of our own making. */
export interface OwnAnswer {
  status: number;
  reason: string;
  fields: Fields;
  body: Buffer;
}

export function text(status: number, reason: string, body: string): OwnAnswer {
  return { status, reason, fields: [['Content-Type', 'text/plain']], body: Buffer.from(body) };
}

/** An empty answer of a file server. */
export function noBytes(): OwnAnswer {
  return { status: 200, reason: 'OK', fields: [['Content-Type', 'application/octet-stream']], body: Buffer.alloc(0) };
}

/** What auth.conf leaves open to anybody, beside the bootstrap. */
const OPEN = /^\/status\/v1\/simple(?:\/|$)/;

/** Why Puppet's auth.conf would refuse a request, `null` when it would not. */
export function refusalOf(route: Route, target: string, certname: Certname | null, refusal: string | null): string | null {
  if (certname === null) {
    if (OPEN.test(path(target))) return null;
    return refusal === null ? 'no certificate' : `the certificate was refused: ${refusal}`;
  }
  const own = route.phase === 'node' || route.phase === 'catalog' || route.phase === 'report';
  return own && route.key !== null && route.key !== certname ? `it is of another than ${certname}` : null;
}

/** Puppet Server's 403, with the reason. */
export function forbidden(method: string, target: string, why: string): OwnAnswer {
  return text(403, 'Forbidden', `Forbidden request: ${path(target)} (method :${method.toLowerCase()}): ${why}`);
}

/**
 * What a primary answers whatever is in a capture: it is up, and its file bucket has nothing and takes everything. An agent's own
 * files differ from those of the recorded agent, and so does what it backs up.
 */
export function ownAnswer({ indirection }: Route, method: string, target: string): OwnAnswer | null {
  if (OPEN.test(path(target))) return text(200, 'OK', 'running');
  if (indirection !== 'file_bucket_file') return null;
  return method === 'PUT' ? noBytes() : text(404, 'Not Found', 'Not Found: Could not find file_bucket_file');
}

/** Body of the answer to a request that was not recorded: the agent prints its message. */
export function notRecorded(status: 404 | 500, method: string, target: string, near: readonly NearMiss[]): OwnAnswer {
  const [closest] = near;
  const difference = closest?.differs[0];
  const hint =
    difference === undefined ? '' : `; the closest recorded one differs in ${difference.field}: ${difference.recorded ?? 'none'}`;
  const message = `stringtap serve has no recorded answer to ${method} ${target}${hint}`;
  const body = Buffer.from(`${JSON.stringify({ message, issue_kind: 'STRINGTAP_NOT_RECORDED' })}\n`);
  return { status, reason: 'Not recorded', fields: [['Content-Type', 'application/json;charset=utf-8']], body };
}
