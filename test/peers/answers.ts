import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';

/** What a primary answers, before it is framed. */
export interface Answer {
  status: number;
  /** `null`: no Content-Type, as on the 403s of Puppet Server. */
  type: string | null;
  body: Buffer;
  /** Content-Length instead of chunks. */
  sized?: boolean;
  /** Never gzip. */
  plain?: boolean;
  /** Further fields, last. */
  fields?: readonly (readonly [name: string, value: string])[];
}

export const TEXT = 'text/plain';
export const JSON_TYPE = 'application/json;charset=utf-8';

export function text(status: number, body: string): Answer {
  return { status, type: TEXT, body: Buffer.from(body) };
}

export function json(status: number, value: unknown, type: string = JSON_TYPE): Answer {
  return { status, type, body: Buffer.from(JSON.stringify(value)) };
}

/** An error of Puppet's Ruby code: JSON with a message and a kind. */
export function fault(status: number, message: string, kind: 'RUNTIME_ERROR' | 'RESOURCE_NOT_FOUND'): Answer {
  return json(status, { message, issue_kind: kind });
}

export function forbidden(method: string, path: string): Answer {
  const message = `Forbidden request: ${path} (method :${method.toLowerCase()}). Please see the server logs for details.`;
  return { status: 403, type: null, body: Buffer.from(message), sized: true };
}

/** Jetty's GzipHandler leaves shorter bodies alone. */
const GZIP_FROM_BYTES = 32;

const REASONS = new Map([
  [200, 'OK'],
  [304, 'Not Modified'],
  [400, 'Bad Request'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [415, 'Unsupported Media Type'],
  [500, 'Internal Server Error'],
]);

/**
 * Writes an answer as Puppet Server 7 does: Date first, X-Puppet-Version, no Server, no Connection and no Keep-Alive field; gzip of
 * GET and POST 200 bodies of any type from 32 bytes on; chunked but for the sized ones.
 */
export function send(request: IncomingMessage, response: ServerResponse, answer: Answer, version: string, close: boolean): void {
  const method = request.method ?? '';
  const candidate = answer.status === 200 && (method === 'GET' || method === 'POST') && answer.plain !== true;
  const accepts = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const zipped = candidate && accepts && answer.body.length >= GZIP_FROM_BYTES;
  const body = zipped ? gzipSync(answer.body) : answer.body;
  const bodiless = answer.status === 304;
  const fields: string[] = ['Date', new Date().toUTCString()];
  if (answer.type !== null) fields.push('Content-Type', answer.type);
  fields.push('X-Puppet-Version', version);
  if (candidate) fields.push('Vary', 'Accept-Encoding, User-Agent');
  if (zipped) fields.push('Content-Encoding', 'gzip');
  for (const [name, value] of answer.fields ?? []) fields.push(name, value);
  if (answer.sized === true) fields.push('Content-Length', String(body.length));
  else if (!bodiless) fields.push('Transfer-Encoding', 'chunked');
  response.sendDate = false;
  if (close) fields.push('Connection', 'close');
  else response.removeHeader('connection');
  response.writeHead(answer.status, REASONS.get(answer.status) ?? 'OK', fields);
  response.end(bodiless || method === 'HEAD' ? undefined : body);
}
