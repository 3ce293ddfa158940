import type { IncomingMessage } from 'node:http';
import { type BodyTap, type Failure, type Fields, type Phase, type ResponseHead, type Route, toCertname } from '../model.ts';
import type { Enrolment } from '../pki/enrolment.ts';
import type { Trust } from '../pki/trust.ts';
import type { Delivery } from './delivery.ts';
import type { Presented, Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import { field, requestFields } from './fields.ts';
import type { AgentConnection } from './intercept.ts';
import { authority } from './tracking.ts';
import { parseAuthority } from './tunnel.ts';
import type { Call, Upstream } from './upstream.ts';

/** CSRs: far above any real one, far below what hurts. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** An agent sends its CSR in one piece: so long may the next one take. Nothing else would end the wait. */
const BODY_IDLE_MS = 60_000;
/** What the primary answers: the list of an old CA with a hundred thousand revoked certificates has 4 MB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** A primary with what is known of its CA. */
export interface TrustedPrimary extends Primary {
  trust: Trust;
}

export interface BootstrapRequest {
  agent: AgentConnection;
  request: IncomingMessage;
  delivery: Delivery;
  primary: Primary;
  identity: Presented | null;
  method: string;
  target: string;
  route: Route;
  /** Told of a request that nobody needs any more when the agent leaves. */
  onCall(call: Call): void;
}

/**
 * The exchanges in which the two legs differ: CA bundle, CRL bundle, CSR, certificate, renewal. Each asks the primary exactly what the
 * agent asked us, so that the primary's log shows them too, and then answers with ours.
 */
export interface Bootstrap {
  takes(method: string, route: Route): boolean;
  serve(exchange: BootstrapRequest): Promise<void>;
}

export interface BootstrapOptions {
  upstream: Upstream;
  /** Who answers certificate requests that go to this primary. */
  enrolmentFor(primary: Primary): Enrolment;
  trustOf(primary: Primary): Trust;
  /** Something about trust that the operator should read: the primary's CA changed, a CRL did not verify. */
  onNotice(line: string): void;
  /** The primary's CA became known or changed: new handshakes must accept its agents. */
  onTrustChanged(): void;
  /** How long the next piece of a request body may take; default {@link BODY_IDLE_MS}. */
  bodyIdleMs?: number;
}

const PHASES: ReadonlySet<Phase> = new Set<Phase>(['ca', 'crl', 'csr', 'certificate']);

/** What else there is in Puppet's CA API (`puppetserver ca` uploads lists, removes requests) passes as it is. */
function takes(method: string, { phase, indirection }: Route): boolean {
  if (!PHASES.has(phase)) return false;
  if (indirection === 'certificate_request') return method === 'PUT';
  return method === (indirection === 'certificate_renewal' ? 'POST' : 'GET');
}

/** The primary's whole answer. */
interface Answer {
  head: ResponseHead;
  body: Buffer;
}

export function openBootstrap(options: BootstrapOptions): Bootstrap {
  const { upstream, enrolmentFor, onNotice, bodyIdleMs = BODY_IDLE_MS } = options;

  async function serve(exchange: BootstrapRequest): Promise<void> {
    switch (exchange.route.indirection) {
      case 'certificate_revocation_list':
        return serveBundle(exchange, 'crl');
      case 'certificate_request':
        return serveCsr(exchange);
      case 'certificate_renewal':
        return serveRenewal(exchange);
      default:
        return exchange.route.key === 'ca' ? serveBundle(exchange, 'ca') : serveCertificate(exchange);
    }
  }

  /** CA and CRL bundles are always ours; a primary that is down does not stop them once its part is known. */
  async function serveBundle(exchange: BootstrapRequest, kind: 'ca' | 'crl'): Promise<void> {
    const { delivery, primary } = exchange;
    exchange.request.resume();
    delivery.requestEnded();
    const trust = options.trustOf(primary);
    const answer = await ask(exchange, Buffer.alloc(0), { known: kind === 'crl' ? trust.crlText : null });
    if ('reason' in answer) {
      if (!trust.pinned) return delivery.fail(answer);
    } else {
      delivery.exchange.primaryStatus = answer.head.status;
      if (answer.head.status === 200) {
        try {
          if (kind === 'ca') {
            const before = trust.caPem();
            trust.pin(answer.body.toString('latin1'));
            if (trust.caPem() !== before) options.onTrustChanged();
          } else trust.updateCrl(answer.body);
        } catch (error) {
          onNotice(
            `${authority(primary.host, primary.port)}: ${reasonOf(error)}; the known ${kind === 'ca' ? 'CA' : 'CRL'} is kept`,
          );
        }
      } else if (answer.head.status !== 304 && !trust.pinned) {
        return relayAnswer(delivery, answer);
      }
    }
    const { bytes, modifiedAt } = kind === 'ca' ? bundleOf(trust) : trust.crlBundle();
    const since = Date.parse(field(delivery.exchange.request.fields, 'if-modified-since') ?? '');
    // RFC 9110 section 13.1.3: the field counts whole seconds.
    if (since >= Math.floor(modifiedAt / 1000) * 1000) delivery.answer(304, 'Not Modified', [], Buffer.alloc(0));
    else {
      const fields: Fields = [
        ['Content-Type', 'text/plain'],
        ['Last-Modified', new Date(modifiedAt).toUTCString()],
      ];
      delivery.answer(200, 'OK', fields, bytes);
    }
  }

  async function serveCsr(exchange: BootstrapRequest): Promise<void> {
    const { delivery, route } = exchange;
    const body = await collect(exchange);
    if (body === null) return delivery.fail({ reason: 'not-forwarded', detail: 'the certificate request is larger than 1 MiB' });
    const name = toCertname(route.key ?? '');
    const from = parseAuthority(exchange.agent.record.peer)?.host ?? null;
    const swap = name === null ? null : await enrolmentFor(exchange.primary).request(name, body.toString('latin1'), from);
    const sent = swap?.type === 'swap' ? Buffer.from(swap.csrPem) : body;
    if (swap?.type === 'pass') onNotice(`the CSR for ${name} goes to the primary as it is: ${swap.why}`);
    if (sent !== body) delivery.tap('primary-request').write(sent);
    const answer = await ask(exchange, sent);
    if (swap?.type === 'swap') {
      await swap.commit('reason' in answer ? 0 : answer.head.status);
      if (!('reason' in answer) && answer.head.status < 300) {
        onNotice(`CSR of ${name}: the agent shows ${swap.agentFingerprint}, the primary lists ours, ${swap.fingerprint}`);
      }
    }
    if ('reason' in answer) delivery.fail(answer);
    else relayAnswer(delivery, answer);
  }

  async function serveCertificate(exchange: BootstrapRequest): Promise<void> {
    const { delivery, route } = exchange;
    exchange.request.resume();
    delivery.requestEnded();
    const answer = await ask(exchange, Buffer.alloc(0));
    if ('reason' in answer) return delivery.fail(answer);
    const name = toCertname(route.key ?? '');
    if (answer.head.status !== 200 || name === null) return relayAnswer(delivery, answer);
    const { pem, by } = await enrolmentFor(exchange.primary).certificate(name, answer.body.toString('latin1'));
    replace(delivery, answer, pem, by);
  }

  /** Puppet 8 asks for a certificate of the key that it presented, shortly before the old one ends. */
  async function serveRenewal(exchange: BootstrapRequest): Promise<void> {
    const { delivery, agent, identity } = exchange;
    await collect(exchange);
    const answer = await ask(exchange, Buffer.alloc(0));
    if ('reason' in answer) return delivery.fail(answer);
    const presented = agent.certificatePem();
    if (answer.head.status !== 200 || identity === null || presented === null) return relayAnswer(delivery, answer);
    const { pem, by } = await enrolmentFor(exchange.primary).renewed(
      identity.certname,
      presented,
      answer.body.toString('latin1'),
    );
    replace(delivery, answer, pem, by);
  }

  /** Gathers a request body, `null` when it is too large. Throws when the agent leaves within it, or sends no more. */
  async function collect({ request, delivery, agent }: BootstrapRequest): Promise<Buffer | null> {
    const tap = delivery.tap('request');
    const chunks: Buffer[] = [];
    let size = 0;
    const before = request.socket.timeout ?? 0;
    request.setTimeout(bodyIdleMs, () => {
      agent.ending.note('proxy', 'idle-timeout');
      request.destroy();
    });
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_REQUEST_BYTES) {
        request.resume();
        return null;
      }
      tap.write(chunk);
      delivery.requestBytes(chunk.length);
      chunks.push(chunk);
    }
    request.setTimeout(before);
    delivery.requestEnded();
    return Buffer.concat(chunks);
  }

  /**
   * Sends the agent's request with `body` in place of its own and gathers the answer.
   * @param told of an answer that goes no further itself: it is put on the tape as it comes, and its body is only kept as far as it differs
   *   from what is `known`, as the list of a large site has megabytes and all agents may ask at once
   */
  function ask(
    exchange: BootstrapRequest,
    body: Buffer,
    told: { known: Buffer | null } | null = null,
  ): Promise<Answer | Failure> {
    const { delivery, primary } = exchange;
    const origin = authority(primary.host, primary.port);
    // PEM is read here, so it must come as it is and whole: no content coding, and no 304 for a part that the agent has and we may not.
    const fields = requestFields(delivery.exchange.request.fields, origin).filter(
      ([name]) => !/^(accept-encoding|content-length|if-modified-since|if-none-match|range)$/i.test(name),
    );
    const sized: Fields =
      body.length > 0 || exchange.method === 'PUT' || exchange.method === 'POST'
        ? [...fields, ['Content-Length', String(body.length)]]
        : fields;
    return new Promise(resolve => {
      let head: ResponseHead | null = null;
      const gathered = gather(told?.known ?? null);
      let copy: BodyTap | null = null;
      const call = upstream.send(
        {
          primary,
          identity: exchange.identity,
          agentConnection: exchange.agent.record.id,
          method: exchange.method,
          target: exchange.target,
          fields: sized,
          body: body.length > 0 ? { open: () => body, resendable: () => true } : null,
          resendable: true,
        },
        {
          onReady: (use, resent) => delivery.ready(use, resent),
          onInformation: () => undefined,
          onHead: received => {
            head = received;
          },
          onData: chunk => {
            gathered.add(chunk);
            if (gathered.size > MAX_ANSWER_BYTES) {
              call.abort();
              resolve({ reason: 'primary-protocol', origin, detail: 'the answer is larger than 16 MiB' });
              return true;
            }
            if (told === null) return true;
            copy ??= delivery.tap('primary-response');
            return delivery.copy(copy, chunk);
          },
          onEnd: () =>
            resolve(head ? { head, body: gathered.whole() } : { reason: 'primary-protocol', origin, detail: 'no answer head' }),
          onFailure: resolve,
        },
      );
      // What the primary made of a CSR counts, whoever hears of it.
      if (exchange.method === 'GET') exchange.onCall(call);
    });
  }

  return { takes, serve };
}

