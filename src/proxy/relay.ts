import type { IncomingMessage, ServerResponse } from 'node:http';
import { routeOf } from '../decode/route.ts';
import type { Certname, Connection, Failure, Fields, PoolPolicy, ResponseHead, Route, Tape, Use } from '../model.ts';
import type { Answering } from './attempt.ts';
import type { Bootstrap } from './bootstrap.ts';
import { type Delivery, type DeliveryHooks, deliver } from './delivery.ts';
import type { Presented, Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import { announcesClose, hasRequestBody, requestFields } from './fields.ts';
import { admit } from './gate.ts';
import type { AgentConnection } from './intercept.ts';
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
    this.#request.resume();
    this.#delivery.fail(failure);
  }

  #carry(method: string, primary: Primary, identity: Presented | null): void {
    const { bootstrap, tape, upstream } = this.#options;
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

    if (hasRequestBody(delivery.exchange.request.fields)) this.#body = tapped(tape, request, delivery);
    else {
      delivery.requestEnded();
      request.resume();
    }
    this.#call = upstream.send(
      {
        primary,
        identity,
        agentConnection: this.#agent.record.id,
        method,
        target,
        fields: requestFields(delivery.exchange.request.fields, authority(primary.host, primary.port)),
        body: this.#body,
        resendable: IDEMPOTENT.has(method) || (method === 'POST' && route.phase === 'catalog'),
      },
      this,
    );
  }

  onDrain(): void {
    this.#call?.resume();
  }

  onAbandoned(): void {
    this.#call?.abort();
    this.#body?.release();
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
function tapped(tape: Tape, request: IncomingMessage, delivery: Delivery): RequestBody {
  const tap = delivery.tap('request');
  return requestBody(request, {
    onChunk(chunk) {
      if (delivery.over) return;
      tap.write(chunk);
      delivery.requestBytes(chunk.length);
    },
    onEnd: () => delivery.requestEnded(),
    ready: go => tape.ready?.(go) ?? true,
  });
}
