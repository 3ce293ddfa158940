import type { Readable } from 'node:stream';
import { type Client, Pool } from 'undici';
import type { ConnectionId, Failure, Fields, PoolPolicy, Tape } from '../model.ts';
import { type Answering, Attempt, type Lane, LaneClient, newLane, type Sending } from './attempt.ts';
import { openDialing, type Presented, type Primary } from './dial.ts';
import { failureOf } from './failure.ts';
import { flat } from './fields.ts';
import type { KeyLine } from './keylog.ts';
import { openSessions } from './sessions.ts';
import { authority } from './tracking.ts';

/** A body that can be sent, and perhaps sent again. */
export interface SendableBody {
  /** A stream from its first byte; a second call is allowed only while {@link SendableBody.resendable}. */
  open(): Readable | Buffer;
  /** Whether all that was read of it so far is still at hand. */
  resendable(): boolean;
}

export interface UpstreamRequest {
  primary: Primary;
  identity: Presented | null;
  /** The agent's connection: with `mirror` its requests keep one primary connection of their own. */
  agentConnection: ConnectionId;
  method: string;
  target: string;
  /** As fields.ts made them: no hop-by-hop ones. */
  fields: Fields;
  body: SendableBody | null;
  /** Whether sending it twice does no harm. */
  resendable: boolean;
}

/** One request under way. */
export interface Call {
  resume(): void;
  /** Gives the answer up: no member of {@link Answering} is called any more, the connection is closed. */
  abort(): void;
}

export interface UpstreamOptions {
  tape: Tape;
  pool: PoolPolicy;
  /** A pooled connection that was idle so long is closed: well before Jetty does it after 30 s (PUPPET.md 4e). Default 20,000. */
  idleMs?: number;
  /** As long as an agent waits for an answer (`http_read_timeout`). Default 600,000. */
  answerMs?: number;
  /** TCP and TLS together. Default 30,000. */
  connectMs?: number;
  /**
   * How long a pool without a connection and a request is kept: a primary that closes each answer's connection is asked again at once.
   * Default 1000.
   */
  restMs?: number;
  /**
   * Pools kept before the least recently used idle ones are closed: a fleet has many agents, and each pool takes some 200 kB. Their TLS
   * sessions stay. Default 128.
   */
  maxPools?: number;
  /** `mirror`: the primary ended the connection that mirrored this one. */
  onMirrorClosed?(agentConnection: ConnectionId): void;
  /** TLS secrets of each handshake, for a key log. */
  onKeys?: KeyLine;
  /** No connection to the primary came about. */
  onUnreachable?(primary: Primary): void;
}

export interface Upstream {
  send(request: UpstreamRequest, answering: Answering): Call;
  /** The agent's connection is gone: with `mirror`, so is the one that mirrored it. */
  release(agentConnection: ConnectionId): void;
  /** When the newest pooled connection of an identity was opened, `null` when there is none. Monotonic ms. */
  provedAt(primary: Primary, identity: Presented): number | null;
  /** Closes the pool of an identity: its next request needs a new handshake. */
  retire(primary: Primary, identity: Presented): void;
  /** Closes the pools to a primary whose certificate was refused since they were opened. */
  revet(primary: Primary): void;
  /** Waits a moment for the requests under way, then closes every connection. */
  close(): Promise<void>;
}

/** At the end: no agent waits any more, but what the primary makes of a CSR is good to know. */
const CLOSE_MS = 2000;

interface PoolEntry {
  key: string;
  pool: Pool;
  /** Those that are connected. */
  lanes: Set<Lane>;
  caPem: string;
  active: number;
}

/** Node's errors for a connection that the peer had closed already, or closes while the request is being written. */
const STALE = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** What a pool is found by; `whose` is an agent's connection with `mirror`, else `*`. */
function keyOf(whose: string, primary: Primary, identity: Presented | null): string {
  return `${whose} ${authority(primary.host, primary.port)} ${identity?.fingerprint ?? '-'}`;
}

