import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecorder } from '../../src/capture/recorder.ts';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import type { CloseCause, Connection, Exchange, Phase, Recording } from '../../src/model.ts';

export const START = Date.parse('2026-03-01T10:00:00Z');
const RECORDING: Recording = {
  startedAt: START,
  startedMono: 0,
  version: '0',
  pool: 'pooled',
  primaries: ['puppet.example.com:8140'],
  listen: '127.0.0.1:8140',
};

/** What a test says of one connection; moments in ms after {@link START}. */
export interface ConnectionTale {
  leg: Connection['leg'];
  certname?: string | null;
  opened: number;
  tcp?: number;
  tls?: number;
  resumed?: boolean;
  closed?: readonly [at: number, by: 'agent' | 'proxy' | 'primary', cause: CloseCause];
  error?: string;
}

export interface ExchangeTale {
  phase: Phase;
  target?: string;
  certname?: string | null;
  /** Numbers of connections, from 1 in the order of the tale, with ordinals. */
  agent: readonly [connection: number, ordinal: number];
  primary?: readonly [connection: number, ordinal: number];
  from: number;
  to: number;
  /** Fields of the answer. */
  fields?: Exchange['request']['fields'];
}

export interface Tale {
  connections: readonly ConnectionTale[];
  exchanges: readonly ExchangeTale[];
  pool?: 'pooled' | 'mirror';
}

/** A capture with exactly these connections and exchanges in it, through the real recorder. */
export async function writeCapture(file: string, tale: Tale): Promise<void> {
  const pool = tale.pool ?? 'pooled';
  const recorder = await openRecorder({
    file,
    recording: { ...RECORDING, pool },
    durability: 'commit',
    maxBodyBytes: null,
  });
  const records = tale.connections.map(told => toConnection(recorder.connectionId(), told, tale));
  for (const record of records) recorder.connection({ ...record, closed: null });
  for (const told of tale.exchanges) {
    const exchange = toExchange(recorder.exchangeId(), told, records);
    await new Promise<void>(done => recorder.exchange(exchange, done));
  }
  for (const record of records.sort((a, b) => (a.closed?.mono ?? 0) - (b.closed?.mono ?? 0))) recorder.connection(record);
  await recorder.close();
}

function toConnection(id: Connection['id'], told: ConnectionTale, tale: Tale): Connection {
  const certname = (told.certname === undefined ? 'web1.example.com' : told.certname) as Connection['certname'];
  const { leg, opened, tcp = 0, tls = 10, closed } = told;
  const number = tale.connections.indexOf(told) + 1;
  const used = tale.exchanges.filter(one => (leg === 'agent' ? one.agent : one.primary)?.[0] === number);
  return {
    id,
    leg,
    via: 'direct',
    peer: leg === 'agent' ? `192.0.2.1:${4000 + number}` : '192.0.2.9:8140',
    target: null,
    openedAt: START + opened,
    openedMono: opened,
    connectedMono: opened + tcp,
    secureMono: told.error === undefined ? opened + tcp + tls : null,
    tls:
      told.error === undefined
        ? { protocol: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', resumed: told.resumed === true, serverName: null }
        : null,
    peerName: leg === 'agent' ? certname : 'puppet.example.com',
    certname,
    refusal: null,
    error: told.error ?? null,
    bytesRead: 1000,
    bytesWritten: 2000,
    exchanges: used.length,
    closed: closed === undefined ? null : { at: START + closed[0], mono: closed[0], by: closed[1], cause: closed[2] },
  };
}

function toExchange(id: Exchange['id'], told: ExchangeTale, connections: readonly Connection[]): Exchange {
  const { phase, agent, primary, from, to } = told;
  const certname = (told.certname === undefined ? 'web1.example.com' : told.certname) as Exchange['certname'];
  const use = ([connection, ordinal]: readonly [number, number]) => ({ connection: connections[connection - 1]!.id, ordinal });
  return {
    id,
    certname,
    route: { phase, indirection: null, key: null, environment: null, transactionUuid: null },
    agent: use(agent),
    primary: primary === undefined ? null : use(primary),
    resent: 0,
    answeredBy: 'primary',
    fault: null,
    request: { method: 'GET', target: told.target ?? `/puppet/v3/${phase}/x`, httpVersion: '1.1', fields: [] },
    response: { status: 200, reason: 'OK', fields: told.fields ?? [] },
    primaryStatus: 200,
    trailers: [],
    startedAt: START + from,
    timing: {
      startMono: from,
      requestEndMono: from,
      primaryReadyMono: primary === undefined ? null : from,
      responseHeadMono: to,
      firstByteMono: to,
      endMono: to,
    },
    requestBytes: 0,
    responseBytes: 0,
    outcome: { type: 'answered' },
  };
}

export interface Printed {
  code: number;
  out: string[];
  err: string[];
}

/** One command line, in this process. */
export async function stringtap(...args: string[]): Promise<Printed> {
  const printed: Printed = { code: 0, out: [], err: [] };
  const io: Io = {
    out: line => void printed.out.push(line),
    err: line => void printed.err.push(line),
    chatter: () => undefined,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 120,
    env: {},
    exitCode: 0,
  };
  const before = process.exitCode;
  await main(['node', 'stringtap', ...args], io);
  process.exitCode = before;
  return { ...printed, code: io.exitCode };
}

/** A folder that is removed afterwards. */
export function temporaryFolder(): { path: (name: string) => string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-reuse-'));
  return {
    path: name => join(dir, name),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}
