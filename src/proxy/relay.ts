import type { IncomingMessage, ServerResponse } from 'node:http';
import { routeOf } from '../decode/route.ts';
import type { Certname, Connection, Failure, Fields, PoolPolicy, ResponseHead, Route, Tape, Use } from '../model.ts';
import type { Answering } from './attempt.ts';
import type { Bootstrap } from './bootstrap.ts';
import { type Delivery, type DeliveryHooks, deliver } from './delivery.ts';
import type { Presented, Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import type { Faults } from './faults.ts';
import { announcesClose, hasRequestBody, requestFields } from './fields.ts';
import { admit } from './gate.ts';
import type { AgentConnection } from './intercept.ts';
import { type Interference, interfere } from './interference.ts';
import { type RequestBody, requestBody } from './request-body.ts';
import type { Standing } from './standing.ts';
import { authority } from './tracking.ts';
import type { Call, Upstream } from './upstream.ts';

export interface RelayOptions {
  tape: Tape;
  upstream: Upstream;
  pool: PoolPolicy;
  bootstrap: Bootstrap;
  /** Which primary a request on an agent's connection is for. */
  primaryFor(connection: Connection, route: Route): Primary;
  /** What is presented for a certname that this connection has proved. */
  identityOf(certname: Certname, agent: AgentConnection, primary: Primary): Presented | null;
  standing: Standing;
  /** What is done to exchanges on purpose; `null`: nothing. */
  faults: Faults | null;
  /** A line that the operator should read. */
  onNotice(line: string): void;
}

/**
 * Methods that may be sent twice when a pooled connection turned out to be closed: the idempotent ones (RFC 9110 section 9.2.2),
 * and POST of a catalog, which is a GET with too long a query (Puppet's compiler terminus) and compiles again at worst.
 */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** Carries one exchange from the agent to the primary and back. */
export type Relay = (agent: AgentConnection, request: IncomingMessage, response: ServerResponse, target: string) => void;

export function openRelay(options: RelayOptions): Relay {
  return (agent, request, response, target) => new Carriage(options, agent, request, response, target).start();
}

/** One exchange under way. */
class Carriage implements Answering, DeliveryHooks {
  readonly #options: RelayOptions;
  readonly #agent: AgentConnection;
  readonly #request: IncomingMessage;
  readonly #target: string;
  readonly #route: Route;
  readonly #delivery: Delivery;
  #call: Call | null = null;
  #body: RequestBody | null = null;
  #interference: Interference | null = null;
  /** Called when the request has come whole. */
  #onRead: (() => void) | null = null;

  constructor(options: RelayOptions, agent: AgentConnection, request: IncomingMessage, response: ServerResponse, target: string) {
    this.#options = options;
    this.#agent = agent;
    this.#request = request;
    this.#target = target;
    this.#route = routeOf(request.method ?? '', target);
    const opening = { route: this.#route, certname: agent.record.certname, target };
    this.#delivery = deliver(options.tape, agent, request, response, opening, this);
  }

  start(): void {
    const agent = this.#agent;
    const method = this.#request.method ?? '';
    const primary = this.#options.primaryFor(agent.record, this.#route);
    const admission = admit(agent.record, method, this.#target, name => this.#options.identityOf(name, agent, primary));
    if (!admission.admitted) {
      this.#refuse(admission.failure);
      return;
    }
    if (this.#target[0] !== '/') {
      this.#refuse({ reason: 'not-forwarded', detail: 'a request over TLS needs a target that starts with a slash' });
      return;
    }
    const { identity } = admission;
    const standing = identity && this.#options.standing(agent, primary, identity);
    if (standing === null) this.#carry(method, primary, identity);
    else {
      void standing.then(refused => {
        if (this.#delivery.over) return;
        if (refused === null) this.#carry(method, primary, identity);
        else this.#refuse(refused);
      });
    }
  }

  #refuse(failure: Failure): void {
    if (this.#body === null) this.#request.resume();
    else this.#body.release();
    this.#delivery.fail(failure);
  }

  #carry(method: string, primary: Primary, identity: Presented | null): void {
    const { faults, onNotice } = this.#options;
    const isLate = this.#interference !== null;
    const rule = faults === null || isLate ? null : faults.take(this.#delivery.exchange, this.#agent.record);
    if (faults === null || rule === null) {
      this.#send(method, primary, identity, this);
      return;
    }
    const interference = interfere(rule, faults, this.#delivery, onNotice);
    this.#interference = interference;
    const isBootstrap = this.#options.bootstrap.takes(method, this.#route);
    switch (interference.when) {
      case 'before':
        // An agent that leaves is only seen by who reads; the bootstrap reads for itself, and little.
        if (!isBootstrap) this.#takeBody()?.readAhead();
        // What it may do is looked at anew: minutes may have passed.
        interference.delay(() => this.start());
        return;
      case 'instead':
        this.#onRead = () => void interference.answer();
        this.#takeBody()?.discard();
        if (this.#delivery.exchange.timing.requestEndMono !== null) this.#onRead();
        return;
      case 'after':
        this.#send(method, primary, identity, interference.through(this, this));
        return;
      default:
        interference.when satisfies never;
    }
  }

  /** The request's body, on the tape as it comes; `null` when it has none. */
  #takeBody(): RequestBody | null {
    const { tape } = this.#options;
    if (this.#body !== null) return this.#body;
    if (hasRequestBody(this.#delivery.exchange.request.fields)) {
      this.#body = tapped(tape, this.#request, this.#delivery, () => this.#onRead?.());
    } else if (this.#delivery.exchange.timing.requestEndMono === null) {
      this.#delivery.requestEnded();
      this.#request.resume();
    }
    return this.#body;
  }

  #send(method: string, primary: Primary, identity: Presented | null, answering: Answering): void {
    const { bootstrap, upstream } = this.#options;
    const delivery = this.#delivery;
    const request = this.#request;
    const route = this.#route;
    const target = this.#target;
    if (bootstrap.takes(method, route)) {
      const onCall = (call: Call): void => {
        this.#call = call;
      };
      bootstrap
        .serve({ agent: this.#agent, request, delivery, primary, identity, method, target, route, onCall })
        .catch((error: unknown) => {
          // A request that the agent broke off ends with its connection, as abandoned.
          if (request.complete) delivery.fail({ reason: 'internal', detail: reasonOf(error) });
        });
      return;
    }
    this.#call = upstream.send(
      {
        primary,
        identity,
        agentConnection: this.#agent.record.id,
        method,
        target,
        fields: requestFields(delivery.exchange.request.fields, authority(primary.host, primary.port)),
        body: this.#takeBody(),
        resendable: IDEMPOTENT.has(method) || (method === 'POST' && route.phase === 'catalog'),
      },
      answering,
    );
  }

  /** Holds the primary's answer no longer. */
  resume(): void {
    this.#call?.resume();
  }

  /** Gives the primary's answer up. */
  abort(): void {
    this.#call?.abort();
    this.#body?.release();
  }

  onDrain(): void {
    if (this.#interference === null || this.#interference.drained()) this.resume();
  }

  onAbandoned(): void {
    this.#interference?.left();
    this.abort();
  }

  onReady(use: Use, resent: number): void {
    this.#delivery.ready(use, resent);
  }

  onInformation(status: number, fields: Fields): void {
    this.#delivery.information(status, fields);
  }

  onHead(head: ResponseHead): void {
    if (this.#options.pool === 'mirror' && announcesClose(head.fields)) this.#agent.closeWhenIdle();
    this.#delivery.head(head);
  }

  onData(chunk: Buffer): boolean {
    return this.#delivery.data(chunk);
  }

  onEnd(trailers: Fields): void {
    this.#body?.release();
    this.#delivery.end(trailers);
  }

  onFailure(failure: Failure): void {
    this.#body?.release();
    this.#delivery.fail(failure);
  }
}

/** The request's body on its way upstream, copied to the tape as it passes. */
function tapped(tape: Tape, request: IncomingMessage, delivery: Delivery, onRead: () => void): RequestBody {
  const tap = delivery.tap('request');
  return requestBody(request, {
    onChunk(chunk) {
      if (delivery.over) return;
      tap.write(chunk);
      delivery.requestBytes(chunk.length);
    },
    onEnd() {
      delivery.requestEnded();
      onRead();
    },
    ready: go => tape.ready?.(go) ?? true,
  });
}
