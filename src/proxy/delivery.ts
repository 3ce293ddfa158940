import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BodyTap, Exchange, Failure, Fields, Outcome, ResponseHead, Side, Tape, Use } from '../model.ts';
import { answerTo } from './failure.ts';
import { contentLength, field, flat, pairs, responseFields } from './fields.ts';
import type { AgentConnection } from './intercept.ts';
import { passed } from './passing.ts';
import { mono, newExchange } from './tracking.ts';

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
  /** Puts on the tape what does not go to the agent. @returns as of {@link data} */
  copy(tap: BodyTap, chunk: Buffer): boolean;
  requestEnded(): void;
  requestBytes(count: number): void;
  ready(use: Use, resent: number): void;
  information(status: number, fields: Fields): void;
  head(head: ResponseHead): void;
  /** @returns false when the agent or the tape cannot take more for now; `onDrain` runs when it can */
  data(chunk: Buffer): boolean;
  end(trailers: Fields): void;
  fail(failure: Failure): void;
  /** A whole answer of our own making; with `failure` in place of one that the agent should have had. */
  answer(status: number, reason: string, fields: Fields, body: Buffer, failure?: Failure): void;
  /** Ends the connection instead of the answer, after what came of it so far: in an orderly way, or with a TCP reset. */
  hangUp(failure: Failure, how: 'close' | 'reset'): void;
  readonly over: boolean;
}

/** Who carries the exchange, told of what the agent does. */
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
  opening: Opening,
  hooks: DeliveryHooks,
): Delivery {
  return new AgentDelivery(tape, agent, request, response, opening, hooks);
}

type Opening = Pick<Exchange, 'route' | 'certname'> & { target: string };

function opened(tape: Tape, agent: AgentConnection, request: IncomingMessage, { certname, route, target }: Opening): Exchange {
  return newExchange(tape, {
    certname,
    route,
    agent: { connection: agent.record.id, ordinal: agent.record.exchanges },
    request: { method: request.method ?? '', target, httpVersion: request.httpVersion, fields: pairs(request.rawHeaders) },
  });
}

const nothing = (): void => undefined;

/** For what comes after the exchange is on the tape. */
const DEAF: BodyTap = { write: nothing };

/** What came of an answer is gathered up to this much: a TLS record of 16 KiB would cost a write of its own. */
const GATHER_BYTES = 128 * 1024;
/** Pieces in which a longer answer of our own is written. */
const PIECE_BYTES = 64 * 1024;

/** One object an exchange, and few functions made for it: this is the path of every answer. */
class AgentDelivery implements Delivery {
  readonly exchange: Exchange;
  readonly #tape: Tape;
  readonly #agent: AgentConnection;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #hooks: DeliveryHooks;
  readonly #http11: boolean;
  #responseTap: BodyTap | null = null;
  /** What came in this turn: it leaves together, and a short answer whole after the commit. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #flush: NodeJS.Immediate | null = null;
  #expected: number | null = null;
  #over = false;
  /** Who asked for a pause: the primary goes on when neither needs one any more. */
  #agentIsFull = false;
  #tapeIsFull = false;
  /** What is left of a long answer of our own. */
  #own: Buffer | null = null;

