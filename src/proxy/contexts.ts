import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Authority } from '../pki/authority.ts';
import type { ServerContexts } from './intercept.ts';

/** Names asked for by SNI come from anybody: so many contexts are kept. */
const MAX_CONTEXTS = 256;
/** A leaf is asked for again after this time, so that a long-lived proxy gets its renewed one. */
const CONTEXT_AGE_MS = 3_600_000;
/** A host of many containers has an address for each, and what is on a leaf goes over the wire with every handshake. */
const MAX_ADDRESSES = 60;
/** RFC 1123 host names, underscore allowed as Puppet allows it. */
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i;

export interface LeafContextsOptions {
  authority: Authority;
  /** Names and addresses that every leaf carries. */
  names: readonly string[];
  /** CA certificates whose agents are accepted: ours, and those of the primaries. */
  agentCas(): readonly string[];
}

/** Leaves of our CA as TLS contexts, one a server name, cached. */
export interface LeafContexts extends ServerContexts {
  /** Makes new contexts from now on. */
  renew(): Promise<void>;
}

/**
 * The addresses by which agents may reach a place where we listen: for "everywhere", those of this machine that are no link-local ones,
 * which an agent could not name without an interface of its own. The first 60 of them.
 */
export function ownAddresses(host: string, interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces()): string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host];
  const addresses = Object.values(interfaces).flatMap(list => (list ?? []).map(({ address }) => address.split('%', 1)[0]!));
  return addresses.filter(address => !/^fe[89ab]/i.test(address)).slice(0, MAX_ADDRESSES);
}

/** @throws when our CA cannot issue the first leaf */
export async function openLeafContexts(options: LeafContextsOptions): Promise<LeafContexts> {
  const { authority, names } = options;
  /** One set of keys for all contexts: a ticket stays good when the contexts are renewed. */
  const ticketKeys = randomBytes(48);
  const carried = new Set(names.map(name => name.toLowerCase()));
  const cache = new Map<string, { context: SecureContext; at: number }>();
  let base = await make(names);

  async function make(wanted: readonly string[]): Promise<SecureContextOptions & { ticketKeys: Buffer }> {
    const { keyPem, certPem } = await authority.leaf(wanted);
    return { key: keyPem, cert: certPem, ca: [...options.agentCas()], minVersion: 'TLSv1.2', ticketKeys };
  }

  return {
    base: () => base,
    async forName(name) {
      const wanted = name.toLowerCase();
      // An address is no server name (RFC 6066 section 3), but older net/http of Ruby send one all the same.
      if (!HOST_NAME.test(wanted) && isIP(wanted) === 0) throw new Error('the server name asked for is not a host name');
      const key = carried.has(wanted) ? '' : wanted;
      const now = performance.now();
      const known = cache.get(key);
      if (known && now - known.at < CONTEXT_AGE_MS) {
        cache.delete(key);
        cache.set(key, known);
        return known.context;
      }
      const context = createSecureContext(await make(key === '' ? names : [...names, wanted]));
      cache.set(key, { context, at: now });
      for (const oldest of cache.keys()) {
        if (cache.size <= MAX_CONTEXTS) break;
        cache.delete(oldest);
      }
      return context;
    },
    async renew() {
      base = await make(names);
      cache.clear();
    },
  };
}
