import { lookup } from 'node:dns/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Fields } from '../model.ts';
import type { PrimaryAddress } from '../proxy/contact.ts';

/** What the doctor asks the network. Every call has a time limit, and rejects with Node's or OpenSSL's own error. */

const LIMIT_MS = 10_000;
/** Answers to the doctor are a word or a CA bundle. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Credentials of one TLS connection; without a CA nothing is verified. */
export interface Presenting {
  ca: string | null;
  crl?: readonly string[];
  key?: string;
  cert?: string;
}

export async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** One TCP connection; the socket is the caller's to end. */
export function tcpSocket({ host, port }: PrimaryAddress): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, timeout: LIMIT_MS }, () => resolve(socket));
    limit(socket, reject);
  });
}

/** One TLS handshake; the socket is the caller's to end. */
export function tlsSocket({ host, port }: PrimaryAddress, { ca, crl, key, cert }: Presenting): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      {
        host,
        port,
        servername: isIP(host) === 0 ? host : '',
        timeout: LIMIT_MS,
        ...(ca === null ? { rejectUnauthorized: false } : { ca }),
        ...(crl !== undefined && crl.length > 0 && { crl: [...crl] }),
        ...(key !== undefined && cert !== undefined && { key, cert }),
      },
      () => resolve(socket),
    );
    limit(socket, reject);
  });
}

function limit(socket: Socket, reject: (error: Error) => void): void {
  socket.once('timeout', () => socket.destroy(new Error(`nothing came in ${LIMIT_MS / 1000} s`)));
  socket.on('error', reject);
}

export interface Reply {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
  /** When the head came, ms since the epoch. */
  at: number;
}

/** One GET over a connection that stays open when the server keeps it. @param more fields beside those that every request has */
export function get(socket: Socket, { host, port }: PrimaryAddress, path: string, more: Fields = []): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        createConnection: () => socket,
        host,
        port,
        path,
        timeout: LIMIT_MS,
        headers: {
          Accept: 'text/plain, application/json',
          'User-Agent': 'stringtap',
          Connection: 'keep-alive',
          ...Object.fromEntries(more),
        },
      },
      answer => {
        const at = Date.now();
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_BODY_BYTES) outgoing.destroy(new Error('the answer is larger than 16 MiB'));
          else chunks.push(chunk);
        });
        answer.once('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString('latin1'),
            at,
          }),
        );
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer in ${LIMIT_MS / 1000} s`)));
    outgoing.once('error', reject);
    outgoing.end();
  });
}
