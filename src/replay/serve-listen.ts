import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { type LeafContexts, ownAddresses } from '../proxy/contexts.ts';

/** As Jetty keeps an idle connection; agents drop theirs after 4 s. */
const IDLE_MS = 30_000;
const MAX_HEAD_BYTES = 128 * 1024;
/** An answer under way is waited for so long at the end. */
const CLOSE_MS = 5000;

export interface AgentServer {
  /** Where it listens, after port 0 was resolved. */
  readonly address: { host: string; port: number };
  /** Stops listening, lets the answers under way end. */
  close(): Promise<void>;
}

/**
 * A TLS server as a primary's: it asks for a certificate, and takes who has none.
 * @throws the error of `listen`
 */
export async function listenForAgents(
  listen: { host: string; port: number },
  contexts: LeafContexts,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<AgentServer> {
  const options: ServerOptions = {
    ...contexts.base(),
    requestCert: true,
    rejectUnauthorized: false, // a fresh agent has none
    maxHeaderSize: MAX_HEAD_BYTES,
    keepAliveTimeout: IDLE_MS,
    keepAliveTimeoutBuffer: 0,
    requestTimeout: 0,
    SNICallback: (name, done) => {
      contexts.forName(name).then(
        context => done(null, context),
        error => done(error instanceof Error ? error : new Error(String(error))),
      );
    },
  };
  const server = createServer(options, onRequest);
  const sockets = new Set<Duplex>();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', socket => socket.on('error', () => undefined));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  return {
    address: bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : { ...listen },
    async close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      server.closeIdleConnections();
      const late = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, CLOSE_MS);
      await closed;
      clearTimeout(late);
    },
  };
}

/** What the server's certificate carries: the recorded primaries' names, so that an agent needs no other `server`, and where it listens. */
export function serverNames(
  listen: { host: string },
  names: readonly string[],
  primaries: readonly { host: string }[],
): string[] {
  return [
    ...new Set([...primaries.map(({ host }) => host), ...names, 'localhost', '127.0.0.1', '::1', ...ownAddresses(listen.host)]),
  ];
}
