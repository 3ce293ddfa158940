import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import { codingsOf, decoderOf } from '../decode/encoding.ts';
import { Malformed } from '../decode/limits.ts';
import type { Fields, Side } from '../model.ts';
import { flat, pairs, responseFields } from '../proxy/fields.ts';
import { type Pace, paced } from './pace.ts';
import { asJson, fitOf, takesCoding } from './serve-format.ts';
import type { OwnAnswer } from './serve-own.ts';

/** Larger MessagePack and PSON bodies are sent as recorded instead of being read whole. */
const MAX_CONVERTED_BYTES = 64 * 1024 * 1024;

/** Nothing is added to what is sent: no Date of now, no Connection while the connection stays. */
function writeHead(request: IncomingMessage, response: ServerResponse, status: number, reason: string, fields: Fields): void {
  const http11 = request.httpVersionMajor === 1 && request.httpVersionMinor >= 1;
  response.sendDate = false;
  if (http11 && response.shouldKeepAlive) response.removeHeader('connection');
  const hasBody = status !== 204 && status !== 304;
  // The phrase was read as Latin-1; Node refuses to write anything else.
  response.writeHead(status, reason.replace(/[^\x20-\x7e\x80-\xff]/g, '?'), flat(responseFields(fields, http11 && hasBody)));
}

/** Sends an answer of our own. */
export function sendOwn(request: IncomingMessage, response: ServerResponse, { status, reason, fields, body }: OwnAnswer): void {
  const dated: Fields = [['Date', new Date().toUTCString()], ...fields];
  writeHead(request, response, status, reason, status === 304 ? dated : [...dated, ['Content-Length', String(body.length)]]);
  response.end(request.method === 'HEAD' || status === 304 ? undefined : body);
}

export interface RecordedAnswer {
  exchange: ExchangeDetail;
  /** Whose body is sent: the answer's, or of a file bucket upload the request's. */
  side: Side;
}

/**
 * Sends a recorded answer: status, phrase, fields and body as they were, less what belongs to a connection. A content coding that the
 * request does not take is undone; MessagePack and PSON become JSON for an agent that does not take them.
 * @returns what was done to it, for a person; `null` when it left as recorded
 */
export async function sendRecorded(
  request: IncomingMessage,
  response: ServerResponse,
  store: Store,
  { exchange, side }: RecordedAnswer,
  pace: Pace,
): Promise<string | null> {
  const arrived = performance.now();
  const { startMono, responseHeadMono, endMono } = exchange.timing;
  const asked = pairs(request.rawHeaders);
  const status = exchange.response?.status ?? 200;
  const recorded: Fields =
    side === 'response' ? (exchange.response?.fields ?? []) : [['Content-Type', 'application/octet-stream']];
  const info = exchange.bodies.find(one => one.side === side);
  const fit = fitOf(asked, recorded, status);
  const codings = codingsOf(recorded);
  const undone = codings.every(coding => takesCoding(asked, coding)) ? [] : codings;

  const untilMono = async (mono: number): Promise<void> => {
    const left = paced(Math.max(0, mono - startMono), pace) - (performance.now() - arrived);
    if (left >= 1) await sleep(left);
  };
  await untilMono(responseHeadMono ?? endMono);
  if (response.destroyed) return null;

  if (fit.type === 'to-json' && (info?.kept ?? 0) <= MAX_CONVERTED_BYTES) {
    const body = jsonBody(store, exchange.id, side, recorded);
    if (body !== null) {
      const fields = without(recorded, 'content-encoding', 'content-length', 'transfer-encoding').map(
        ([name, value]): [string, string] => [name, name.toLowerCase() === 'content-type' ? `${fit.mime}; charset=utf-8` : value],
      );
      writeHead(request, response, status, exchange.response?.reason ?? 'OK', [
        ...fields,
        ['Content-Length', String(body.length)],
      ]);
      response.end(request.method === 'HEAD' ? undefined : body);
      return `recorded in another format than is accepted now: sent as ${fit.mime}`;
    }
  }
  const fields = undone.length === 0 ? recorded : without(recorded, 'content-encoding', 'content-length');
  writeHead(request, response, status, exchange.response?.reason ?? 'OK', fields);
  if (request.method === 'HEAD' || info === undefined) {
    await untilMono(endMono);
    response.end();
  } else {
    response.flushHeaders();
    const decoders = [...undone].reverse().map((coding): Transform => {
      const decoder = decoderOf(coding);
      if (decoder === null) throw new Malformed(`content coding ${coding.slice(0, 40)} is not known`);
      return decoder;
    });
    // Its last piece not before its time: what a slow primary took is seen by the agent.
    const pieces = Readable.from(
      held(store.body(exchange.id, side), () => untilMono(endMono)),
      { objectMode: false },
    );
    for (const [name, value] of exchange.trailers) if (response.chunkedEncoding) response.addTrailers([[name, value]]);
    await pipeline([pieces, ...decoders, response]);
  }
  if (fit.type === 'misfit') return `recorded as ${fit.recorded}, and the request takes only ${fit.accepts}: sent all the same`;
  return undone.length > 0 ? `recorded as ${undone.join(', ')}, which the request does not take: sent without` : null;
}

/** The pieces, the last one only when `last` resolves. */
async function* held(pieces: Iterable<Uint8Array>, last: () => Promise<void>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array | null = null;
  for (const piece of pieces) {
    if (waiting !== null) yield waiting;
    waiting = piece;
  }
  await last();
  if (waiting !== null && waiting.length > 0) yield waiting;
}

function jsonBody(store: Store, exchange: number, side: Side, recorded: Fields): Buffer | null {
  try {
    return asJson(Buffer.concat([...store.body(exchange, side)]), recorded);
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

function without(fields: Fields, ...names: readonly string[]): Fields {
  return fields.filter(([name]) => !names.includes(name.toLowerCase()));
}
