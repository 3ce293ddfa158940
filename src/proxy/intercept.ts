import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import { Proxy as Engine } from 'http-mitm-proxy';
import type { Connection, Tape } from '../model.ts';
import { reasonOf } from './failure.ts';
import type { KeyLine } from './keylog.ts';
import { authority, type Ending, farewell, followEnd, noteError, openConnection, secured } from './tracking.ts';

/**
 * The agent leg: one listening port for both ways in. http-mitm-proxy is the engine that takes CONNECT and requests; this adapter is
 * the only file that knows it. What of the engine is replaced, and why:
 * - its listeners: it binds one loopback port per host and pipes every agent's socket through it. Here each socket is handed to one
 *   TLS server in-process, so that the agent's address, certificate and timings stay visible;
 * - its HTTPS server and certificate supply: they ask for no client certificate and make RSA keys synchronously;
 * - `_onError`, `_onSocketError`: they print to the console and answer 504 by themselves;
 * - its forwarding, which reads header fields from the joined object: an exchange is taken over before its request hook.
 */

/** How long an idle agent connection is kept: as Jetty keeps it (PUPPET.md 4e). A shorter time races with the agent's next request. */
const AGENT_IDLE_MS = 30_000;
/** From the first byte of a request to the end of its head, and until the first request comes: looked at twice in that time. Node's own default. */
const HEAD_MS = 60_000;
/** From accept to the end of the TLS handshake; Node's own default. */
const HANDSHAKE_MS = 120_000;
/** Silence within an exchange: an agent that reads no further, or sends none of a body. Half as long again as agents wait for an answer. */
const STALLED_MS = 900_000;
/** A host that vanished sends no FIN: after so long in silence it is asked for a sign of life. */
const ALIVE_AFTER_MS = 300_000;
/** Requests under way on one connection. Agents wait for each answer; each request that does not may cost a connection to the primary. */
const MAX_UNDER_WAY = 32;
/** Agents of which is remembered that they took our certificate; to forget one costs a wrong hint at most. */
const REMEMBERED_AGENTS = 20_000;
/** Puppet's longest real head is a few kB; a node request with many query fields may reach 16 kB. */
const MAX_HEAD_BYTES = 64 * 1024;
/** First byte of a TLS record that carries a handshake (RFC 8446 section 5.1); no HTTP method starts with it. */
const TLS_HANDSHAKE = 0x16;

/** An agent's connection as the relay sees it. */
export interface AgentConnection {
  readonly record: Connection;
  readonly ending: Ending;
  /** The certificate that the agent presented, whatever the verdict on it. */
  certificatePem(): string | null;
  /** Ends it now, or after the answer under way. */
  closeWhenIdle(): void;
  /** Ends it now, in an orderly way, whatever is under way on it. */
  hangUp(): void;
  /** Ends it with a TCP reset: what came is not all, where nothing else could say so. */
  cut(): void;
}

/** TLS server contexts: one for connections without SNI, one a server name. */
export interface ServerContexts {
  base(): SecureContextOptions;
  forName(name: string): Promise<SecureContext>;
}

/** Takes one exchange over: `target` is as received. */
export type Take = (agent: AgentConnection, request: IncomingMessage, response: ServerResponse, target: string) => void;

export interface InterceptOptions {
  listen: { host: string; port: number };
  tape: Tape;
  /** How long an idle agent connection is kept; default {@link AGENT_IDLE_MS}. */
  agentIdleMs?: number;
  /** How long nothing may move within an exchange; default {@link STALLED_MS}. */
  stalledMs?: number;
  /** How long a head may take to come; default {@link HEAD_MS}. */
  headMs?: number;
  contexts: ServerContexts;
  /** The handshake is done: sets certname, or refusal, on the record. */
  onSecure(connection: Connection, socket: TLSSocket): void;
  onExchange: Take;
  /** A request that came without TLS and is no CONNECT. */
  onPlain: Take;
  /** @returns `intercept` to read the tunnel; `taken` when the callback has answered and owns the socket now */
  onConnect(agent: AgentConnection, target: string, socket: Socket, head: Buffer): 'intercept' | 'taken';
  onOpened(agent: AgentConnection): void;
  /** TLS secrets of each handshake, for a key log. */
  onKeys?: KeyLine;
  onClosed(agent: AgentConnection): void;
}

