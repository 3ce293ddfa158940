import type { Certname, Connection, ConnectionId, ExchangeId, Tape } from '../model.ts';

/** Of the connections of one replayed agent. */
export interface ConnectionCount {
  /** With a handshake that was done. */
  opened: number;
  /** No connection, or no handshake. */
  failed: number;
  /** TCP and TLS, ms, each. */
  setupMs: number[];
}

/** A tape that keeps nothing but counts: for a load, when nobody wants its capture. */
export function countingTape(): Tape {
  let connections = 0;
  let exchanges = 0;
  return {
    connectionId: () => ++connections as ConnectionId,
    exchangeId: () => ++exchanges as ExchangeId,
    connection: () => undefined,
    tap: () => ({ write: () => undefined }),
    exchange: (_exchange, committed) => committed(),
    drop: () => undefined,
  };
}

/** The tape that upstream.ts writes the connections of one replayed agent to. */
export interface AgentTape {
  tape: Tape;
  count: ConnectionCount;
  /** The connection that was opened last: a request that found none failed on it. */
  latest(): Connection | null;
}

/**
 * Puts the connections of a replayed agent on a tape as those of the agent leg, since it is the agent that opens them: what upstream.ts
 * calls the proxy's end is the agent's, and what it calls the primary's is the end that answers, as a proxy's is in other captures. The
 * agent has no address of its own; its name stands for it.
 */
export function agentTape(tape: Tape, name: Certname): AgentTape {
  const count: ConnectionCount = { opened: 0, failed: 0, setupMs: [] };
  const secure = new Set<ConnectionId>();
  let latest: Connection | null = null;
  return {
    count,
    latest: () => latest,
    tape: {
      connectionId: () => tape.connectionId(),
      exchangeId: () => tape.exchangeId(),
      tap: (exchange, side) => tape.tap(exchange, side),
      exchange: (exchange, committed) => tape.exchange(exchange, committed),
      drop: exchange => tape.drop(exchange),
      connection(connection) {
        latest = connection;
        if (connection.secureMono !== null && !secure.has(connection.id)) {
          secure.add(connection.id);
          count.opened += 1;
          count.setupMs.push(connection.secureMono - connection.openedMono);
        }
        if (connection.closed !== null && connection.secureMono === null) count.failed += 1;
        tape.connection(asAgentLeg(connection, name));
      },
    },
  };
}

function asAgentLeg(connection: Connection, name: Certname): Connection {
  const { closed, bytesRead, bytesWritten } = connection;
  return {
    ...connection,
    leg: 'agent',
    peer: `${name}:0`,
    target: null,
    peerName: connection.certname,
    // From the agent is what a proxy reads.
    bytesRead: bytesWritten,
    bytesWritten: bytesRead,
    closed: closed && {
      ...closed,
      by: closed.by === 'proxy' ? 'agent' : 'proxy',
      cause: closed.cause === 'policy' || closed.cause === 'shutdown' ? 'end' : closed.cause,
    },
  };
}