function bundleOf(trust: Trust): { bytes: Buffer; modifiedAt: number } {
  const { pem, modifiedAt } = trust.bundle();
  return { bytes: Buffer.from(pem), modifiedAt };
}

/** Puts chunks together. As long as they are those of `known`, nothing is kept. */
function gather(known: Buffer | null): { readonly size: number; add(chunk: Buffer): void; whole(): Buffer } {
  let chunks: Buffer[] | null = known === null ? [] : null;
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(chunk) {
      const isKnown = chunks === null && known?.subarray(size, size + chunk.length).equals(chunk) === true;
      if (!isKnown) {
        chunks ??= [Buffer.from(known?.subarray(0, size) ?? [])];
        chunks.push(chunk);
      }
      size += chunk.length;
    },
    whole() {
      if (chunks !== null) return Buffer.concat(chunks);
      return known?.length === size ? known : Buffer.from(known?.subarray(0, size) ?? []);
    },
  };
}

function recordPrimary(delivery: Delivery, answer: Answer): void {
  delivery.exchange.primaryStatus = answer.head.status;
  if (answer.body.length > 0) delivery.tap('primary-response').write(answer.body);
}

/** The primary's own answer, whole. */
function relayAnswer(delivery: Delivery, answer: Answer): void {
  if (delivery.over) return;
  delivery.head(answer.head);
  if (answer.body.length > 0) delivery.data(answer.body);
  delivery.end([]);
}

/** The primary's answer with another certificate in it. */
function replace(delivery: Delivery, answer: Answer, pem: string, by: 'proxy' | 'primary'): void {
  if (by === 'primary') {
    relayAnswer(delivery, answer);
    return;
  }
  if (delivery.over) return;
  recordPrimary(delivery, answer);
  const type = field(answer.head.fields, 'content-type') ?? 'text/plain';
  delivery.answer(200, answer.head.reason, [['Content-Type', type]], Buffer.from(pem));
}