export interface Interception {
  /** Where it listens, after port 0 was resolved. */
  readonly address: { host: string; port: number };
  /** New handshakes use the contexts as they are now: a CA became known, a leaf was renewed. */
  refresh(): void;
  /** Stops listening, closes idle connections, waits for the exchanges under way. */
  close(): Promise<void>;
}

interface Held extends AgentConnection {
  wire: Socket;
  /** The stream that HTTP is read from: the TLS socket, or the wire itself. */
  stream: Socket | null;
  busy: number;
  /** To the newest request. */
  answer: ServerResponse | null;
  closing: boolean;
}

type TakeFromEngine = (secure: boolean, request: IncomingMessage, response: ServerResponse, target: string) => void;

/** An agent that goes away is told by 'close'; without a listener an 'error' would end the process. */
const ignore = (): void => undefined;

/** http-mitm-proxy, mute, with its exchanges handed out where it would begin with them. */
class SilentEngine extends Engine {
  readonly #take: TakeFromEngine;

  constructor(take: TakeFromEngine) {
    super();
    this.#take = take;
    this.options = {}; // what its own listen() sets
    this.keepAlive = true;
  }

  /**
   * The engine makes a context of thirty members for its hooks here, reads the joined header object and strips the origin off the target:
   * a tenth of what an exchange costs, and nothing of it is used.
   */
  override _onHttpServerRequest(isSSL: boolean, request: IncomingMessage, response: ServerResponse): void {
    request.on('error', ignore);
    response.on('error', ignore);
    this.#take(isSSL, request, response, request.url ?? '/');
  }

  override _onError(): void {}

  override _onSocketError(): void {}
}

function asker({ certname, tls }: Connection): string {
  return `${certname} ${tls?.serverName}`;
}

/**
 * Listens for agents.
 * @throws the error of `listen` (EADDRINUSE, EACCES, EADDRNOTAVAIL)
 */
