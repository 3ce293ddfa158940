import type { Socket } from 'node:net';
import { connect as connectTcp } from 'node:net';
import {
  connect as connectTls,
  createServer,
  type SecureContextOptions,
  type SecureVersion,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { subjectAltName } from '../../src/pki/x509.ts';
import { type DemoCa, makeKey } from '../peers/ca.ts';
import { openWire, type Wire } from './wire.ts';

/** A connection that a raw primary accepted. */
export interface Accepted extends Wire {
  /** From 1, counted from the start of the test. */
  readonly number: number;
  readonly tls: TLSSocket;
}

export type Script = (connection: Accepted) => void | Promise<void>;

/** A TLS server whose answers a test writes byte by byte. */
export interface RawPrimary extends AsyncDisposable {
  readonly port: number;
  /** Connections that ran the test's script. */
  readonly accepted: readonly Accepted[];
  /** Runs for each connection from now on. */
  script: Script;
  /** An error that a script threw. */
  readonly failures: readonly unknown[];
  stop(): Promise<void>;
}

/** @param ca that signs its certificate */
export async function startRawPrimary(
  ca: DemoCa,
  options: { host?: string; names?: readonly string[]; tls?: TlsOptions } = {},
): Promise<RawPrimary> {
  const key = await makeKey('ec');
  const names = options.names ?? ['puppet.example.com', 'localhost', '127.0.0.1', '::1'];
  const accepted: Accepted[] = [];
  const failures: unknown[] = [];
  const sockets = new Set<Socket>();
  let script: Script = connection => greet(ca, connection);
  let scripted = false;

  const server = createServer(
    {
      key: key.pem,
      cert: ca.issue('puppet.example.com', key.publicKey, { extensions: [subjectAltName(names)] }),
      ca: ca.caPem,
      requestCert: true,
      rejectUnauthorized: false,
      ...options.tls,
    },
    tls => {
      const connection = Object.assign(openWire(tls), { number: accepted.length + 1, tls });
      if (scripted) accepted.push(connection);
      Promise.resolve(script(connection)).catch((error: unknown) => {
        // Most scripts end because the test does.
        failures.push(error);
        tls.destroy();
      });
    },
  );
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, options.host ?? '127.0.0.1', resolve);
  });
  const bound = server.address();
  const stop = (): Promise<void> =>
    new Promise(resolve => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    accepted,
    failures,
    get script() {
      return script;
    },
    set script(next) {
      scripted = true;
      script = next;
    },
    stop,
    async [Symbol.asyncDispose]() {
      if (server.listening) await stop();
    },
  };
}

/** What a proxy asks a primary for when it starts: the CA and the CRL. */
async function greet(ca: DemoCa, connection: Accepted): Promise<void> {
  while (!connection.isEnded) {
    const { start } = await connection.request();
    const body = start.includes('/certificate_revocation_list/') ? ca.crlPem : ca.caPem;
    connection.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  }
}

export interface Dialled extends Wire {
  readonly tls: TLSSocket;
}

export interface DialOptions {
  host: string;
  port: number;
  /** SNI and the name that is verified; `null` sends none and verifies the address. */
  serverName: string | null;
  /** Verified against this bundle; `null` does not verify. */
  caPem: string | null;
  crlPem?: string | null;
  pair?: { keyPem: string; certPem: string } | null;
  minVersion?: SecureVersion;
  maxVersion?: SecureVersion;
  session?: Buffer;
  /** An open socket, such as a CONNECT tunnel. */
  socket?: Socket;
  tls?: SecureContextOptions;
}

/** A TLS connection of an agent that writes its requests byte by byte. Rejects when the handshake fails. */
export function dial(options: DialOptions): Promise<Dialled> {
  const { host, port, serverName, caPem, crlPem = null, pair = null, minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3' } = options;
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      ...(options.socket === undefined ? { host, port } : { socket: options.socket }),
      ...(serverName === null ? {} : { servername: serverName }),
      ...(caPem !== null && { ca: caPem }),
      ...(crlPem !== null && { crl: crlPem.split(/(?<=-----END X509 CRL-----\n)/) }),
      ...(pair !== null && { key: pair.keyPem, cert: pair.certPem }),
      ...(options.session !== undefined && { session: options.session }),
      rejectUnauthorized: caPem !== null,
      minVersion,
      maxVersion,
      ...options.tls,
    });
    tls.setNoDelay(true);
    tls.once('error', reject);
    tls.once('secureConnect', () => {
      tls.off('error', reject);
      resolve(Object.assign(openWire(tls), { tls }));
    });
  });
}

/** A plain TCP connection. */
export function dialPlain(host: string, port: number): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true }, () => {
      socket.off('error', reject);
      resolve(openWire(socket));
    });
    socket.once('error', reject);
  });
}
