import type { X509Certificate } from 'node:crypto';
import { Client, type Dispatcher } from 'undici';
import type { Connection, Failure, Fields, ResponseHead, Use } from '../model.ts';
import { announcesClose, field, latin1Pairs } from './fields.ts';
import { type InterimHeads, statusOnWire } from './interim.ts';

/** Takes one answer. The calls come in the order of the members; onFailure ends it at any point. */
export interface Answering {
  /** A connection took the request; again when it is resent. */
  onReady(use: Use, resent: number): void;
  /** A 1xx answer. */
  onInformation(status: number, fields: Fields): void;
  onHead(head: ResponseHead): void;
  /** @returns false to hold the primary back until {@link Call.resume} */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: Fields): void;
  onFailure(failure: Failure): void;
}

/** The connection that an undici Client is on: it has one at a time, and one request on it at a time. */
export interface Lane {
  connection: Connection | null;
  /** The primary's, on a connection over TLS. */
  certificate: X509Certificate | null;
  note: ((by: 'proxy' | 'primary', cause: 'connection-close' | 'policy') => void) | null;
  /**
   * The answer under way: a FIN in one whose length is known breaks it off, in one without a length it is its end. `stale`: awaited on
   * a connection that was used before, where a FIN is the primary's idle limit that crossed the request.
   */
  answer: 'none' | 'awaited' | 'stale' | 'framed' | 'until-end';
  /** The answer carried `Connection: close`. */
  announced: boolean;
  /** Told when an answer begins; `null` while not connected. */
  heads: InterimHeads | null;
  /** The first error of the connection itself, such as a TLS alert: undici passes on the last one, which says only that it is closed. */
  error: Error | null;
}

/** One that is not connected yet. */
export function newLane(): Lane {
  return { connection: null, certificate: null, note: null, answer: 'none', announced: false, heads: null, error: null };
}

/** A Client that tells each of our handlers which lane took its request; undici itself does not say. */
export class LaneClient extends Client {
  readonly #lane: Lane;

  constructor(origin: URL, options: Client.Options, lane: Lane) {
    super(origin, options);
    this.#lane = lane;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (handler instanceof Attempt) handler.lane = this.#lane;
    return super.dispatch(options, handler);
  }
}

/** What an attempt belongs to: a request that may be sent again. */
export interface Sending {
  readonly answering: Answering;
  /** Sends it again on another connection, if that is allowed. @param reused whether the connection had been used before */
  retry(error: Error, reused: boolean): boolean;
  /** @param partial whether the answer had begun */
  failure(error: Error, partial: boolean): Failure;
  /** The attempt is over, however it ended. */
  done(): void;
}

/** One try at one request: undici's handler on one side, {@link Answering} on the other. */
export class Attempt implements Dispatcher.DispatchHandler {
  lane: Lane | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #use: Use | null = null;
  #head = false;
  #over = false;
  readonly #answering: Answering;
  readonly #sending: Sending;
  /** How often it was sent before. */
  readonly #resent: number;

  constructor(sending: Sending, resent: number) {
    this.#answering = sending.answering;
    this.#sending = sending;
    this.#resent = resent;
  }

  /** It was answered, failed, or given up. */
  get over(): boolean {
    return this.#over;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) {
      controller.abort(new Error('the agent went away'));
      return;
    }
    this.lane?.heads?.begin();
    const connection = this.lane?.connection;
    if (connection) {
      connection.exchanges += 1;
      this.#use = { connection: connection.id, ordinal: connection.exchanges };
      this.#answer(connection.exchanges > 1 ? 'stale' : 'awaited');
      this.#answering.onReady(this.#use, this.#resent);
    }
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _parsed: unknown, reason?: string): void {
    if (this.#over) return;
    if (status < 100) {
      controller.abort(Object.assign(new Error(`a status of ${status}`), { code: 'HPE_INVALID_STATUS' }));
      return;
    }
    const raw = controller.rawHeaders;
    const fields = Array.isArray(raw) ? latin1Pairs(raw) : [];
    if (status < 200) {
      this.#answering.onInformation(statusOnWire(status), fields);
      return;
    }
    this.#head = true;
    if (this.lane) this.lane.announced = announcesClose(fields);
    const isFramed = status === 204 || status === 304 || field(fields, 'content-length') || field(fields, 'transfer-encoding');
    this.#answer(isFramed ? 'framed' : 'until-end');
    this.#answering.onHead({ status, reason: reason ?? '', fields });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // An empty one is how undici goes on after a pause.
    if (!this.#over && chunk.length > 0 && !this.#answering.onData(chunk)) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#over) return;
    // Before undici closes it for that reason; not at the head, as the answer may yet break off.
    if (this.lane?.announced) this.lane.note?.('primary', 'connection-close');
    this.#end();
    const raw = controller.rawTrailers;
    this.#answering.onEnd(Array.isArray(raw) ? latin1Pairs(raw) : []);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    this.#end();
    const reused = this.#use !== null && this.#use.ordinal > 1;
    if (!this.#head && this.#sending.retry(error, reused)) return;
    const isVague = (error as NodeJS.ErrnoException).code === 'UND_ERR_SOCKET';
    this.#answering.onFailure(this.#sending.failure((isVague && this.lane?.error) || error, this.#head));
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#over) return;
    this.#end();
    this.#controller?.abort(new Error('the agent went away'));
  }

  #answer(state: Lane['answer']): void {
    if (this.lane) this.lane.answer = state;
  }

  #end(): void {
    this.#over = true;
    this.#answer('none');
    this.#sending.done();
  }
}
