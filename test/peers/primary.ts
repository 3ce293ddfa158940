import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Fields } from '../../src/model.ts';
import { subjectAltName } from '../../src/pki/x509.ts';
import { type Answer, send, text } from './answers.ts';
import { type DemoCa, type KeyType, makeDemoCa, makeKey } from './ca.ts';
import { answerTo, type Books } from './routes.ts';

export interface DemoPrimaryOptions {
  /** Default `127.0.0.1`. */
  host?: string;
  /** Its own certname; default `puppet.example.com`. */
  certname?: string;
  /** One self-signed CA certificate, or root and intermediate. Default `self`. */
  ca?: 'self' | 'chain';
  /** Default `rsa`, as Puppet does it; `ec` starts faster. */
  keyType?: KeyType;
  /** Sign each CSR at once; default `true`. */
  autosign?: boolean;
  /** Puppet 8's `allow-auto-renewal`; default `false`: 403, as Puppet Server 7 answers. */
  renewal?: boolean;
  /** An idle connection is closed after this time; Jetty's 30,000 by default. */
  idleMs?: number;
  /** Every answer says `Connection: close`. */
  closeEach?: boolean;
  tls?: { minVersion?: 'TLSv1.2' | 'TLSv1.3'; maxVersion?: 'TLSv1.2' | 'TLSv1.3' };
  /** Value of X-Puppet-Version; default `7.23.0`. */
  version?: string;
}

/** One request as the primary saw it. */
export interface Seen {
  method: string;
  target: string;
  /** `null` until it is answered. */
  status: number | null;
  /** CN of a client certificate that verified. */
  certname: string | null;
  /** Number of the TLS connection, from 1. */
  connection: number;
  ordinal: number;
  tls: string;
  resumed: boolean;
  fields: Fields;
  body: Buffer;
}

