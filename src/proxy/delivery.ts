import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BodyTap, Exchange, Failure, Fields, Outcome, ResponseHead, Side, Tape, Use } from '../model.ts';
import { answerTo } from './failure.ts';
import { contentLength, flat, pairs, responseFields } from './fields.ts';
import type { AgentConnection } from './intercept.ts';
import { mono } from './tracking.ts';

/**
 * The agent's side of one exchange: what is written to it, what is put on the tape, and in which order. Captured before delivered:
 * the last byte of an answer leaves only when the tape has the exchange.
 *
 *   head ──▶ data* ──▶ end ──▶ (committed) ──▶ last byte
 *     └─────────┴── fail: an error answer when no head was sent, else the connection is cut
 *   the agent may go away anywhere: abandoned
 */
export interface Delivery {
  readonly exchange: Exchange;
  tap(side: Side): BodyTap;
  requestEnded(): void;
  requestBytes(count: number): void;
  ready(use: Use, resent: number): void;
  information(status: number, fields: Fields): void;
  head(head: ResponseHead): void;
  /** @returns false when the agent or the tape cannot take more for now; `onDrain` runs when it can */
  data(chunk: Buffer): boolean;
  end(trailers: Fields): void;
  fail(failure: Failure): void;
  /** A whole answer of our own making. */
  answer(status: number, reason: string, fields: Fields, body: Buffer): void;
  readonly over: boolean;
}

export interface DeliveryHooks {
  onDrain(): void;
  /** The agent went away before the answer was complete. */
  onAbandoned(): void;
}

