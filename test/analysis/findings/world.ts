import { openRecorder, type Recorder } from '../../../src/capture/recorder.ts';
import { type FindingRow, openStore, type Store } from '../../../src/capture/store.ts';
import { routeOf } from '../../../src/decode/route.ts';
import type { CloseCause, Connection, Exchange, Failure, Fields } from '../../../src/model.ts';
import { toCertname } from '../../../src/model.ts';
import { recording, tempDir } from '../../capture/rig.ts';

/** What a test says of one exchange; an answer of 200 by the primary over its own connection, unless told otherwise. */
export interface Asked {
  status?: number;
  request?: Uint8Array | string;
  response?: Uint8Array | string;
  /** Content-Type of each side. */
  requestType?: string;
  type?: string;
  /** Further fields of the request and of the answer. */
  fields?: Fields;
  responseFields?: Fields;
  accept?: string;
  /** How far its Date is ahead. */
  dateMs?: number;
  /** How long it takes. */
  ms?: number;
  failure?: Failure;
  abandoned?: boolean;
  by?: 'primary' | 'proxy';
  resent?: number;
  fault?: string;
}

/** One agent: its connections on both legs, its exchanges one after the other. */
export interface Node {
  readonly certname: string;
  ask(request: string, asked?: Asked): Promise<number>;
  /** A request without a client certificate, over a connection of its own. */
  bootstrap(request: string, asked?: Asked): Promise<number>;
  pause(ms: number): void;
  /** The agent drops its connection; the next request opens another. */
  dropAgent(): void;
  /** The primary's side closes; the next request opens another. */
  dropPrimary(cause?: CloseCause): void;
  catalog(catalog?: object, asked?: Asked): Promise<number>;
  report(report?: object, asked?: Asked): Promise<number>;
  /** The agent closes everything: what it asks after that is another run. */
  end(): void;
}

export interface NodeOptions {
  /** Its clock, and that of this host, at the start; default now. */
  at?: string;
  tls?: 'TLSv1.2' | 'TLSv1.3';
  /** Of each TLS handshake. */
  handshakeMs?: number;
}

/** A capture that is written by the real recorder from what tests tell, with a clock of its own. */
export interface World extends AsyncDisposable {
  readonly file: string;
  readonly recorder: Recorder;
  node(certname: string, options?: NodeOptions): Node;
  /** A connection of an agent that carried nothing. */
  failedConnection(peer: string, error: string): void;
  /** Ends the recording; then the findings can be read. */
  store(): Promise<Store>;
}

