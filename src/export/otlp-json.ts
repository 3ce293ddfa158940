import type { Selection } from './selection.ts';
import { type Attributes, type TraceSpan, traceOf } from './trace.ts';

/*
 * OTLP in its JSON encoding (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hex, 64-bit integers as text, enums as
 * numbers. One ExportTraceServiceRequest a line is what the collector's otlpjsonfile receiver reads.
 */

const KIND = { internal: 1, server: 2, client: 3 } as const;
const STATUS_ERROR = 2;

/** One line a run. */
export function* otlpLines(selection: Selection, version: string): Generator<string> {
  for (const run of selection.runs) {
    const spans = traceOf(selection, run).map(spanJson);
    yield `${JSON.stringify({
      resourceSpans: [
        {
          resource: { attributes: attributesJson(resourceOf(version)) },
          scopeSpans: [{ scope: { name: 'stringtap', version }, spans }],
        },
      ],
    })}\n`;
  }
}

/** What the spans come from. */
export function resourceOf(version: string): Attributes {
  return { 'service.name': 'stringtap', 'service.version': version };
}

function spanJson(span: TraceSpan): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === null ? {} : { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: KIND[span.kind],
    startTimeUnixNano: nanos(span.startMs),
    endTimeUnixNano: nanos(span.endMs),
    attributes: attributesJson(span.attributes),
    events: span.events.map(event => ({
      timeUnixNano: nanos(event.atMs),
      name: event.name,
      attributes: attributesJson(event.attributes),
    })),
    links: span.links.map(link => ({ traceId: link.traceId, spanId: link.spanId, attributes: attributesJson(link.attributes) })),
    status: span.error === null ? {} : { code: STATUS_ERROR, message: span.error },
  };
}

function nanos(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

function attributesJson(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueJson(value) }));
}

function valueJson(value: Attributes[string]): object {
  if (typeof value === 'string') return { stringValue: value.toWellFormed() };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