export async function intercept(options: InterceptOptions): Promise<Interception> {
  const { tape, headMs = HEAD_MS } = options;
  const held = new Set<Held>();
  const bySocket = new WeakMap<object, Held>();
  /** Agents that asked something, by certname and the name that our certificate had to carry: they take it. */
  const content = new Set<string>();
  let shuttingDown = false;
  let drained: (() => void) | null = null;

  const engine = new SilentEngine((secure, request, response, target) => {
    const agent = bySocket.get(request.socket);
    if (!agent) {
      request.socket.destroy();
      return;
    }
    if (agent.busy === MAX_UNDER_WAY) {
      agent.record.error ??= `more than ${MAX_UNDER_WAY} requests at once`;
      agent.ending.note('proxy', 'policy');
      request.socket.destroy();
      return;
    }
    agent.busy += 1;
    agent.answer = response;
    agent.record.exchanges += 1;
    if (agent.record.exchanges === 1 && agent.record.certname !== null) {
      if (content.size >= REMEMBERED_AGENTS) content.clear();
      content.add(asker(agent.record));
    }
    // Asked for by the agent, or HTTP/1.0. Not before the answer is out: until then the connection may end for another reason.
    if (!response.shouldKeepAlive) response.once('finish', () => agent.ending.note('agent', 'connection-close'));
    response.once('close', () => {
      agent.busy -= 1;
      if (agent.busy === 0 && (agent.closing || shuttingDown)) endStream(agent);
    });
    (secure ? options.onExchange : options.onPlain)(agent, request, response, target);
  });

  const limits = {
    maxHeaderSize: MAX_HEAD_BYTES,
    keepAliveTimeout: options.agentIdleMs ?? AGENT_IDLE_MS,
    requestTimeout: 0,
    headersTimeout: headMs,
    connectionsCheckingInterval: headMs / 2,
    // Most requests are GETs: their body is a stream that has ended, and nothing happens on it. (Node 24.12; before, it is read to its end.)
    optimizeEmptyRequests: true,
  };
  const plain = createHttpServer(limits);
  const secure = createHttpsServer({
    ...limits,
    ...options.contexts.base(),
    requestCert: true,
    rejectUnauthorized: false, // the verdict is ours (pki/verify.ts), and the bootstrap has no certificate yet
    handshakeTimeout: HANDSHAKE_MS,
    SNICallback: (name, done) => {
      options.contexts.forName(name).then(
        context => done(null, context),
        error => done(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });

  for (const [server, isSSL] of [
    [plain, false],
    [secure, true],
  ] as const) {
    server.timeout = options.stalledMs ?? STALLED_MS;
    // Neither listens itself, and only then Node begins to look at `headersTimeout`.
    server.emit('listening');
    server.on('request', (request, response) => engine._onHttpServerRequest(isSSL, request, response));
    server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      engine._onHttpServerConnect(request, socket, head),
    );
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const agent = bySocket.get(socket);
      if (agent && error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
        agent.record.error ??= `no whole request head in ${headMs / 1000} s`;
        agent.ending.note('proxy', 'idle-timeout');
      } else if (agent) {
        agent.record.error ??= `${reasonOf(error)}${error.code ? ` (${error.code})` : ''}`;
        noteError(agent.ending, error, 'agent');
      }
      const underWay = agent && agent.busy > 0 ? agent.answer : null;
      const isTheirs = error.code?.startsWith('HPE_') || error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
      // What is wrong came after a whole request: that one is answered first.
      if (agent && isTheirs && underWay?.req.complete) agent.closeWhenIdle();
      else if (agent && socket.writable && error.code?.startsWith('HPE_') && !underWay?.headersSent) {
        const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
        farewell(socket, agent.wire, `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      } else socket.destroy();
    });
  }

  engine.onConnect((request, socket, head) => {
    const agent = bySocket.get(socket);
    // A CONNECT inside an intercepted tunnel has no meaning for Puppet.
    if (agent?.record.via !== 'plain') {
      agent?.ending.note('proxy', 'policy');
      socket.destroy();
      return;
    }
    const wire = agent.wire;
    wire.removeAllListeners('timeout');
    wire.setTimeout(0);
    agent.record.target = (request.url ?? '').slice(0, 300);
    agent.record.via = 'connect';
    if (options.onConnect(agent, agent.record.target, wire, head) === 'taken') return;
    wire.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) wire.unshift(head);
    sniff(agent);
  });

  secure.prependListener('secureConnection', (socket: TLSSocket) => {
    const agent = agentOf(socket);
    if (!agent) {
      socket.destroy();
      return;
    }
    // No agent does it, and what a connection has proved would be another's.
    socket.disableRenegotiation();
    agent.stream = socket;
    bySocket.set(socket, agent);
    secured(agent.record, socket, typeof socket.servername === 'string' ? socket.servername : null);
    options.onSecure(agent.record, socket);
    tape.connection(agent.record);
    followStream(agent, socket);
  });
  if (options.onKeys) secure.on('keylog', options.onKeys);
  secure.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    const agent = agentOf(socket);
    if (!agent) return;
    agent.record.error ??= reasonOf(error);
    if (error.code === 'ECONNRESET' && agent.wire.readableEnded) agent.ending.note('agent', 'end');
    noteError(agent.ending, error, 'agent');
  });

  function followStream(agent: Held, stream: Socket): void {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      agent.record.error ??= reasonOf(error);
      noteError(agent.ending, error, 'agent');
    });
    stream.once('end', () => {
      // An agent that shows its certificate has something to ask, unless it dislikes the name on ours: Ruby looks at that after the
      // handshake, and closes without an alert. Only without keep-alive does it look whether the primary is there, and closes again.
      const { tls, certname, exchanges } = agent.record;
      if (
        tls !== null &&
        certname !== null &&
        exchanges === 0 &&
        !content.has(asker(agent.record)) &&
        !agent.closing &&
        !shuttingDown
      ) {
        agent.record.error ??= 'left after the handshake, without a request';
      }
      agent.ending.note('agent', 'end');
    });
    stream.on('timeout', () => agent.ending.note('proxy', 'idle-timeout'));
  }

  /** Node keeps the wire below a TLS socket in `_parent`, and offers no other way from a failed handshake to its connection. */
  function agentOf(socket: TLSSocket): Held | undefined {
    const { _parent: wire } = socket as TLSSocket & { _parent?: Socket };
    return wire && bySocket.get(wire);
  }

  /** Reads the first byte: a TLS handshake goes to the TLS server, anything else is plain HTTP. */
  function sniff(agent: Held): void {
    const { wire } = agent;
    wire.setTimeout(HANDSHAKE_MS, () => {
      agent.ending.note('proxy', 'idle-timeout');
      wire.destroy();
    });
    wire.once('data', first => {
      wire.pause();
      wire.removeAllListeners('timeout');
      wire.setTimeout(0);
      wire.unshift(first);
      if (first[0] === TLS_HANDSHAKE) secure.emit('connection', wire);
      else {
        if (agent.record.via === 'direct') agent.record.via = 'plain';
        agent.stream = wire;
        plain.emit('connection', wire);
      }
      // Not before the server has read what was put back: flowing at once would lose it.
      process.nextTick(() => wire.resume());
    });
  }

  const front = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: ALIVE_AFTER_MS }, wire => {
    const record = openConnection(tape, {
      leg: 'agent',
      via: 'direct',
      peer: authority(wire.remoteAddress, wire.remotePort),
      target: null,
      certname: null,
    });
    record.connectedMono = record.openedMono;
    const agent: Held = {
      record,
      ending: followEnd(tape, record, wire, () => shuttingDown),
      wire,
      stream: null,
      busy: 0,
      answer: null,
      closing: false,
      certificatePem: () =>
        agent.stream instanceof TLSSocket ? (agent.stream.getPeerX509Certificate()?.toString() ?? null) : null,
      closeWhenIdle() {
        agent.closing = true;
        if (agent.busy === 0) endStream(agent);
      },
      hangUp: () => farewell(agent.stream ?? wire, wire),
      cut: () => void wire.resetAndDestroy(),
    };
    held.add(agent);
    options.onOpened(agent);
    bySocket.set(wire, agent);
    followStream(agent, wire);
    wire.once('close', () => {
      held.delete(agent);
      options.onClosed(agent);
      if (held.size === 0) drained?.();
    });
    sniff(agent);
  });

  function endStream(agent: Held): void {
    agent.ending.note('proxy', shuttingDown ? 'shutdown' : 'policy');
    farewell(agent.stream ?? agent.wire, agent.wire);
  }

  await new Promise<void>((resolve, reject) => {
    front.once('error', reject);
    front.listen(options.listen.port, options.listen.host, () => {
      front.off('error', reject);
      resolve();
    });
  });
  const bound = front.address();
  const address = bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : { ...options.listen };

  return {
    address,
    refresh() {
      secure.setSecureContext(options.contexts.base());
    },
    async close() {
      shuttingDown = true;
      front.close();
      for (const agent of held) if (agent.busy === 0) endStream(agent);
      if (held.size > 0) {
        await new Promise<void>(resolve => {
          drained = resolve;
        });
      }
      plain.close();
      secure.close();
    },
  };
}
