import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecorder, type Recorder, type RecorderOptions } from '../../src/capture/recorder.ts';
import { routeOf } from '../../src/decode/route.ts';
import type { Connection, ConnectionId, Exchange, ExchangeId, Fields, Outcome, Recording, Side } from '../../src/model.ts';
import { toCertname } from '../../src/model.ts';

/** A folder of its own, removed in the end. */
export interface TempDir extends Disposable {
  file(name: string): string;
}

export function tempDir(): TempDir {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-capture-'));
  return {
    file: name => join(dir, name),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export function recording(): Recording {
  return {
    startedAt: Date.now(),
    startedMono: performance.now(),
    version: '0.1.0',
    pool: 'pooled',
    primaries: ['puppet.lab:8140'],
    listen: '127.0.0.1:8140',
  };
}

export function open(file: string, options: Partial<RecorderOptions> = {}): Promise<Recorder> {
  // A machine that runs many tests is slow: nothing is late unless a test wants it.
  return openRecorder({
    file,
    recording: recording(),
    durability: 'commit',
    maxBodyBytes: null,
    commitWaitMs: 60_000,
    ...options,
  });
}

export const FIELDS: Fields = [
  ['X-Puppet-Version', '7.23.0'],
  ['Accept', 'application/json, text/pson'],
  ['accept', 'twice, in another case'],
];

export interface Sending {
  certname?: string | null;
  status?: number | null;
  outcome?: Outcome;
  bodies?: Partial<Record<Side, Uint8Array | readonly Uint8Array[]>>;
  fields?: Fields;
  responseFields?: Fields;
  trailers?: Fields;
  fault?: string;
  answeredBy?: Exchange['answeredBy'];
}

/** An agent that puts its connections and exchanges on a tape. */
export interface Agent {
  connect(peer?: string): Line;
}

export interface Line {
  readonly id: ConnectionId;
  /** Puts an exchange on the tape; resolves to its id when it is committed. */
  send(request: string, sending?: Sending): Promise<ExchangeId>;
  /** The same with an answer that comes bit by bit. */
  sendStream(request: string, response: AsyncIterable<Uint8Array>): Promise<ExchangeId>;
  close(by?: 'agent' | 'proxy', cause?: 'end' | 'idle-timeout'): void;
}

/** @param certname `null`: it has no certificate yet */
export function agent(recorder: Recorder, certname: string | null): Agent {
  return { connect: peer => connect(recorder, certname, peer ?? '10.0.0.1:40000') };
}

function connect(recorder: Recorder, certname: string | null, peer: string): Line {
  const mono = performance.now();
  const connection: Connection = {
    id: recorder.connectionId(),
    leg: 'agent',
    via: 'direct',
    peer,
    target: null,
    openedAt: Date.now(),
    openedMono: mono,
    connectedMono: mono,
    secureMono: mono + 1.5,
    tls: { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', resumed: false, serverName: 'puppet.lab' },
    peerName: certname,
    certname: certname === null ? null : toCertname(certname),
    refusal: null,
    error: null,
    bytesRead: 0,
    bytesWritten: 0,
    exchanges: 0,
    closed: null,
  };
  recorder.connection(connection);
  return {
    id: connection.id,
    send(request, sending = {}) {
      connection.exchanges++;
      const exchange = exchangeOf(recorder, connection, request, { certname, ...sending });
      return new Promise(resolve => recorder.exchange(exchange, () => resolve(exchange.id)));
    },
    async sendStream(request, response) {
      connection.exchanges++;
      const exchange = exchangeOf(recorder, connection, request, { certname });
      const tap = recorder.tap(exchange.id, 'response');
      for await (const chunk of response) {
        tap.write(chunk);
        exchange.responseBytes += chunk.length;
      }
      return new Promise(resolve => recorder.exchange(exchange, () => resolve(exchange.id)));
    },
    close(by = 'agent', cause = 'end') {
      connection.closed = { at: Date.now(), mono: performance.now(), by, cause };
      recorder.connection(connection);
    },
  };
}

function exchangeOf(recorder: Recorder, connection: Connection, request: string, sending: Sending): Exchange {
  const id = recorder.exchangeId();
  const [method, target] = request.split(' ') as [string, string];
  const bytes = { request: 0, response: 0, 'primary-request': 0, 'primary-response': 0 };
  for (const [side, body] of Object.entries(sending.bodies ?? {}) as Array<[Side, Uint8Array | readonly Uint8Array[]]>) {
    const tap = recorder.tap(id, side);
    for (const chunk of body instanceof Uint8Array ? [body] : body) {
      tap.write(chunk);
      bytes[side] += chunk.length;
    }
  }
  const status = sending.status === undefined ? 200 : sending.status;
  const mono = performance.now();
  return {
    id,
    certname: sending.certname === null ? null : toCertname(sending.certname ?? ''),
    route: routeOf(method, target),
    agent: { connection: connection.id, ordinal: connection.exchanges },
    primary: null,
    resent: 0,
    answeredBy: sending.answeredBy ?? 'primary',
    fault: sending.fault ?? null,
    request: { method, target, httpVersion: '1.1', fields: sending.fields ?? FIELDS },
    response:
      status === null ? null : { status, reason: 'OK', fields: sending.responseFields ?? [['Content-Type', 'text/plain']] },
    primaryStatus: status,
    trailers: sending.trailers ?? [],
    startedAt: Date.now(),
    timing: {
      startMono: mono,
      requestEndMono: mono + 0.25,
      primaryReadyMono: null,
      responseHeadMono: mono + 1,
      firstByteMono: mono + 1.25,
      endMono: mono + 2,
    },
    requestBytes: bytes.request,
    responseBytes: bytes.response,
    outcome: sending.outcome ?? { type: 'answered' },
  };
}

/** A store or a database that a `using` closes. */
export function closing<T extends { close(): void }>(opened: T): T & Disposable {
  return Object.assign(opened, { [Symbol.dispose]: () => opened.close() });
}

/** How much of each kind is missing: a capture has a row for each message to the writer that told of any. */
export function lossCounts(losses: Iterable<{ reason: string; count: number }>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason, count } of losses) counts[reason] = (counts[reason] ?? 0) + count;
  return counts;
}

export function joined(chunks: Iterable<Uint8Array>): Buffer {
  return Buffer.concat([...chunks]);
}

/** Bytes that zstd cannot shrink, the same for the same seed. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let x = (seed * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x & 0xff;
  }
  return bytes;
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error('the condition did not come true in time');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