/** The primary leg: undici pools, one per primary and identity, so that TLS state is never shared between certnames. */
export function openUpstream(options: UpstreamOptions): Upstream {
  const { tape, idleMs = 20_000, answerMs = 600_000, connectMs = 30_000, restMs = 1000, maxPools = 128 } = options;
  /** In order of use: the least recently used one comes first. */
  const pools = new Map<string, PoolEntry>();
  const sessions = openSessions();
  /** Key of the last one. */
  let newest: string | null = null;
  let closing = false;

  function openPool(request: UpstreamRequest, key: string, caPem: string): PoolEntry {
    const { primary, identity, agentConnection } = request;
    const lanes = new Set<Lane>();
    const dial = openDialing({
      tape,
      primary,
      identity,
      caPem,
      connectMs,
      session: () => sessions.ticket(key, caPem),
      onSession(ticket) {
        // not of a pool that was retired: its identity has to prove itself anew
        if (pools.get(key)?.lanes === lanes) sessions.remember(key, caPem, ticket);
      },
      onOpened: lane => void lanes.add(lane),
      onClosed(lane) {
        lanes.delete(lane);
        restSoon(key, lanes);
        if (options.pool === 'mirror') options.onMirrorClosed?.(agentConnection);
      },
      isClosing: () => closing,
      ...(options.onKeys && { onKeys: options.onKeys }),
    });
    const settings: Client.Options = {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: idleMs,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
      maxHeaderSize: 256 * 1024,
    };
    const pool = new Pool(`${primary.plain ? 'http' : 'https'}://${authority(primary.host, primary.port)}`, {
      ...settings,
      connections: options.pool === 'mirror' ? 1 : null,
      factory: origin => {
        const lane = newLane();
        return new LaneClient(origin, { ...settings, connect: dial(lane) }, lane);
      },
    });
    return { key, pool, lanes, caPem, active: 0 };
  }

  /** Closes a pool that stays without a connection and a request. */
  function restSoon(key: string, lanes: Set<Lane>): void {
    const idle = (): PoolEntry | null => {
      const entry = pools.get(key);
      return entry?.lanes === lanes && lanes.size === 0 && entry.active === 0 ? entry : null;
    };
    if (idle() === null) return;
    setTimeout(() => {
      const entry = idle();
      if (entry) drop(entry);
    }, restMs).unref();
  }

  function poolFor(request: UpstreamRequest, caPem: string): PoolEntry {
    const { primary, identity, agentConnection } = request;
    const whose = options.pool === 'mirror' ? `${agentConnection}` : '*';
    const key = keyOf(whose, primary, identity);
    let entry = pools.get(key);
    if (entry && entry.caPem !== caPem) {
      drop(entry);
      entry = undefined;
    }
    if (!entry) {
      entry = openPool(request, key, caPem);
      newest = null;
    }
    if (key !== newest) {
      pools.delete(key);
      pools.set(key, entry);
      newest = key;
    }
    return entry;
  }

  /** Closes the least recently used pools that have nothing to do, down to the limit. */
  function trim(): void {
    for (const entry of pools.values()) {
      if (pools.size <= maxPools) return;
      if (entry.active === 0) drop(entry);
    }
  }

  /** Its requests go on to their end. */
  function drop(entry: PoolEntry): void {
    if (pools.get(entry.key) !== entry) return;
    for (const lane of entry.lanes) lane.note?.('proxy', 'policy');
    pools.delete(entry.key);
    void entry.pool.close();
  }

  /** A request on its way: an attempt, and another one where the connection turned out to be closed. */
  class Sent implements Call, Sending {
    readonly answering: Answering;
    readonly #request: UpstreamRequest;
    readonly #caPem: string;
    #entry: PoolEntry | null = null;
    #attempt: Attempt | null = null;
    #resent = 0;

    constructor(request: UpstreamRequest, answering: Answering, caPem: string) {
      this.answering = answering;
      this.#request = request;
      this.#caPem = caPem;
    }

    start(): void {
      const request = this.#request;
      const entry = poolFor(request, this.#caPem);
      entry.active += 1;
      if (pools.size > maxPools) trim();
      const attempt = new Attempt(this, this.#resent);
      this.#entry = entry;
      this.#attempt = attempt;
      entry.pool.dispatch(
        {
          method: request.method,
          path: request.target,
          headers: flat(request.identity?.fields ? [...request.fields, ...request.identity.fields] : request.fields),
          body: request.body?.open() ?? null,
          // undici closes the connection after a HEAD unless told not to; Jetty answers it properly framed.
          reset: false,
        },
        attempt,
      );
      // What undici refuses to send (a field that is no HTTP) leaves its client waiting for a drain that never comes.
      if (attempt.over) drop(entry);
    }

    resume(): void {
      this.#attempt?.resume();
    }

    abort(): void {
      this.#attempt?.abort();
    }

    /** RFC 9112 section 9.3.1: only when the connection had been used before, no byte of an answer came, and sending twice does no harm. */
    retry(error: Error, reused: boolean): boolean {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (this.#resent > 0 || !reused || !STALE.has(code)) return false;
      if (!this.#request.resendable || this.#request.body?.resendable() === false) return false;
      this.#resent += 1;
      this.start();
      return true;
    }

    failure(error: Error, partial: boolean): Failure {
      const { primary, identity } = this.#request;
      const origin = authority(primary.host, primary.port);
      const failure = failureOf(error, { origin, certname: identity?.certname ?? null, partial, timeoutMs: answerMs });
      if (failure.reason === 'primary-unreachable') options.onUnreachable?.(primary);
      return failure;
    }

    done(): void {
      if (this.#entry === null) return;
      this.#entry.active -= 1;
      if (this.#entry.lanes.size === 0) restSoon(this.#entry.key, this.#entry.lanes);
    }
  }

  function send(request: UpstreamRequest, answering: Answering): Call {
    const caPem = request.primary.plain ? '' : request.primary.caPem();
    if (caPem === null) {
      const origin = authority(request.primary.host, request.primary.port);
      queueMicrotask(() =>
        answering.onFailure({ reason: 'primary-untrusted', origin, detail: "the primary's CA is not known yet" }),
      );
      return { resume: () => undefined, abort: () => undefined };
    }
    const sent = new Sent(request, answering, caPem);
    sent.start();
    return sent;
  }

  return {
    send,
    release(agentConnection) {
      if (options.pool !== 'mirror') return;
      const prefix = `${agentConnection} `;
      for (const [key, entry] of pools) if (key.startsWith(prefix)) drop(entry);
      sessions.forgetAll(prefix);
    },
    provedAt(primary, identity) {
      const entry = pools.get(keyOf('*', primary, identity));
      const opened = [...(entry?.lanes ?? [])].map(lane => lane.connection?.secureMono ?? Number.NEGATIVE_INFINITY);
      return opened.length > 0 ? Math.max(...opened) : null;
    },
    retire(primary, identity) {
      const key = keyOf('*', primary, identity);
      const entry = pools.get(key);
      sessions.forget(key);
      if (entry) drop(entry);
    },
    revet(primary) {
      const origin = authority(primary.host, primary.port);
      for (const [key, entry] of pools) {
        if (key.split(' ', 2)[1] !== origin) continue;
        const shown = [...entry.lanes].flatMap(lane => lane.certificate ?? []);
        if (!shown.some(certificate => primary.vet?.(certificate))) continue;
        sessions.forget(key);
        drop(entry);
      }
    },
    async close() {
      closing = true;
      let all: Pool[] = [];
      const late = setTimeout(() => {
        for (const pool of all) void pool.destroy();
      }, CLOSE_MS);
      // More than once: what is sent again has a new pool.
      while (pools.size > 0) {
        all = [...pools.values()].map(({ pool }) => pool);
        pools.clear();
        await Promise.all(all.map(pool => pool.close()));
      }
      clearTimeout(late);
    },
  };
}
