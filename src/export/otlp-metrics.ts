import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { ATTR_ERROR_TYPE, ATTR_HTTP_REQUEST_METHOD, ATTR_HTTP_RESPONSE_STATUS_CODE } from '@opentelemetry/semantic-conventions';
import { resourceOf } from './otlp-json.ts';
import { signalUrl } from './otlp-send.ts';
import type { Attributes, TraceSpan } from './trace.ts';

/** How often figures are sent. */
const EVERY_MS = 10_000;

/** Seconds: those that the HTTP conventions advise, and up to the 10 min that an agent waits for a catalog. */
const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 600];
const HANDSHAKE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

export interface OtlpMetrics {
  /** Counts what a run's spans say. */
  record(spans: readonly TraceSpan[]): void;
  close(): Promise<void>;
}

/** Figures of requests and connections. No attribute carries a target, an address or a certname: their number does not grow. */
export function openMetrics(url: string, version: string, timeoutMs: number): OtlpMetrics {
  const exporter = new OTLPMetricExporter({ url: signalUrl(url, 'metrics'), timeoutMillis: timeoutMs });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: EVERY_MS, exportTimeoutMillis: timeoutMs });
  const provider = new MeterProvider({ resource: resourceFromAttributes(resourceOf(version)), readers: [reader] });
  const meter = provider.getMeter('stringtap', version);
  const requests = { unit: 's', advice: { explicitBucketBoundaries: REQUEST_BUCKETS } };
  const shakes = { unit: 's', advice: { explicitBucketBoundaries: HANDSHAKE_BUCKETS } };
  const server = meter.createHistogram('http.server.request.duration', { ...requests, description: 'Requests of agents' });
  const client = meter.createHistogram('http.client.request.duration', { ...requests, description: 'Requests to the primary' });
  const handshakes = meter.createHistogram('stringtap.handshake.duration', { ...shakes, description: 'TLS handshakes' });
  const closed = meter.createCounter('stringtap.connections.closed', { description: 'Connections, by leg and why they ended' });
  const exchanges = meter.createCounter('stringtap.exchanges', { description: 'Exchanges, by leg and whether they reused' });
  const runs = meter.createCounter('stringtap.runs', { description: 'Agent runs, by how they ended' });
  return {
    record(spans) {
      for (const span of spans) {
        const took = (span.endMs - span.startMs) / 1000;
        if (span.parentSpanId === null) runs.add(1, some(span.attributes, 'stringtap.run.end'));
        if (span.kind !== 'internal') {
          const labels = some(
            span.attributes,
            ATTR_HTTP_REQUEST_METHOD,
            ATTR_HTTP_RESPONSE_STATUS_CODE,
            ATTR_ERROR_TYPE,
            'puppet.phase',
          );
          (span.kind === 'server' ? server : client).record(took, labels);
          exchanges.add(1, some(span.attributes, 'stringtap.leg', 'stringtap.connection.reused'));
        }
        for (const { name, attributes } of span.events) {
          if (name === 'connection.closed')
            closed.add(1, some(attributes, 'stringtap.leg', 'stringtap.closed.by', 'stringtap.closed.cause'));
          else {
            const us = Number(attributes['stringtap.handshake.duration_us']);
            handshakes.record(us / 1e6, some(attributes, 'stringtap.leg', 'tls.resumed', 'tls.protocol.version'));
          }
        }
      }
    },
    close: () => provider.shutdown(),
  };
}

/** The named ones, where they are there. */
function some(attributes: Attributes, ...names: readonly string[]): Attributes {
  return Object.fromEntries(names.flatMap(name => (attributes[name] === undefined ? [] : [[name, attributes[name]]])));
}
