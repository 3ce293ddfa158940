import type { Certname, ConnectionId, ExchangeId } from '../model.ts';

/**
 * What an agent does before anybody can know its name: an empty connection that only probes whether the primary is there, then
 * certificate/ca and certificate_revocation_list/ca, each over a connection of its own and without a client certificate (Puppet:
 * http/resolver/settings.rb, ssl/state_machine.rb). One such sequence is held here until a run of the same address begins.
 * Several agents may share an address, so sequences are kept apart by time: an agent does one thing after the other.
 */
export interface Prelude<E> {
  readonly address: string;
  /** When its first connection was opened, ms since the epoch. */
  readonly from: number;
  /** When its last part was over: what follows runs on a connection that was opened later. */
  until: number;
  /** Proved by a connection that only probed. */
  certname: Certname | null;
  connections: ConnectionId[];
  exchanges: E[];
  ca: boolean;
  crl: boolean;
  /** The agent has both files already and asks for newer ones (Puppet 8, daily): it has a certificate, too. */
  refresh: boolean;
}

/** What is held of an exchange, at least. */
export interface PreludeExchange {
  id: ExchangeId;
  phase: string;
  connection: ConnectionId;
  openedAt: number;
  endedAt: number;
  address: string;
  /** The request had If-Modified-Since. */
  conditional: boolean;
}

/** How a run begins: `enrols` by a CSR, else with a certificate; `alone`: no other agent was seen at its address. */
export interface Beginning {
  certname: Certname;
  enrols: boolean;
  alone: boolean;
}

export interface Preludes<E extends PreludeExchange> {
  /** An empty connection was closed; `certname` is what it had proved. */
  probe(address: string, connection: ConnectionId, openedAt: number, certname: Certname | null): void;
  exchange(exchange: E): void;
  /**
   * The oldest sequence of this address that was over when the connection was opened, and that a run begins with as described; it
   * is held no longer.
   */
  take(address: string, openedAt: number, run: Beginning): Prelude<E> | null;
  /** Whether an agent of this address that has no CA has asked for it, between these moments; the sequence stays held. */
  enrolling(address: string, after: number, openedAt: number): boolean;
  /** The sequence that used this connection; it is held no longer. */
  takeConnection(address: string, connection: ConnectionId): Prelude<E> | null;
  /** Sequences that began so long ago that nobody will take them, oldest first; all of them for `Infinity`. */
  expired(now: number): Prelude<E>[];
}

/** How long a sequence waits for its run: an RSA-4096 key may have to be generated in between. */
const PRELUDE_MS = 120_000;

/** Moments come from a clock of whole milliseconds, read at both ends of a difference. */
const CLOCK_MS = 2;

/** Anybody may ask for the CA: sequences held for one address, and exchanges held in one. */
const PER_ADDRESS = 100;
const PER_PRELUDE = 16;

export function createPreludes<E extends PreludeExchange>(): Preludes<E> {
  /** In the order in which they were made, which is nearly that in which they began. */
  const all = new Set<Prelude<E>>();
  const byAddress = new Map<string, Prelude<E>[]>();
  const overflowing: Prelude<E>[] = [];

  function remove(prelude: Prelude<E>): Prelude<E> {
    all.delete(prelude);
    const rest = (byAddress.get(prelude.address) ?? []).filter(other => other !== prelude);
    if (rest.length > 0) byAddress.set(prelude.address, rest);
    else byAddress.delete(prelude.address);
    return prelude;
  }

  function begin(address: string, from: number, certname: Certname | null): Prelude<E> {
    const prelude: Prelude<E> = {
      address,
      from,
      until: from,
      certname,
      connections: [],
      exchanges: [],
      ca: false,
      crl: false,
      refresh: false,
    };
    const held = byAddress.get(address) ?? [];
    if (held.length >= PER_ADDRESS) overflowing.push(remove(held[0]!));
    byAddress.set(address, [...(byAddress.get(address) ?? []), prelude]);
    all.add(prelude);
    return prelude;
  }

  /** The sequence that goes on with this exchange: on the same connection, or the latest that ended before it and lacks it. */
  function continued(e: E): Prelude<E> | null {
    const held = byAddress.get(e.address) ?? [];
    let best: Prelude<E> | null = null;
    for (const prelude of held) {
      if (prelude.exchanges.length >= PER_PRELUDE || prelude.certname !== null) continue;
      if (prelude.connections.includes(e.connection)) return prelude;
      if (prelude.until > e.openedAt + CLOCK_MS || prelude.crl || (e.phase === 'ca' && prelude.ca)) continue;
      if (prelude.exchanges.length > 0 && prelude.refresh !== e.conditional) continue;
      if (best === null || prelude.until > best.until) best = prelude;
    }
    return best;
  }

  return {
    probe(address, connection, openedAt, certname) {
      begin(address, openedAt, certname).connections.push(connection);
    },
    exchange(e) {
      const prelude = continued(e) ?? begin(e.address, e.openedAt, null);
      prelude.exchanges.push(e);
      if (!prelude.connections.includes(e.connection)) prelude.connections.push(e.connection);
      prelude.until = Math.max(prelude.until, e.endedAt);
      if (e.phase === 'ca') prelude.ca = true;
      if (e.phase === 'crl') prelude.crl = true;
      if (e.conditional) prelude.refresh = true;
    },
    take(address, openedAt, run) {
      const over = (byAddress.get(address) ?? []).filter(
        ({ until, certname }) => until <= openedAt + CLOCK_MS && (certname === null || certname === run.certname),
      );
      const found = over.find(prelude => fits(prelude, run)) ?? (run.enrols ? over[0] : undefined);
      return found === undefined ? null : remove(found);
    },
    enrolling(address, after, openedAt) {
      return (byAddress.get(address) ?? []).some(
        ({ ca, refresh, from, until }) => ca && !refresh && from >= after && until <= openedAt + CLOCK_MS,
      );
    },
    takeConnection(address, connection) {
      const found = byAddress.get(address)?.find(prelude => prelude.connections.includes(connection));
      return found === undefined ? null : remove(found);
    },
    expired(now) {
      const found = overflowing.splice(0);
      for (const prelude of all) {
        if (prelude.from + PRELUDE_MS > now) break;
        found.push(remove(prelude));
      }
      return found;
    },
  };
}

/**
 * Whether a sequence is that of the run. An agent that shares its address may begin a run with its certificate while another one
 * is between its first request and its CSR (it generates a key): what looks like that is left to the other one.
 */
function fits<E>(prelude: Prelude<E>, run: Beginning): boolean {
  if (run.enrols) return !prelude.refresh && (prelude.ca || prelude.crl);
  return prelude.refresh || prelude.exchanges.length === 0 || (run.alone && prelude.crl);
}
