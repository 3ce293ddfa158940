import { Agent, type RequestOptions, request } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';

/** How an agent reaches its primary. */
export interface Place {
  /** Where it connects to: the primary, or the proxy that stands for it. */
  host: string;
  port: number;
  /** The name that it verifies and asks for by SNI (`server`). */
  serverName: string;
  /** `http_proxy_host` and `http_proxy_port`: CONNECT to host and port above through this. */
  via: { host: string; port: number } | null;
}

/** What a connection is verified with, and what it presents; `null` bundles verify nothing. */
export interface Credentials {
  caPem: string | null;
  crlPem: string | null;
  pair: { keyPem: string; certPem: string } | null;
}

/** An answer, its content coding undone. */
export interface Reply {
  status: number;
  reason: string;
  type: string;
  body: Buffer;
}

export interface Sending {
  method: string;
  target: string;
  /** In the order in which they are written. */
  fields: readonly (readonly [name: string, value: string])[];
  body: Buffer | null;
}

/** One keep-alive connection as Puppet's pool makes it: one SSL context, one request at a time, reopened when it was closed. */
export interface Line {
  send(sending: Sending): Promise<Reply>;
  close(): void;
}

/** `Host`, as Ruby's Net::HTTP writes it. */
export function hostField({ serverName, port }: Place): string {
  return `${serverName.includes(':') ? `[${serverName}]` : serverName}:${port}`;
}

/**
 * Opens one TLS connection, through CONNECT when the place says so.
 * @throws OpenSSL's and Node's errors; the status line of a CONNECT that was refused
 */
export async function openTls(place: Place, credentials: Credentials): Promise<TLSSocket> {
  const wire = place.via === null ? undefined : await throughProxy(place, place.via);
  return new Promise((resolve, reject) => {
    const isAddress = /^[\d.]+$|:/.test(place.serverName);
    const socket = connectTls({
      ...(wire === undefined ? { host: place.host, port: place.port } : { socket: wire }),
      ...(!isAddress && { servername: place.serverName }),
      ...(isAddress && { host: place.serverName }),
      ...(credentials.caPem !== null && { ca: credentials.caPem }),
      // Node reads one list a PEM text.
      ...(credentials.crlPem !== null && { crl: credentials.crlPem.split(/(?<=-----END X509 CRL-----\n)/) }),
      ...(credentials.pair !== null && { key: credentials.pair.keyPem, cert: credentials.pair.certPem }),
      rejectUnauthorized: credentials.caPem !== null,
      minVersion: 'TLSv1.2',
    });
    socket.setNoDelay(true);
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function throughProxy(place: Place, via: { host: string; port: number }): Promise<Socket> {
  const target = hostField(place);
  return new Promise((resolve, reject) => {
    const wire = connectTcp({ host: via.host, port: via.port, noDelay: true }, () => {
      wire.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    });
    let head = '';
    const read = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      wire.off('data', read);
      wire.off('error', reject);
      const [line = ''] = head.split('\r\n', 1);
      if (/^HTTP\/1\.[01] 200 /.test(line)) resolve(wire);
      else {
        wire.destroy();
        reject(new Error(`CONNECT ${target}: ${line}`));
      }
    };
    wire.on('data', read);
    wire.once('error', reject);
    wire.once('close', () => reject(new Error(`CONNECT ${target}: the proxy closed the connection`)));
  });
}

/** A connection that is opened by the first request. */
export function openLine(place: Place, credentials: Credentials): Line {
  const pool = new LineAgent(place, credentials);
  return {
    send: sending =>
      new Promise((resolve, reject) => {
        const outgoing = request({
          agent: pool,
          host: place.host,
          port: place.port,
          method: sending.method,
          path: sending.target,
          setHost: false,
        });
        // Puppet sends no Connection field: HTTP/1.1 keeps the connection anyway.
        outgoing.removeHeader('connection');
        for (const [name, value] of sending.fields) outgoing.setHeader(name, value);
        outgoing.once('error', reject);
        outgoing.once('response', answer => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.once('error', reject);
          answer.once('end', () => {
            const body = Buffer.concat(chunks);
            resolve({
              status: answer.statusCode ?? 0,
              reason: answer.statusMessage ?? '',
              type: answer.headers['content-type'] ?? '',
              body: answer.headers['content-encoding'] === 'gzip' && body.length > 0 ? gunzipSync(body) : body,
            });
          });
        });
        outgoing.end(sending.body ?? undefined);
      }),
    close: () => pool.destroy(),
  };
}

/** Node's keep-alive with one connection, opened by {@link openTls}. Two connections of Ruby's never resume a session. */
class LineAgent extends Agent {
  readonly #place: Place;
  readonly #credentials: Credentials;

  constructor(place: Place, credentials: Credentials) {
    super({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
    this.#place = place;
    this.#credentials = credentials;
  }

  override createConnection(_options: RequestOptions, callback?: (error: Error | null, socket: Duplex) => void): undefined {
    openTls(this.#place, this.#credentials).then(
      socket => callback?.(null, socket),
      (error: Error) => (callback as ((error: Error) => void) | undefined)?.(error),
    );
  }
}