export function deliver(
  tape: Tape,
  agent: AgentConnection,
  request: IncomingMessage,
  response: ServerResponse,
  opening: Pick<Exchange, 'route' | 'certname'> & { target: string },
  hooks: DeliveryHooks,
): Delivery {
  const start = mono();
  const exchange: Exchange = {
    id: tape.exchangeId(),
    certname: opening.certname,
    route: opening.route,
    agent: { connection: agent.record.id, ordinal: agent.record.exchanges },
    primary: null,
    resent: 0,
    answeredBy: 'primary',
    request: {
      method: request.method ?? '',
      target: opening.target,
      httpVersion: request.httpVersion,
      fields: pairs(request.rawHeaders),
    },
    response: null,
    primaryStatus: null,
    trailers: [],
    startedAt: Date.now(),
    timing: {
      startMono: start,
      requestEndMono: null,
      primaryReadyMono: null,
      responseHeadMono: null,
      firstByteMono: null,
      endMono: start,
    },
    requestBytes: 0,
    responseBytes: 0,
    outcome: { type: 'answered' },
  };
  const { timing } = exchange;
  const http11 = request.httpVersionMajor === 1 && request.httpVersionMinor >= 1;
  let responseTap: BodyTap | null = null;
  /** The newest chunk: it waits one turn, so that a short answer leaves whole in one write after the commit. */
  let waiting: Buffer | null = null;
  let flush: NodeJS.Immediate | null = null;
  let expected: number | null = null;
  let over = false;
  /** Who asked for a pause: the primary goes on when neither needs one any more. */
  let agentIsFull = false;
  let tapeIsFull = false;

  function drained(): void {
    if (!agentIsFull && !tapeIsFull) hooks.onDrain();
  }

  response.on('drain', () => {
    agentIsFull = false;
    drained();
  });
  response.once('close', () => {
    if (over) return;
    settle({ type: 'abandoned' }, () => undefined);
    hooks.onAbandoned();
  });

  /** Ends the exchange for the tape; `last` writes what completes the answer. */
  function settle(outcome: Outcome, last: () => void): void {
    over = true;
    if (flush) clearImmediate(flush);
    timing.endMono = mono();
    exchange.outcome = outcome;
    tape.exchange(exchange, last);
  }

  function writeHead(head: ResponseHead): void {
    const hasBody = head.status !== 204 && head.status !== 304;
    const fields = responseFields(head.fields, http11 && hasBody);
    // Nothing is added to what the primary sent: no Date, no Connection while the connection stays (an HTTP/1.0 agent needs it).
    response.sendDate = false;
    if (http11 && response.shouldKeepAlive) response.removeHeader('connection');
    // undici reads the phrase as UTF-8; what was none, or no Latin-1, Node would refuse to write.
    response.writeHead(head.status, head.reason.replace(/[^\x20-\x7e\x80-\xff]/g, '?'), flat(fields));
  }

  function writeWaiting(): void {
    if (!waiting) return;
    const chunk = waiting;
    waiting = null;
    if (!response.write(chunk)) agentIsFull = true;
  }

  function askTape(): void {
    if (tapeIsFull || !tape.ready) return;
    tapeIsFull = true;
    const isReady = tape.ready(() => {
      tapeIsFull = false;
      drained();
    });
    if (isReady) tapeIsFull = false;
  }

  function answer(status: number, reason: string, fields: Fields, body: Buffer, outcome: Outcome): void {
    const dated: Fields = [['Date', new Date().toUTCString()], ...fields];
    // RFC 9110 section 8.6: in a 304 it would be the length of the 200.
    const all: Fields = status === 304 ? dated : [...dated, ['Content-Length', String(body.length)]];
    exchange.answeredBy = 'proxy';
    exchange.response = { status, reason, fields: all };
    timing.responseHeadMono = mono();
    const bodiless = request.method === 'HEAD' || status === 304;
    if (!bodiless && body.length > 0) {
      timing.firstByteMono = timing.responseHeadMono;
      exchange.responseBytes = body.length;
      tape.tap(exchange.id, 'response').write(body);
    }
    settle(outcome, () => {
      if (response.destroyed) return;
      writeHead({ status, reason, fields: all });
      response.end(bodiless ? undefined : body);
    });
  }

  return {
    exchange,
    get over() {
      return over;
    },
    tap: side => tape.tap(exchange.id, side),
    requestEnded() {
      timing.requestEndMono = mono();
    },
    requestBytes(count) {
      exchange.requestBytes += count;
    },
    ready(use, resent) {
      timing.primaryReadyMono ??= mono();
      exchange.primary = use;
      exchange.resent = resent;
    },
    information(status, fields) {
      if (http11 && !over) response.writeInformation(status, flat(responseFields(fields, false)));
    },
    head(head) {
      timing.responseHeadMono = mono();
      exchange.primaryStatus = head.status;
      expected = request.method === 'HEAD' || head.status === 204 || head.status === 304 ? 0 : contentLength(head.fields);
      writeHead(head); // throws on a field that Node will not write; then no answer has begun
      exchange.response = head;
      flush = setImmediate(() => {
        flush = null;
        if (over) return;
        if (expected === null || exchange.responseBytes < expected) {
          if (waiting) writeWaiting();
          else response.flushHeaders();
        }
      });
    },
    data(chunk) {
      timing.firstByteMono ??= mono();
      responseTap ??= tape.tap(exchange.id, 'response');
      responseTap.write(chunk);
      exchange.responseBytes += chunk.length;
      askTape();
      writeWaiting();
      waiting = chunk;
      const last = expected !== null && exchange.responseBytes >= expected;
      if (flush === null && !last) writeWaiting();
      return !agentIsFull && !tapeIsFull;
    },
    end(trailers) {
      exchange.trailers = trailers;
      settle({ type: 'answered' }, () => {
        if (response.destroyed) return;
        if (trailers.length > 0 && response.chunkedEncoding)
          response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
        response.end(waiting ?? undefined);
      });
    },
    fail(failure) {
      if (over) return;
      if (exchange.response !== null) {
        settle({ type: 'failed', failure }, () => {
          agent.ending.note('proxy', 'aborted');
          // To an agent of HTTP/1.0 an orderly end would say that the body is whole.
          if (expected === null && !response.chunkedEncoding) agent.cut();
          response.destroy();
        });
        return;
      }
      const { status, reason, message, issueKind } = answerTo(failure);
      const body = Buffer.from(`${JSON.stringify({ message, issue_kind: issueKind })}\n`);
      answer(status, reason, [['Content-Type', 'application/json;charset=utf-8']], body, { type: 'failed', failure });
    },
    answer: (status, reason, fields, body) => answer(status, reason, fields, body, { type: 'answered' }),
  };
}
