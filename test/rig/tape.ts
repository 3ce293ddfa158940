import { createHash } from 'node:crypto';
import type { Connection, ConnectionId, Exchange, ExchangeId, Side, Tape } from '../../src/model.ts';

/** What was seen of one body. */
export interface TapedBody {
  size: number;
  sha256: string;
  /** All of it, unless the tape only counts. */
  bytes: Buffer;
}

/** A tape that keeps everything in memory, in order. */
export interface MemoryTape extends Tape {
  /** As last told, by id. */
  readonly connections: readonly Connection[];
  readonly exchanges: readonly Exchange[];
  readonly dropped: readonly ExchangeId[];
  body(exchange: ExchangeId, side: Side): TapedBody | null;
  /** From now on nothing is committed until {@link MemoryTape.release}. */
  hold(): void;
  /** Commits what waits, and all that follows at once. */
  release(): void;
  /** Exchanges that wait for {@link MemoryTape.release}. */
  readonly held: number;
}

/** @param keep whether the bytes of bodies are kept; size and digest always are */
export function memoryTape(keep = true): MemoryTape {
  const connections = new Map<ConnectionId, Connection>();
  const exchanges: Exchange[] = [];
  const dropped: ExchangeId[] = [];
  const bodies = new Map<string, { chunks: Buffer[]; size: number; hash: ReturnType<typeof createHash> }>();
  const waiting: (() => void)[] = [];
  let nextConnection = 0;
  let nextExchange = 0;
  let holding = false;
  return {
    connectionId: () => ++nextConnection as ConnectionId,
    exchangeId: () => ++nextExchange as ExchangeId,
    connection: connection => void connections.set(connection.id, structuredClone(connection)),
    tap(exchange, side) {
      const name = `${exchange} ${side}`;
      if (bodies.has(name)) throw new Error(`the ${side} body of exchange ${exchange} is tapped twice`);
      const body = { chunks: [] as Buffer[], size: 0, hash: createHash('sha256') };
      bodies.set(name, body);
      return {
        write(chunk) {
          body.size += chunk.length;
          body.hash.update(chunk);
          if (keep) body.chunks.push(Buffer.from(chunk)); // a copy: the buffer is not ours
        },
      };
    },
    exchange(exchange, committed) {
      exchanges.push(structuredClone(exchange));
      if (holding) waiting.push(committed);
      else setImmediate(committed);
    },
    drop: exchange => void dropped.push(exchange),
    get connections() {
      return [...connections.values()];
    },
    exchanges,
    dropped,
    body(exchange, side) {
      const body = bodies.get(`${exchange} ${side}`);
      if (body === undefined) return null;
      return { size: body.size, sha256: body.hash.copy().digest('hex'), bytes: Buffer.concat(body.chunks) };
    },
    hold() {
      holding = true;
    },
    release() {
      holding = false;
      for (const committed of waiting.splice(0)) committed();
    },
    get held() {
      return waiting.length;
    },
  };
}