export async function makeWorld(): Promise<World> {
  const dir = tempDir();
  const file = dir.file('world.db');
  const recorder = await openRecorder({
    file,
    recording: recording(),
    durability: 'commit',
    maxBodyBytes: null,
    commitWaitMs: 60_000,
  });
  const began = Date.now();
  let mono = 1_000;
  let port = 40_000;
  let store: Store | null = null;

  function connection(leg: Connection['leg'], certname: string | null, base: number, options: NodeOptions): Connection {
    const opened: Connection = {
      id: recorder.connectionId(),
      leg,
      via: 'direct',
      peer: leg === 'agent' ? `10.0.0.1:${++port}` : '10.0.0.2:8140',
      target: leg === 'agent' ? null : 'puppet.example.com:8140',
      openedAt: base + mono,
      openedMono: mono,
      connectedMono: mono,
      secureMono: mono + (options.handshakeMs ?? 8),
      tls: {
        protocol: options.tls ?? 'TLSv1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        resumed: false,
        serverName: 'puppet.example.com',
      },
      peerName: certname,
      certname: certname === null ? null : toCertname(certname),
      refusal: null,
      error: null,
      bytesRead: 0,
      bytesWritten: 0,
      exchanges: 0,
      closed: null,
    };
    mono += options.handshakeMs ?? 8;
    recorder.connection(opened);
    return opened;
  }

  function close(one: Connection | null, base: number, by: 'agent' | 'primary', cause: CloseCause = 'end'): void {
    if (one === null || one.closed !== null) return;
    mono += 1;
    one.closed = { at: base + mono, mono, by, cause };
    recorder.connection(one);
  }

  function node(certname: string, options: NodeOptions = {}): Node {
    const base = (options.at === undefined ? began : Date.parse(options.at)) - mono;
    let agent: Connection | null = null;
    let primary: Connection | null = null;

    async function send(over: Connection, name: string | null, request: string, asked: Asked): Promise<number> {
      const [method, target] = request.split(' ') as [string, string];
      const id = recorder.exchangeId();
      const by = asked.by ?? 'primary';
      const status = asked.failure !== undefined && asked.status === undefined ? 502 : (asked.status ?? 200);
      const upstream = by === 'primary' || asked.failure?.reason === 'primary-closed';
      if (upstream) primary ??= connection('primary', name, base, options);
      if (upstream) primary!.exchanges += 1;
      over.exchanges += 1;
      const bytes = { request: 0, response: 0 };
      for (const side of ['request', 'response'] as const) {
        const body = asked[side];
        if (body === undefined) continue;
        const whole = Buffer.from(body);
        recorder.tap(id, side).write(whole);
        bytes[side] = whole.length;
      }
      const startMono = mono;
      mono += asked.ms ?? 5;
      const exchange: Exchange = {
        id,
        certname: name === null ? null : toCertname(name),
        route: routeOf(method, target),
        agent: { connection: over.id, ordinal: over.exchanges },
        primary: upstream ? { connection: primary!.id, ordinal: primary!.exchanges } : null,
        resent: asked.resent ?? 0,
        answeredBy: by,
        fault: asked.fault ?? null,
        request: {
          method,
          target,
          httpVersion: '1.1',
          fields: [
            ['X-Puppet-Version', '7.23.0'],
            ['Accept', asked.accept ?? 'application/vnd.puppet.rich+json, application/json, text/pson'],
            ['Accept-Encoding', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3'],
            ...(asked.requestType === undefined ? [] : ([['Content-Type', asked.requestType]] as Fields)),
            ...(asked.fields ?? []),
          ],
        },
        response: {
          status,
          reason: 'Said',
          fields: [
            ['Date', new Date(base + mono + (asked.dateMs ?? 0)).toUTCString()],
            ['Content-Type', asked.type ?? 'application/json;charset=utf-8'],
            ['X-Puppet-Version', '7.23.0'],
            ...(asked.responseFields ?? []),
          ],
        },
        primaryStatus: status,
        trailers: [],
        startedAt: base + startMono,
        timing: {
          startMono,
          requestEndMono: startMono,
          primaryReadyMono: upstream ? startMono : null,
          responseHeadMono: mono,
          firstByteMono: mono,
          endMono: mono,
        },
        requestBytes: bytes.request,
        responseBytes: bytes.response,
        outcome:
          asked.failure !== undefined
            ? { type: 'failed', failure: asked.failure }
            : { type: asked.abandoned === true ? 'abandoned' : 'answered' },
      };
      await new Promise<void>(resolve => recorder.exchange(exchange, resolve));
      mono += 1;
      return id;
    }

    const ask: Node['ask'] = (request, asked = {}) => {
      agent ??= connection('agent', certname, base, options);
      return send(agent, certname, request, asked);
    };
    return {
      certname,
      ask,
      async bootstrap(request, asked = {}) {
        const own = connection('agent', null, base, options);
        const before = primary;
        primary = null;
        const id = await send(own, null, request, asked);
        close(primary, base, 'primary');
        primary = before;
        close(own, base, 'agent');
        return id;
      },
      pause(ms) {
        mono += ms;
      },
      dropAgent() {
        close(agent, base, 'agent');
        agent = null;
      },
      dropPrimary(cause = 'end') {
        close(primary, base, 'primary', cause);
        primary = null;
      },
      catalog: (catalog = {}, asked = {}) =>
        ask(`POST /puppet/v3/catalog/${certname}?environment=production`, {
          request: 'environment=production&facts_format=application%2Fjson&static_catalog=true',
          requestType: 'application/x-www-form-urlencoded',
          response: JSON.stringify(makeCatalog(certname, catalog)),
          type: 'application/vnd.puppet.rich+json; charset=utf-8',
          ms: 400,
          ...asked,
        }),
      report: (report = {}, asked = {}) =>
        ask(`PUT /puppet/v3/report/${certname}?environment=production`, {
          request: JSON.stringify(makeReport(certname, new Date(base + mono), report)),
          requestType: 'application/json',
          response: '["store"]',
          ...asked,
        }),
      end() {
        close(agent, base, 'agent');
        agent = null;
        mono += 10;
      },
    };
  }

  return {
    file,
    recorder,
    node,
    failedConnection(peer, error) {
      const base = began - mono;
      const one = { ...connection('agent', null, base, {}), peer, error, tls: null, secureMono: null };
      close(one, base, 'agent', 'tls-alert');
    },
    async store() {
      await recorder.close();
      store ??= openStore(file, 'bodies');
      return store;
    },
    async [Symbol.asyncDispose]() {
      await recorder.close();
      store?.close();
      dir[Symbol.dispose]();
    },
  };
}

function makeCatalog(certname: string, more: object): object {
  return {
    name: certname,
    version: 1_795_380_482,
    code_id: 'c0de',
    catalog_uuid: crypto.randomUUID(),
    catalog_format: 2,
    environment: 'production',
    tags: [],
    classes: ['settings'],
    resources: [resource('Class', 'main', {})],
    edges: [],
    ...more,
  };
}

export function resource(type: string, title: string, parameters: object, sensitive: readonly string[] = []): object {
  const place = { file: '/etc/puppetlabs/code/environments/production/manifests/site.pp', line: 12 };
  return { type, title, tags: [], ...place, exported: false, parameters, sensitive_parameters: sensitive };
}

export function event(resourceName: string, property: string, status = 'success'): [string, object] {
  const [, type, title] = /^(.*?)\[(.*)\]$/.exec(resourceName) ?? [];
  const time = '2026-11-22T20:48:02.819629185+00:00';
  return [
    resourceName,
    {
      title,
      resource_type: type,
      resource: resourceName,
      changed: true,
      events: [{ property, name: 'x', status, previous_value: 'a', desired_value: 'b', message: 'm', time }],
    },
  ];
}

function makeReport(certname: string, at: Date, more: object): object {
  const time = at.toISOString();
  return {
    host: certname,
    time,
    configuration_version: 1_795_380_482,
    transaction_uuid: crypto.randomUUID(),
    report_format: 12,
    puppet_version: '7.23.0',
    status: 'unchanged',
    transaction_completed: true,
    noop: false,
    environment: 'production',
    logs: [
      { level: 'notice', message: 'Applied catalog in 0.5 seconds', source: 'Puppet', tags: [], time, file: null, line: null },
    ],
    metrics: {},
    resource_statuses: {},
    cached_catalog_status: 'not_used',
    ...more,
  };
}

/** Findings by certname; of connections by address. */
export function bySubject(store: Store): Map<string, FindingRow[]> {
  const found = new Map<string, FindingRow[]>();
  for (const row of store.findings()) found.set(row.subject, [...(found.get(row.subject) ?? []), row]);
  return found;
}