  constructor(
    tape: Tape,
    agent: AgentConnection,
    request: IncomingMessage,
    response: ServerResponse,
    opening: Opening,
    hooks: DeliveryHooks,
  ) {
    this.exchange = opened(tape, agent, request, opening);
    this.#tape = tape;
    this.#agent = agent;
    this.#request = request;
    this.#response = response;
    this.#hooks = hooks;
    this.#http11 = request.httpVersionMajor === 1 && request.httpVersionMinor >= 1;
    response.once('close', () => {
      if (this.#over) return;
      this.#settle({ type: 'abandoned' }, nothing);
      hooks.onAbandoned();
    });
  }

  get over(): boolean {
    return this.#over;
  }

  tap(side: Side): BodyTap {
    return this.#over ? DEAF : this.#tape.tap(this.exchange.id, side);
  }

  copy(tap: BodyTap, chunk: Buffer): boolean {
    tap.write(chunk);
    passed(chunk.length);
    this.#askTape();
    return !this.#tapeIsFull;
  }

  requestEnded(): void {
    this.exchange.timing.requestEndMono = mono();
  }

  requestBytes(count: number): void {
    this.exchange.requestBytes += count;
  }

  ready(use: Use, resent: number): void {
    this.exchange.timing.primaryReadyMono ??= mono();
    this.exchange.primary = use;
    this.exchange.resent = resent;
  }

  information(status: number, fields: Fields): void {
    if (!this.#http11 || this.#over) return;
    // An agent that asked for a 100 has got ours.
    if (status === 100 && field(this.exchange.request.fields, 'expect') !== null) return;
    // An agent that does not read holds no primary back before the answer: what would be kept for it is left out, as it is hints.
    if (this.#response.writableLength > GATHER_BYTES) return;
    this.#response.writeInformation(status, flat(responseFields(fields, false)));
  }

  head(head: ResponseHead): void {
    const { exchange } = this;
    exchange.timing.responseHeadMono = mono();
    exchange.primaryStatus = head.status;
    const isBodiless = this.#request.method === 'HEAD' || head.status === 204 || head.status === 304;
    this.#expected = isBodiless ? 0 : contentLength(head.fields);
    this.#writeHead(head); // throws on a field that Node will not write; then no answer has begun
    exchange.response = head;
    this.#flush = setImmediate(endTurn, this);
  }

  /** The turn is over; called by {@link endTurn} alone. */
  turned(): void {
    this.#flush = null;
    if (this.#over || this.#isWhole()) return;
    if (this.#waiting.length > 0) this.#writeWaiting();
    else this.#response.flushHeaders();
  }

  data(chunk: Buffer): boolean {
    const { exchange } = this;
    exchange.timing.firstByteMono ??= mono();
    this.#responseTap ??= this.tap('response');
    this.#responseTap.write(chunk);
    exchange.responseBytes += chunk.length;
    passed(chunk.length);
    this.#askTape();
    if (this.#waitingBytes >= GATHER_BYTES) this.#writeWaiting(); // before the newest: it may be the last
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (!this.#isWhole()) this.#flush ??= setImmediate(endTurn, this);
    return !this.#agentIsFull && !this.#tapeIsFull;
  }

  end(trailers: Fields): void {
    this.exchange.trailers = trailers;
    this.#settle({ type: 'answered' }, () => {
      const response = this.#response;
      if (response.destroyed) return;
      if (trailers.length > 0 && response.chunkedEncoding)
        response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
      const last = this.#waiting.pop();
      for (const chunk of this.#waiting) response.write(chunk);
      response.end(last);
    });
  }

  fail(failure: Failure): void {
    if (this.#over) return;
    if (this.exchange.response !== null) {
      this.#settle({ type: 'failed', failure }, () => {
        const response = this.#response;
        this.#agent.ending.note('proxy', 'aborted');
        // To an agent of HTTP/1.0 an orderly end would say that the body is whole.
        if (this.#expected === null && !response.chunkedEncoding) this.#agent.cut();
        response.destroy();
      });
      return;
    }
    const { status, reason, message, issueKind } = answerTo(failure);
    const body = Buffer.from(`${JSON.stringify({ message, issue_kind: issueKind })}\n`);
    this.#answer(status, reason, [['Content-Type', 'application/json;charset=utf-8']], body, { type: 'failed', failure });
  }

  answer(status: number, reason: string, fields: Fields, body: Buffer, failure?: Failure): void {
    this.#answer(status, reason, fields, body, failure ? { type: 'failed', failure } : { type: 'answered' });
  }

  hangUp(failure: Failure, how: 'close' | 'reset'): void {
    if (this.#over) return;
    const begun = this.exchange.response !== null;
    if (!begun) this.exchange.answeredBy = 'proxy';
    this.#settle({ type: 'failed', failure }, () => {
      const response = this.#response;
      if (response.destroyed) return;
      if (begun && this.#waiting.length > 0) this.#writeWaiting();
      else if (begun) response.flushHeaders();
      this.#agent.ending.note('proxy', 'aborted');
      // As in `fail`: an orderly end of a body without a length is that of a whole one.
      const isEnd = begun && this.#expected === null && !response.chunkedEncoding;
      if (how === 'reset' || isEnd) this.#agent.cut();
      else this.#agent.hangUp();
    });
  }

  #answer(status: number, reason: string, fields: Fields, body: Buffer, outcome: Outcome): void {
    const dated: Fields = [['Date', new Date().toUTCString()], ...fields];
    // RFC 9110 section 8.6: in a 304 it would be the length of the 200.
    const all: Fields = status === 304 ? dated : [...dated, ['Content-Length', String(body.length)]];
    const { exchange } = this;
    exchange.answeredBy = 'proxy';
    exchange.response = { status, reason, fields: all };
    exchange.timing.responseHeadMono = mono();
    const isBodiless = this.#request.method === 'HEAD' || status === 304;
    if (!isBodiless && body.length > GATHER_BYTES && outcome.type === 'answered' && !this.#response.destroyed) {
      this.#expected = body.length;
      this.#writeHead({ status, reason, fields: all });
      this.#own = body;
      this.#feed(body);
      return;
    }
    if (!isBodiless && body.length > 0) {
      exchange.timing.firstByteMono = exchange.timing.responseHeadMono;
      exchange.responseBytes = body.length;
      this.tap('response').write(body);
    }
    this.#settle(outcome, () => {
      if (this.#response.destroyed) return;
      this.#writeHead({ status, reason, fields: all });
      this.#response.end(isBodiless ? undefined : body);
    });
  }

  /** A long answer of our own goes as the agent reads it: the buffer is one for all, and what TLS made of it is each agent's own. */
  #feed(body: Buffer): void {
    let left = body;
    while (left.length > 0 && !this.#over) {
      const chunk = left.subarray(0, PIECE_BYTES);
      left = left.subarray(PIECE_BYTES);
      this.#own = left;
      if (!this.data(chunk) && left.length > 0) return;
    }
    this.#own = null;
    if (!this.#over) this.end([]);
  }

  /** Ends the exchange for the tape; `last` writes what completes the answer. */
  #settle(outcome: Outcome, last: () => void): void {
    this.#over = true;
    if (this.#flush) clearImmediate(this.#flush);
    this.exchange.timing.endMono = mono();
    this.exchange.outcome = outcome;
    this.#tape.exchange(this.exchange, last);
  }

  #writeHead(head: ResponseHead): void {
    const response = this.#response;
    const hasBody = head.status !== 204 && head.status !== 304;
    const fields = responseFields(head.fields, this.#http11 && hasBody);
    // Nothing is added to what the primary sent: no Date, no Connection while the connection stays (an HTTP/1.0 agent needs it).
    response.sendDate = false;
    if (this.#http11 && response.shouldKeepAlive) response.removeHeader('connection');
    // undici reads the phrase as UTF-8; what was none, or no Latin-1, Node would refuse to write.
    response.writeHead(head.status, head.reason.replace(/[^\x20-\x7e\x80-\xff]/g, '?'), flat(fields));
  }

  /** Whether all bytes that the answer announced are here: then its end comes with them. */
  #isWhole(): boolean {
    return this.#expected !== null && this.exchange.responseBytes >= this.#expected;
  }

  /** Node gathers the writes of one turn into one. */
  #writeWaiting(): void {
    let more = true;
    for (const chunk of this.#waiting) more = this.#response.write(chunk);
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (more || this.#agentIsFull) return;
    this.#agentIsFull = true;
    this.#response.once('drain', () => {
      this.#agentIsFull = false;
      this.#drained();
    });
  }

  #askTape(): void {
    if (this.#tapeIsFull || !this.#tape.ready) return;
    this.#tapeIsFull = true;
    const isReady = this.#tape.ready(() => {
      this.#tapeIsFull = false;
      this.#drained();
    });
    if (isReady) this.#tapeIsFull = false;
  }

  #drained(): void {
    if (this.#agentIsFull || this.#tapeIsFull) return;
    if (this.#own === null) this.#hooks.onDrain();
    else this.#feed(this.#own);
  }
}

function endTurn(delivery: AgentDelivery): void {
  delivery.turned();
}
