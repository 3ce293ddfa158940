import { type HrTime, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { resourceOf } from './otlp-json.ts';
import type { TraceSpan } from './trace.ts';

/*
 * Spans to a collector by the official exporter: protobuf over HTTP, with its retries and its environment variables
 * (OTEL_EXPORTER_OTLP_HEADERS, …). The spans are of the past, with ids of their own, so they are handed to it ready made.
 */

/** How long a collector is waited for, retries included; the exporter's default. */
const TIMEOUT_MS = 10_000;
/** Spans that are sent in one request. */
const BATCH = 512;

export interface OtlpSender {
  /** Rejects with what the collector, or the network, said. */
  send(spans: readonly TraceSpan[]): Promise<void>;
  close(): Promise<void>;
}

/** `http://host:4318` and `http://host:4318/v1/traces` are the same collector; other paths stay in front of `/v1/…`. */
export function signalUrl(url: string, signal: 'traces' | 'metrics'): string {
  const base = url.replace(/\/+$/, '').replace(/\/v1\/(?:traces|metrics)$/, '');
  return `${base}/v1/${signal}`;
}

export function openSender(url: string, version: string, timeoutMs = TIMEOUT_MS): OtlpSender {
  const exporter = new OTLPTraceExporter({ url: signalUrl(url, 'traces'), timeoutMillis: timeoutMs });
  const resource = resourceFromAttributes(resourceOf(version));
  return {
    async send(spans) {
      for (let at = 0; at < spans.length; at += BATCH) {
        const batch = spans.slice(at, at + BATCH).map(span => readable(span, resource, version));
        await new Promise<void>((resolve, reject) => {
          // ExportResultCode.SUCCESS is 0
          exporter.export(batch, ({ code, error }) => (code === 0 ? resolve() : reject(error ?? new Error('not exported'))));
        });
      }
    },
    close: () => exporter.shutdown(),
  };
}

const KIND = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

function readable(span: TraceSpan, resource: Resource, version: string): ReadableSpan {
  const context = (traceId: string, spanId: string, isRemote = false): SpanContext => ({
    traceId,
    spanId,
    traceFlags: TraceFlags.SAMPLED,
    isRemote,
  });
  return {
    name: span.name,
    kind: KIND[span.kind],
    spanContext: () => context(span.traceId, span.spanId),
    ...(span.parentSpanId === null ? {} : { parentSpanContext: context(span.traceId, span.parentSpanId) }),
    startTime: time(span.startMs),
    endTime: time(span.endMs),
    duration: time(Math.max(0, span.endMs - span.startMs)),
    status: span.error === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: span.error },
    attributes: span.attributes,
    links: span.links.map(link => ({ context: context(link.traceId, link.spanId, true), attributes: link.attributes })),
    events: span.events.map(event => ({ name: event.name, time: time(event.atMs), attributes: event.attributes })),
    ended: true,
    resource,
    instrumentationScope: { name: 'stringtap', version },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** Seconds and nanoseconds; whole microseconds, as in JSON. */
function time(ms: number): HrTime {
  const us = Math.round(ms * 1000);
  return [Math.floor(us / 1e6), (us % 1e6) * 1000];
}
