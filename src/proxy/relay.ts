import type { IncomingMessage, ServerResponse } from 'node:http';
import { routeOf } from '../decode/route.ts';
import type { Certname, Connection, PoolPolicy, Route, Tape } from '../model.ts';
import type { Bootstrap } from './bootstrap.ts';
import { type Delivery, deliver } from './delivery.ts';
import { reasonOf } from './failure.ts';
import { hasRequestBody, requestFields } from './fields.ts';
import { admit } from './gate.ts';
import type { AgentConnection } from './intercept.ts';
import { type RequestBody, requestBody } from './request-body.ts';
import type { Standing } from './standing.ts';
import { authority } from './tracking.ts';
import type { Call, Presented, Primary, Upstream } from './upstream.ts';

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
  const { tape, upstream, bootstrap } = options;

  return (agent, request, response, target) => {
    const method = request.method ?? '';
    const { certname } = agent.record;
    const route = routeOf(method, target);
    let call: Call | null = null;
    let body: RequestBody | null = null;
    const delivery = deliver(
      tape,
      agent,
      request,
      response,
      { route, certname, target },
      {
        onDrain: () => call?.resume(),
        onAbandoned: () => {
          call?.abort();
          body?.release();
        },
      },
    );

    const primary = options.primaryFor(agent.record, route);
    const admission = admit(agent.record, method, target, name => options.identityOf(name, agent, primary));
    if (!admission.admitted) {
      request.resume();
      delivery.fail(admission.failure);
      return;
    }
    if (target[0] !== '/') {
      request.resume();
      delivery.fail({ reason: 'not-forwarded', detail: 'a request over TLS needs a target that starts with a slash' });
      return;
    }
    const { identity } = admission;

    const standing = identity && options.standing(agent, primary, identity);
    if (standing === null) carry();
    else {
      void standing.then(refused => {
        if (delivery.over) return;
        if (refused === null) carry();
        else {
          request.resume();
          delivery.fail(refused);
        }
      });
    }

    function carry(): void {
      if (bootstrap.takes(method, route)) {
        bootstrap.serve({ agent, request, delivery, primary, identity, method, target, route }).catch((error: unknown) => {
          // A request that the agent broke off ends with its connection, as abandoned.
          if (request.complete) delivery.fail({ reason: 'internal', detail: reasonOf(error) });
        });
        return;
      }

      if (hasRequestBody(delivery.exchange.request.fields)) body = tapped(tape, request, delivery);
      else {
        delivery.requestEnded();
        request.resume();
      }
      const again = IDEMPOTENT.has(method) || (method === 'POST' && route.phase === 'catalog');
      const sent = body;
      call = upstream.send(
        {
          primary,
          identity,
          agentConnection: agent.record.id,
          method,
          target,
          fields: requestFields(delivery.exchange.request.fields, authority(primary.host, primary.port)),
          body: sent,
          resendable: again,
        },
        {
          onReady: (use, resent) => delivery.ready(use, resent),
          onInformation: (status, fields) => delivery.information(status, fields),
          onHead: head => {
            if (
              options.pool === 'mirror' &&
              head.fields.some(([name, value]) => /^connection$/i.test(name) && /close/i.test(value))
            ) {
              agent.closeWhenIdle();
            }
            delivery.head(head);
          },
          onData: chunk => delivery.data(chunk),
          onEnd: trailers => {
            sent?.release();
            delivery.end(trailers);
          },
          onFailure: failure => {
            sent?.release();
            delivery.fail(failure);
          },
        },
      );
    }
  };
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
