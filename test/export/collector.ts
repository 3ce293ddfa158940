import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

/** A span as the official definitions decode it: ids in hex, 64-bit numbers as text, attributes as an object. */
export interface Received {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: string;
  start: bigint;
  end: bigint;
  attributes: Record<string, unknown>;
  events: { name: string; at: bigint; attributes: Record<string, unknown> }[];
  links: { traceId: string; spanId: string }[];
  error: string | null;
  resource: Record<string, unknown>;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: Received[];
  /** Names of metrics that came. */
  readonly metrics: Set<string>;
  /** Answers to give from now on; 200 by default. */
  status: number;
}

const root = new protobuf.Root();
const protos = fileURLToPath(new URL('proto', import.meta.url));
root.resolvePath = (_, target) => join(protos, target);
root.loadSync([
  'opentelemetry/proto/collector/trace/v1/trace_service.proto',
  'opentelemetry/proto/collector/metrics/v1/metrics_service.proto',
]);
const TRACES = root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest');
const METRICS = root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest');

// biome-ignore lint/suspicious/noExplicitAny: what protobufjs makes of a message has no type of its own
type Message = Record<string, any>;

const toObject = (type: protobuf.Type, body: Uint8Array): Message =>
  type.toObject(type.decode(body), { longs: String, enums: String, bytes: String, defaults: true, oneofs: true });

/** A collector of OTLP over HTTP that takes protobuf and knows nothing of stringtap. */
export async function startCollector(): Promise<Collector> {
  const spans: Received[] = [];
  const metrics = new Set<string>();
  const collector = { status: 200 };
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.once('end', () => {
      if (collector.status === 200 && request.headers['content-type'] === 'application/x-protobuf') {
        const body = Buffer.concat(parts);
        if (request.url === '/v1/traces') spans.push(...received(toObject(TRACES, body)));
        else if (request.url === '/v1/metrics') for (const name of metricNames(toObject(METRICS, body))) metrics.add(name);
      }
      response.writeHead(collector.status, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(collector, {
    url: `http://127.0.0.1:${port}`,
    spans,
    metrics,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  });
}

/** The spans of an ExportTraceServiceRequest in OTLP's JSON: it differs from protobuf's own in that ids are hex. */
export function fromJson(line: string): Received[] {
  const request = JSON.parse(line, (key, value) =>
    /^(?:traceId|spanId|parentSpanId)$/.test(key) ? Buffer.from(value, 'hex').toString('base64') : value,
  ) as Message;
  const problem = TRACES.verify(TRACES.fromObject(request));
  if (problem !== null) throw new Error(problem);
  return received(toObject(TRACES, TRACES.encode(TRACES.fromObject(request)).finish()));
}

function received(request: Message): Received[] {
  return request.resourceSpans.flatMap((resource: Message) =>
    resource.scopeSpans.flatMap((scope: Message) =>
      scope.spans.map((span: Message) => ({
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        name: span.name,
        kind: span.kind,
        start: BigInt(span.startTimeUnixNano),
        end: BigInt(span.endTimeUnixNano),
        attributes: attributes(span.attributes),
        events: span.events.map((event: Message) => ({
          name: event.name,
          at: BigInt(event.timeUnixNano),
          attributes: attributes(event.attributes),
        })),
        links: span.links.map((link: Message) => ({ traceId: hex(link.traceId), spanId: hex(link.spanId) })),
        error: span.status?.code === 'STATUS_CODE_ERROR' ? span.status.message : null,
        resource: attributes(resource.resource.attributes),
      })),
    ),
  );
}

const hex = (base64: string): string => Buffer.from(base64, 'base64').toString('hex');

function attributes(list: Message[]): Record<string, unknown> {
  return Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      value.value === 'intValue'
        ? Number(value.intValue)
        : (value.stringValue ?? value.boolValue ?? value.doubleValue ?? value.intValue),
    ]),
  );
}

function metricNames(request: Message): string[] {
  return request.resourceMetrics.flatMap((resource: Message) =>
    resource.scopeMetrics.flatMap((scope: Message) => scope.metrics.map((metric: Message) => metric.name as string)),
  );
}
