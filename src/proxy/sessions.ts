/** The last TLS session of each identity with each primary, for its next connection. */
export interface Sessions {
  /** @returns the session ticket, if it was given under this CA */
  ticket(key: string, caPem: string): Buffer | undefined;
  remember(key: string, caPem: string, ticket: Buffer): void;
  /** The next handshake is a full one: in a resumed one nobody looks at certificates. */
  forget(key: string): void;
  /** Forgets all whose key starts like this. */
  forgetAll(prefix: string): void;
}

/** So many are kept, some 2 kB each; the oldest go first. */
const MAX_SESSIONS = 2048;

/**
 * Keys are those of pools, so each is of exactly one certname: a session that is resumed under another certificate would act as its first
 * owner.
 */
export function openSessions(): Sessions {
  const sessions = new Map<string, { caPem: string; ticket: Buffer }>();
  return {
    ticket(key, caPem) {
      const known = sessions.get(key);
      return known?.caPem === caPem ? known.ticket : undefined;
    },
    remember(key, caPem, ticket) {
      sessions.delete(key);
      sessions.set(key, { caPem, ticket: alone(ticket) });
      for (const oldest of sessions.keys()) {
        if (sessions.size <= MAX_SESSIONS) return;
        sessions.delete(oldest);
      }
    },
    forget(key) {
      sessions.delete(key);
    },
    forgetAll(prefix) {
      for (const key of sessions.keys()) if (key.startsWith(prefix)) sessions.delete(key);
    },
  };
}

/** Without the 64 kB that Node cut it out of, where five more would fit. */
function alone(ticket: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(ticket.length);
  ticket.copy(copy);
  return copy;
}
