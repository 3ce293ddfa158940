import type { ConnectionFacts, ExchangeFacts } from '../../src/analysis/reuse-rows.ts';
import type { ConnectionId, ExchangeId, Phase, RunId } from '../../src/model.ts';

/** A connection of which a test says what matters to it. */
export function connection(id: number, facts: Partial<ConnectionFacts> = {}): ConnectionFacts {
  return {
    id: id as ConnectionId,
    recording: 1,
    leg: 'agent',
    via: 'direct',
    certname: 'web1.example.com',
    peerName: 'web1.example.com',
    openedMono: 0,
    connectMs: 0,
    handshakeMs: 10,
    tlsVersion: 'TLSv1.3',
    resumed: false,
    bytesRead: 100,
    bytesWritten: 200,
    closedMono: null,
    closedBy: null,
    cause: null,
    ...facts,
  };
}

/** An agent without a certificate yet. */
export const unnamed = { certname: null, peerName: null } as const;

export function closedAt(closedMono: number, closedBy: ConnectionFacts['closedBy'], cause: ConnectionFacts['cause']) {
  return { closedMono, closedBy, cause };
}

/** An exchange on the agent's connection `on` as number `ordinal`, and perhaps on one of the primary's. */
export function exchange(
  id: number,
  on: readonly [connection: number, ordinal: number],
  time: readonly [start: number, end: number],
  more: { phase?: Phase; run?: number | null; primary?: readonly [number, number]; resent?: number } = {},
): ExchangeFacts {
  const run = more.run === undefined ? 1 : more.run;
  return {
    id: id as ExchangeId,
    run: run as RunId | null,
    phase: more.phase ?? 'file',
    agentConnection: on[0] as ConnectionId,
    agentOrdinal: on[1],
    primaryConnection: (more.primary?.[0] ?? null) as ConnectionId | null,
    primaryOrdinal: more.primary?.[1] ?? null,
    startMono: time[0],
    primaryReadyMono: more.primary ? time[0] : null,
    endMono: time[1],
    resent: more.resent ?? 0,
  };
}