/** A primary without Puppet: its CA, its file server, a small catalog. Speaks TLS on a free port. */
export interface DemoPrimary extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly certname: string;
  readonly ca: DemoCa;
  /** In the order in which the requests arrived. */
  readonly seen: readonly Seen[];
  /** TLS connections so far, and those that are open. */
  readonly connections: { total: number; open: number };
  autosign: boolean;
  closeEach: boolean;
  /** Certnames whose catalog does not compile. */
  readonly failing: Set<string>;
  /** The certificate of a certname, once signed. */
  certificateOf(certname: string): string | null;
  /** Signs a CSR that waits. */
  sign(certname: string): void;
  /** Enters a certificate that was made elsewhere with {@link DemoCa.issue}. */
  enter(certname: string, certPem: string): void;
  revoke(certname: string): void;
  /** Revokes and forgets, so that a new CSR is taken (`puppetserver ca clean`). */
  clean(certname: string): void;
  /** Stops listening and cuts every connection, as a primary that is restarted. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

const MAX_BODY_BYTES = 16 * 1024 * 1024;

export async function startDemoPrimary(options: DemoPrimaryOptions = {}): Promise<DemoPrimary> {
  const { host = '127.0.0.1', certname = 'puppet.example.com', keyType = 'rsa', version = '7.23.0' } = options;
  const ca = await makeDemoCa(certname, options.ca ?? 'self', keyType);
  const key = await makeKey(keyType);
  const names = [...new Set([certname, 'puppet.example.com', 'localhost', '127.0.0.1', '::1'])];
  const books: Books = {
    ca,
    certificates: new Map(),
    requests: new Map(),
    failing: new Set(),
    autosign: options.autosign ?? true,
    renewal: options.renewal ?? false,
  };
  const seen: Seen[] = [];
  const open = new Map<Socket, { number: number; exchanges: number; certname: string | null }>();
  const wires = new Set<Duplex>();
  let total = 0;
  let closeEach = options.closeEach ?? false;

  const server = createServer({
    key: key.pem,
    cert: ca.issue(certname, key.publicKey, { extensions: [subjectAltName(names)] }),
    ca: ca.caPem,
    requestCert: true,
    rejectUnauthorized: false, // Jetty "wants" a certificate; what needs one is decided by path
    minVersion: 'TLSv1.2',
    ...options.tls,
    keepAliveTimeout: options.idleMs ?? 30_000,
    keepAliveTimeoutBuffer: 0,
    requestTimeout: 0,
  });

  server.on('connection', wire => {
    wires.add(wire);
    wire.once('close', () => wires.delete(wire));
  });
  // Before Node's own listener, which starts to read requests.
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    total += 1;
    const certificate = socket.getPeerX509Certificate();
    const refused = certificate !== undefined && (!socket.authorized || ca.isRevoked(certificate.serialNumber));
    open.set(socket, { number: total, exchanges: 0, certname: commonName(certificate?.subject) });
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    if (refused) socket.destroy();
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void serve(request, response);
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const connection = open.get(socket);
    if (connection === undefined || !(socket instanceof TLSSocket)) {
      socket.destroy();
      return;
    }
    connection.exchanges += 1;
    const entry: Seen = {
      method: request.method ?? '',
      target: request.url ?? '',
      status: null,
      certname: connection.certname,
      connection: connection.number,
      ordinal: connection.exchanges,
      tls: socket.getProtocol() ?? 'unknown',
      resumed: socket.isSessionReused(),
      fields: pairsOf(request.rawHeaders),
      body: Buffer.alloc(0),
    };
    seen.push(entry);
    try {
      entry.body = await bodyOf(request);
    } catch {
      response.destroy();
      return;
    }
    const answer = answered(entry, request);
    entry.status = answer.status;
    send(request, response, answer, version, closeEach);
  }

  function answered(entry: Seen, request: IncomingMessage): Answer {
    try {
      return answerTo(books, {
        method: entry.method,
        target: entry.target,
        certname: entry.certname,
        certificatePem: certificateOf(request.socket),
        modifiedSince: Date.parse(request.headers['if-modified-since'] ?? ''),
        contentType: request.headers['content-type'] ?? '',
        body: entry.body,
      });
    } catch (error) {
      return text(500, `Internal Server Error: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  function listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  function stop(): Promise<void> {
    return new Promise(resolve => {
      server.close(() => resolve());
      for (const wire of wires) wire.destroy();
    });
  }

  await listen(0);
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0;

  return {
    host,
    port,
    certname,
    ca,
    seen,
    failing: books.failing,
    get connections() {
      return { total, open: open.size };
    },
    get autosign() {
      return books.autosign;
    },
    set autosign(value) {
      books.autosign = value;
    },
    get closeEach() {
      return closeEach;
    },
    set closeEach(value) {
      closeEach = value;
    },
    certificateOf: name => books.certificates.get(name) ?? null,
    sign(name) {
      const csr = books.requests.get(name);
      if (csr === undefined) throw new Error(`${name} has no certificate request`);
      books.certificates.set(name, ca.sign(csr, name));
      books.requests.delete(name);
    },
    enter: (name, pem) => books.certificates.set(name, pem),
    revoke: name => ca.revoke(books.certificates.get(name) ?? ''),
    clean(name) {
      ca.revoke(books.certificates.get(name) ?? '');
      books.certificates.delete(name);
      books.requests.delete(name);
    },
    stop,
    start: () => listen(port),
    async [Symbol.asyncDispose]() {
      if (server.listening) await stop();
    },
  };
}

/** Node prints one RDN a line. */
function commonName(subject: string | undefined): string | null {
  return /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? null;
}

function certificateOf(socket: Socket): string | null {
  return socket instanceof TLSSocket ? (socket.getPeerX509Certificate()?.toString() ?? null) : null;
}

function pairsOf(raw: readonly string[]): Fields {
  const fields: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([raw[i]!, raw[i + 1]!]);
  return fields;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
