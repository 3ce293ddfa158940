import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { CloseCause, Connection, Exchange, Leg, Tape } from '../model.ts';
import { UNTRUSTED } from './failure.ts';

/** Monotonic milliseconds; see model.ts on time. */
export const mono = (): number => performance.now();

/** `address:port`, IPv6 in brackets. */
export function authority(address: string | undefined, port: number | undefined): string {
  const host = address ?? 'unknown';
  return `${host.includes(':') ? `[${host}]` : host}:${port ?? 0}`;
}

/** An exchange that begins now. */
export function newExchange(
  tape: Tape,
  { certname, route, agent, request }: Pick<Exchange, 'certname' | 'route' | 'agent' | 'request'>,
): Exchange {
  const start = mono();
  return {
    id: tape.exchangeId(),
    certname,
    route,
    agent,
    primary: null,
    resent: 0,
    answeredBy: 'primary',
    fault: null,
    request,
    response: null,
    primaryStatus: null,
    trailers: [],
    startedAt: Date.now(),
    timing: {
      startMono: start,
      requestEndMono: null,
      primaryReadyMono: null,
      responseHeadMono: null,
      firstByteMono: null,
      endMono: start,
    },
    requestBytes: 0,
    responseBytes: 0,
    outcome: { type: 'answered' },
  };
}

/** A connection just opened, on the tape from now on. */
export function openConnection(tape: Tape, facts: Pick<Connection, 'leg' | 'via' | 'peer' | 'target' | 'certname'>): Connection {
  const connection: Connection = {
    id: tape.connectionId(),
    ...facts,
    openedAt: Date.now(),
    openedMono: mono(),
    connectedMono: null,
    secureMono: null,
    tls: null,
    peerName: null,
    refusal: null,
    error: null,
    bytesRead: 0,
    bytesWritten: 0,
    exchanges: 0,
    closed: null,
  };
  tape.connection(connection);
  return connection;
}

/** Notes that the TLS handshake of `socket` is done. */
export function secured(connection: Connection, socket: TLSSocket, serverName: string | null): void {
  connection.secureMono = mono();
  connection.tls = {
    protocol: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher()?.name ?? 'unknown',
    resumed: socket.isSessionReused(),
    serverName,
  };
}

/**
 * Who ended a connection and why. The first reason that is noted wins: what follows it (a FIN after an alert, our own `destroy`
 * after a FIN) is its consequence.
 */
export interface Ending {
  note(by: Leg | 'proxy', cause: CloseCause): void;
}

/**
 * Follows one socket to its end and puts that on the tape. `wire` is the TCP socket whose bytes are counted.
 * A socket that closes with nothing noted was closed by its peer: a TLS client that leaves in its handshake causes no other event.
 * @param isEnding whether the proxy is about to end, which then is the reason
 */
export function followEnd(tape: Tape, connection: Connection, wire: Socket, isEnding: () => boolean): Ending {
  let ending: { by: Leg | 'proxy'; cause: CloseCause } | null = null;
  const note: Ending['note'] = (by, cause) => {
    ending ??= { by, cause };
  };
  const unnoted = (): { by: Leg | 'proxy'; cause: CloseCause } =>
    isEnding() ? { by: 'proxy', cause: 'shutdown' } : { by: connection.leg, cause: 'end' };
  wire.once('close', () => {
    connection.bytesRead = wire.bytesRead;
    connection.bytesWritten = wire.bytesWritten;
    connection.closed = { at: Date.now(), mono: mono(), ...(ending ?? unnoted()) };
    tape.connection(connection);
  });
  return { note };
}

/** A peer that never answers our FIN is not waited for any longer. */
const FAREWELL_MS = 500;

/** Ends a connection from our side, after the last words. What the peer still sends is not read, and whether it ends too is not waited for. */
export function farewell(stream: Duplex, wire: Socket, words?: string): void {
  stream.end(words);
  stream.resume();
  setTimeout(() => wire.destroy(), FAREWELL_MS).unref();
}

/** The cause behind a socket error, and which side it came from. */
export function noteError(ending: Ending, error: NodeJS.ErrnoException, peer: Leg): void {
  const code = error.code ?? '';
  if (code === 'UND_ERR_INFO') ending.note('proxy', error.message.includes('idle') ? 'idle-timeout' : 'aborted');
  else if (code.startsWith('UND_ERR_')) ending.note(code === 'UND_ERR_SOCKET' ? peer : 'proxy', 'aborted');
  else if (code.startsWith('HPE_') || error.name === 'HTTPParserError') ending.note('proxy', 'protocol-error');
  else if (/ALERT/.test(code)) ending.note(peer, 'tls-alert');
  else if (/^(ERR_SSL_|ERR_TLS_|EPROTO)/.test(code) || UNTRUSTED.test(code)) ending.note('proxy', 'tls-failed');
  else if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNREFUSED') ending.note(peer, 'reset');
  else ending.note('proxy', 'aborted');
}
