import type { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Certname, Fields, Tape } from '../model.ts';
import type { Lane } from './attempt.ts';
import { reasonOf } from './failure.ts';
import { passContinue } from './interim.ts';
import type { KeyLine } from './keylog.ts';
import { authority, followEnd, mono, noteError, openConnection, secured } from './tracking.ts';

/** Where requests go, and by whose CA that place is known. */
export interface Primary {
  host: string;
  port: number;
  /** Plain HTTP: there is no certificate of the primary, and none of an agent. */
  plain?: boolean;
  /** PEM bundle that the primary's certificate must verify against; `null` while it is not known: nothing is sent then. */
  caPem(): string | null;
  /** Whether a certificate that its CA signed is refused: revoked, or by a list that has ended. `null`: it is not, as far as is known. */
  vet?(certificate: X509Certificate): Promise<Error | null> | null;
}

/** What is presented to the primary; see pki/identity.ts. */
export interface Presented {
  certname: Certname;
  keyPem: string;
  certPem: string;
  fingerprint: string;
  /** Given, the certname is said in these header fields, and nothing is presented by TLS. */
  fields?: Fields;
}

/** How the connections of one pool are opened, and who is told of them. */
export interface Dialing {
  tape: Tape;
  primary: Primary;
  identity: Presented | null;
  /** The primary's certificate must verify against it. */
  caPem: string;
  /** TCP and TLS together. */
  connectMs: number;
  /** The last TLS session of this identity with this primary. */
  session(): Buffer | undefined;
  onSession(ticket: Buffer): void;
  onOpened(lane: Lane): void;
  /** Also of one that never opened. */
  onClosed(lane: Lane): void;
  /** The proxy ends. */
  isClosing(): boolean;
  /** TLS secrets of each handshake, for a key log. */
  onKeys?: KeyLine;
}

/** What undici calls for a connection. */
type Connect = (options: unknown, callback: (...args: [null, Socket] | [Error, null]) => void) => void;

/** Opens connections to a primary: TCP, TLS as an identity, a look at the primary's certificate; each is a row of the tape, followed to its end. */
export function openDialing(dialing: Dialing): (lane: Lane) => Connect {
  const { tape, primary, identity, caPem, connectMs, isClosing } = dialing;
  const origin = authority(primary.host, primary.port);
  const serverName = isIP(primary.host) ? '' : primary.host;
  let context: SecureContext | null = null;
  function secureSocket(): TLSSocket {
    const shown = identity && !identity.fields ? { key: identity.keyPem, cert: identity.certPem } : {};
    context ??= createSecureContext({ ca: caPem, ...shown });
    const session = dialing.session();
    const secure = connectTls({
      host: primary.host,
      port: primary.port,
      servername: serverName,
      secureContext: context,
      ...(session && { session }),
    });
    if (dialing.onKeys) secure.on('keylog', dialing.onKeys);
    secure.on('session', dialing.onSession);
    return secure;
  }
  return lane => (_, callback) => {
    const connection = openConnection(tape, {
      leg: 'primary',
      via: primary.plain ? 'plain' : 'direct',
      peer: origin,
      target: origin,
      certname: identity?.certname ?? null,
    });
    let socket: Socket;
    try {
      socket = primary.plain ? connectTcp({ host: primary.host, port: primary.port }) : secureSocket();
    } catch (error) {
      connection.error = reasonOf(error);
      connection.closed = { at: Date.now(), mono: mono(), by: 'proxy', cause: 'tls-failed' };
      tape.connection(connection);
      callback(error instanceof Error ? error : new Error(String(error)), null);
      return;
    }
    socket.setNoDelay(true);
    const ending = followEnd(tape, connection, socket, isClosing);
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })),
      connectMs,
    );
    const failed = (error: Error): void => {
      clearTimeout(timer);
      callback(error, null);
    };
    socket.once('connect', () => {
      connection.connectedMono = mono();
      connection.peer = authority(socket.remoteAddress, socket.remotePort);
    });
    socket.once('error', failed);
    lane.error = null;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!error.code?.startsWith('UND_ERR_')) lane.error ??= error;
      // undici ends a socket of ours with an error of its own: idle, closed pool. That is no fault of the connection.
      if (!error.code?.startsWith('UND_ERR_') || error.code === 'UND_ERR_SOCKET') connection.error ??= reasonOf(error);
      if (isClosing()) ending.note('proxy', 'shutdown');
      noteError(ending, error, 'primary');
    });
    socket.once('end', () => {
      const { answer, announced } = lane;
      if (answer === 'awaited' || answer === 'framed') ending.note('primary', 'aborted');
      else ending.note('primary', answer === 'until-end' && announced ? 'connection-close' : 'end');
    });
    socket.once('close', () => {
      if (lane.connection === connection) lane.connection = null;
      dialing.onClosed(lane);
    });
    socket.once(primary.plain ? 'connect' : 'secureConnect', () => {
      const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
      if (socket instanceof TLSSocket) secured(connection, socket, serverName === '' ? null : serverName);
      connection.peerName = certificate?.subject ?? null;
      tape.connection(connection);
      const vetted = (certificate && primary.vet?.(certificate)) ?? null;
      if (vetted === null) ready(certificate);
      else {
        void vetted.then(refused => {
          // Gone in between, without an error that says so; destroying it again would say nothing either.
          if (socket.destroyed) socket.emit('error', refused ?? Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
          else if (refused !== null) socket.destroy(refused);
          else ready(certificate);
        });
      }
    });
    function ready(certificate?: X509Certificate): void {
      clearTimeout(timer);
      socket.off('error', failed);
      dialing.onOpened(lane);
      lane.connection = connection;
      lane.certificate = certificate ?? null;
      lane.note = ending.note;
      lane.heads = passContinue(socket);
      lane.answer = 'none';
      lane.announced = false;
      callback(null, socket);
    }
  };
}
