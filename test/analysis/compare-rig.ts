import type { ExchangeData, RunData } from '../../src/analysis/compare-data.ts';
import { sha256 } from '../../src/analysis/compare-decoded.ts';
import type { Fields } from '../../src/model.ts';

/** What a test says of an exchange; a GET that was answered 200 unless said otherwise. */
export interface Told {
  method?: string;
  target: string;
  status?: number | null;
  request?: Uint8Array | string | null;
  response?: Uint8Array | string | null;
  requestFields?: Fields;
  responseFields?: Fields;
  requestType?: string;
  responseType?: string;
  more?: Partial<ExchangeData>;
}

let ids = 0;

export function exchangeOf(told: Told): ExchangeData {
  const body = (given: Uint8Array | string | null | undefined): ExchangeData['request'] => {
    if (given === null || given === undefined) return null;
    const bytes = typeof given === 'string' ? new TextEncoder().encode(given) : given;
    return { sha256: sha256(bytes), sizeBytes: bytes.length, complete: true, bytes };
  };
  const fields = (type: string | undefined, more: Fields | undefined): Fields => [
    ...(type === undefined ? [] : [['Content-Type', type] as const]),
    ...(more ?? []),
  ];
  return {
    id: `e${++ids}`,
    method: told.method ?? 'GET',
    target: told.target,
    status: told.status === undefined ? 200 : told.status,
    outcome: 'answered',
    failure: null,
    answeredBy: 'primary',
    fault: null,
    requestFields: fields(told.requestType, told.requestFields),
    responseFields: fields(told.responseType, told.responseFields),
    request: body(told.request),
    response: body(told.response),
    durationMs: 1,
    ...told.more,
  };
}

export function runOf(exchanges: readonly Told[], more: Partial<RunData> = {}): RunData {
  return {
    id: 'r1',
    capture: null,
    certname: 'agent.example',
    environment: 'production',
    puppetVersion: '7.23.0',
    startedAt: null,
    durationMs: null,
    exchanges: exchanges.map(exchangeOf),
    connections: [],
    ...more,
  };
}

/** A catalog as a primary writes it. */
export interface CatalogTold {
  resources: readonly {
    type: string;
    title: string;
    parameters?: Record<string, unknown>;
    sensitive?: readonly string[];
    tags?: readonly string[];
    file?: string;
    line?: number;
  }[];
  edges?: readonly (readonly [source: string, target: string])[];
  more?: Record<string, unknown>;
}

let catalogs = 0;

export function catalogBody({ resources, edges = [], more = {} }: CatalogTold): string {
  // what is different every time
  catalogs++;
  return JSON.stringify({
    name: 'agent.example',
    version: 1_700_000_000 + catalogs,
    code_id: `code-${catalogs}`,
    catalog_uuid: `uuid-${catalogs}`,
    environment: 'production',
    tags: ['settings'],
    resources: resources.map(({ type, title, parameters = {}, sensitive, tags = [], file, line }) => ({
      ...{ type, title, tags, file, line, exported: false, parameters },
      ...(sensitive !== undefined && { sensitive_parameters: sensitive }),
    })),
    edges: edges.map(([source, target]) => ({ source, target })),
    classes: ['settings'],
    ...more,
  });
}

/** Facts as an agent sends them, in the form of a catalog request. */
export function requestBody(facts: Record<string, unknown>): string {
  const encoded = encodeURIComponent(JSON.stringify({ name: 'agent.example', values: facts, timestamp: String(catalogs++) }));
  return `facts_format=application%2Fjson&facts=${encodeURIComponent(encoded)}&environment=production&transaction_uuid=${catalogs}`;
}

/** The exchange of a catalog. */
export function catalogExchange(catalog: CatalogTold, facts: Record<string, unknown> = {}): Told {
  return {
    method: 'POST',
    target: '/puppet/v3/catalog/agent.example?environment=production',
    requestType: 'application/x-www-form-urlencoded',
    request: requestBody(facts),
    responseType: 'application/vnd.puppet.rich+json',
    response: catalogBody(catalog),
  };
}
