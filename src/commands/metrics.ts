import { createServer } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Loss } from '../capture/recorder.ts';
import type { Connection, ConnectionId, Exchange, Leg, Tape } from '../model.ts';

/**
 * Figures of a running proxy for Prometheus. No label carries a target or an address, and none a certname unless that is asked for: the
 * number of series does not grow with the site, and nothing of an agent is told. docs/grafana/stringtap.json is a dashboard for them.
 */

/** Seconds. A catalog takes some, a file some ms; an agent waits 10 min at most. */
const EXCHANGE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600];
const HANDSHAKE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** Up to what an answer waits for the disk, and a little more. */
const COMMIT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];

export interface Metrics {
  /** The tape, counted as it is written. */
  counted(tape: Tape): Tape;
  /** The text exposition format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/**
 * @param losses what the capture lacks so far, see Recorder
 * @param withCertname the figures of exchanges carry the certname that the agent proved: one set of series an agent
 */
export function createMetrics(losses: () => readonly Loss[], withCertname = false): Metrics {
  type ExchangeLabel = 'phase' | 'status_class' | 'certname';
  const perExchange: readonly ExchangeLabel[] = ['phase', 'status_class', ...(withCertname ? (['certname'] as const) : [])];
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name: `stringtap_${name}`, help, labelNames, registers });

  const exchanges = counter('exchanges_total', 'Requests with their outcome', [...perExchange, 'outcome']);
  const requestBytes = counter('request_body_bytes_total', 'Bytes of request bodies', perExchange);
  const responseBytes = counter('response_body_bytes_total', 'Bytes of response bodies, content coding kept', perExchange);
  const duration = new Histogram({
    name: 'stringtap_exchange_duration_seconds',
    help: 'From the request head to the last byte of the answer at hand',
    labelNames: perExchange,
    buckets: EXCHANGE_BUCKETS,
    registers,
  });
  const uses = counter('connection_exchanges_total', 'Exchanges by their place on a connection: use is first or reused', [
    'leg',
    'use',
  ]);
  const resent = counter('resent_total', 'Requests sent again because a pooled connection turned out closed', []);
  const faults = counter('faults_total', 'Requests that met a fault on purpose (--fault)', ['phase']);
  const opened = counter('connections_opened_total', 'Connections opened', ['leg']);
  const closed = counter('connections_closed_total', 'Connections closed, by whom and why', ['leg', 'by', 'cause']);
  const unused = counter('connections_unused_total', 'Connections closed that carried no exchange', ['leg']);
  const open = new Gauge({
    name: 'stringtap_connections_open',
    help: 'Connections that are open',
    labelNames: ['leg'],
    registers,
  });
  const connectionBytes = counter('connection_bytes_total', 'Bytes of closed connections, TLS included', ['leg', 'direction']);
  const handshakes = counter('handshakes_total', 'TLS handshakes: full, resumed or failed', ['leg', 'kind']);
  const handshakeSeconds = new Histogram({
    name: 'stringtap_handshake_seconds',
    help: 'TLS handshakes that were done, without TCP',
    labelNames: ['leg', 'kind'],
    buckets: HANDSHAKE_BUCKETS,
    registers,
  });
  const commits = counter('capture_commits_total', 'Exchanges that the capture is done with', []);
  const commitSeconds = new Histogram({
    name: 'stringtap_capture_commit_seconds',
    help: 'Time that the end of an answer waited for the capture',
    buckets: COMMIT_BUCKETS,
    registers,
  });
  const heldBack = counter('capture_held_back_total', 'Times that a large answer was paused because the capture was behind', []);

  const legs: Record<Leg, { exchanges: number; reused: number }> = {
    agent: { exchanges: 0, reused: 0 },
    primary: { exchanges: 0, reused: 0 },
  };
  const ratio: Gauge<'leg'> = new Gauge({
    name: 'stringtap_reuse_ratio',
    help: 'Exchanges that were not first on their connection, of all since the start',
    labelNames: ['leg'],
    registers,
    collect() {
      for (const leg of ['agent', 'primary'] as const) {
        const { exchanges: all, reused } = legs[leg];
        if (all > 0) ratio.set({ leg }, reused / all);
      }
    },
  });
  let pending = 0;
  const queue: Gauge = new Gauge({
    name: 'stringtap_capture_pending_exchanges',
    help: 'Exchanges that wait to be committed',
    registers,
    collect: () => queue.set(pending),
  });
  const lost: Gauge<'reason'> = new Gauge({
    name: 'stringtap_capture_losses',
    help: 'What the capture lacks, by reason, since the start',
    labelNames: ['reason'],
    registers,
    collect() {
      for (const { reason, count } of losses()) lost.set({ reason }, count);
    },
  });
  for (const leg of ['agent', 'primary'] as const) open.set({ leg }, 0);

  /** Of the open connections, those whose handshake is counted. */
  const known = new Map<ConnectionId, { secured: boolean }>();

  function connection(record: Connection): void {
    const { leg } = record;
    let seen = known.get(record.id);
    if (seen === undefined) {
      seen = { secured: false };
      known.set(record.id, seen);
      opened.inc({ leg });
      open.inc({ leg });
    }
    if (!seen.secured && record.secureMono !== null) {
      seen.secured = true;
      const kind = record.tls?.resumed === true ? 'resumed' : 'full';
      handshakes.inc({ leg, kind });
      const since = record.connectedMono ?? record.openedMono;
      handshakeSeconds.observe({ leg, kind }, Math.max(0, record.secureMono - since) / 1000);
    }
    if (record.closed === null) return;
    known.delete(record.id);
    open.dec({ leg });
    const { by, cause } = record.closed;
    closed.inc({ leg, by, cause });
    if (record.exchanges === 0) unused.inc({ leg });
    if (record.secureMono === null && failedHandshake(record)) handshakes.inc({ leg, kind: 'failed' });
    connectionBytes.inc({ leg, direction: 'read' }, record.bytesRead);
    connectionBytes.inc({ leg, direction: 'written' }, record.bytesWritten);
  }

  function exchange(one: Exchange): void {
    const labels = {
      phase: one.route.phase,
      status_class: statusClass(one),
      ...(withCertname && { certname: one.certname ?? '' }),
    };
    exchanges.inc({ ...labels, outcome: one.outcome.type });
    requestBytes.inc(labels, one.requestBytes);
    responseBytes.inc(labels, one.responseBytes);
    duration.observe(labels, Math.max(0, one.timing.endMono - one.timing.startMono) / 1000);
    resent.inc(one.resent);
    if (one.fault !== null) faults.inc({ phase: one.route.phase });
    count('agent', one.agent.ordinal);
    if (one.primary !== null) count('primary', one.primary.ordinal);
  }

  function count(leg: Leg, ordinal: number): void {
    const reused = ordinal > 1;
    legs[leg].exchanges += 1;
    if (reused) legs[leg].reused += 1;
    uses.inc({ leg, use: reused ? 'reused' : 'first' });
  }

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counted: tape => ({
      connectionId: () => tape.connectionId(),
      exchangeId: () => tape.exchangeId(),
      connection(record) {
        tape.connection(record);
        connection(record);
      },
      tap: (id, side) => tape.tap(id, side),
      exchange(one, committed) {
        exchange(one);
        pending += 1;
        const since = performance.now();
        tape.exchange(one, () => {
          pending -= 1;
          commits.inc();
          commitSeconds.observe((performance.now() - since) / 1000);
          committed();
        });
      },
      drop: id => tape.drop(id),
      ready(go) {
        const goes = tape.ready?.(go) ?? true;
        if (!goes) heldBack.inc();
        return goes;
      },
    }),
  };
}

/** `2xx`; `none` when no answer was made. */
function statusClass({ response }: Exchange): string {
  return response === null ? 'none' : `${Math.floor(response.status / 100)}xx`;
}

/** A peer that left before it said anything had no handshake that could fail. */
function failedHandshake({ via, closed, connectedMono }: Connection): boolean {
  return (via === 'direct' || via === 'connect') && connectedMono !== null && closed?.cause !== 'end';
}

export interface MetricsServer {
  readonly address: { host: string; port: number };
  close(): Promise<void>;
}

/**
 * Serves `GET /metrics`, plain HTTP.
 * @throws the error of `listen` (EADDRINUSE, EACCES, EADDRNOTAVAIL)
 */
export async function serveMetrics(metrics: Metrics, place: { host: string; port: number }): Promise<MetricsServer> {
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000 }, (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0];
    request.resume();
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(path === '/metrics' ? 405 : 404, { 'Content-Type': 'text/plain', Allow: 'GET, HEAD' });
      response.end('stringtap: GET /metrics\n');
      return;
    }
    metrics.text().then(
      text => {
        response.writeHead(200, { 'Content-Type': metrics.contentType });
        response.end(text);
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.port, place.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  return {
    address: bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : { ...place },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
