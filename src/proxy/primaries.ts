import type { Connection, Route } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import type { CertsLayout } from '../pki/layout.ts';
import { openTrust, type RevocationMode, type Trust } from '../pki/trust.ts';
import { contact, type PrimaryAddress, readCrl } from './contact.ts';
import { reasonOf } from './failure.ts';
import { authority as authorityOf } from './tracking.ts';
import { parseAuthority } from './tunnel.ts';
import type { Primary } from './upstream.ts';
import { openVetting, revocationError } from './vetting.ts';

/** Services of Puppet that may be at another place than the catalogs: each a list of which the first that answers is taken. */
export type ServicePlaces = Readonly<Record<'ca' | 'report' | 'fileserver', readonly PrimaryAddress[]>>;

export interface PrimariesOptions {
  primary: PrimaryAddress;
  /** Taken in the place of `primary`, in this order, when it cannot be used at the start: `server_list`, SRV records. */
  standbys: readonly PrimaryAddress[];
  /** More of them: CONNECT and SNI choose. One that does not answer now is left out, and said. */
  others: readonly PrimaryAddress[];
  services: ServicePlaces | null;
  /** Names of ours; each stands for the first primary on its port. */
  names: readonly string[];
  layout: CertsLayout;
  authority: Authority;
  caPem: string | null;
  caFingerprint: string | null;
  revocation: RevocationMode;
  onNotice(line: string): void;
}

/** A primary with what is known of its CA. */
export interface Known extends Primary {
  trust: Trust;
  /** Reads the CA's revocation lists anew. Rejects when they cannot be had. */
  readCrl(): Promise<void>;
}

/** The primaries behind one proxy, and which of them is meant. */
export interface Primaries {
  readonly first: Known;
  readonly all: readonly Known[];
  /** The primary of that name and port; a name of ours stands for the first one on that port. */
  named(place: PrimaryAddress): Known | undefined;
  /**
   * Which primary a connection is for: by what CONNECT asked for, else by SNI, else the first. It decides whose CA judges the agent's
   * certificate, too: a certname that one primary signed is nobody at another.
   */
  of(connection: Connection): Known;
  /** The same for one request: where nobody was named, the service decides. */
  for(connection: Connection, route: Route): Known;
}

/** @throws {ContactError} when neither the primary nor a standby can be known */
export async function openPrimaries(options: PrimariesOptions): Promise<Primaries> {
  const { onNotice, services, names } = options;
  const opened = new Map<string, Known>();

  /** @param ca where its CA is, when that is another place: a compiler has none to ask */
  async function open(at: PrimaryAddress, ca: Known | null): Promise<Known> {
    const key = `${authorityOf(at.host.toLowerCase(), at.port)}${at.plain ? ' plain' : ''}`;
    const known = opened.get(key);
    if (known) return known;
    const given = options.caPem ?? ca?.caPem() ?? null;
    const dir = options.layout.primary(at.host, at.port, at.plain);
    const trust = openTrust(dir, options.authority, given === null ? {} : { caPem: given });
    const isVouched = trust.pinned || options.caFingerprint !== null;
    const lists = ca ?? at;
    const vet = openVetting(trust, options.revocation, () => readCrl(lists, trust));
    await contact(at, trust, options.caFingerprint, {
      vet: certificate => revocationError(trust, options.revocation, certificate),
      lists,
    });
    if (at.plain && !isVouched) {
      onNotice(
        `the CA of ${authorityOf(at.host, at.port)} came over plain HTTP, and nobody vouches for it: --ca-fingerprint checks it`,
      );
    }
    const found: Known = { ...at, trust, caPem: () => trust.caPem(), vet, readCrl: () => readCrl(lists, trust) };
    opened.set(key, found);
    return found;
  }

  async function firstOf(places: readonly PrimaryAddress[], ca: Known | null): Promise<Known> {
    for (const [i, place] of places.entries()) {
      try {
        return await open(place, ca);
      } catch (error) {
        if (i === places.length - 1) throw error;
        onNotice(`${reasonOf(error)}; the next one is taken`);
      }
    }
    throw new Error('no place to try');
  }

  async function opening(work: Promise<Known>): Promise<Known | null> {
    try {
      return await work;
    } catch (error) {
      onNotice(`${reasonOf(error)}; what goes there is tunnelled unread`);
      return null;
    }
  }

  const ca = services === null || services.ca.length === 0 ? null : await firstOf(services.ca, null);
  const candidates = [options.primary, ...options.standbys];
  const first = await firstOf(candidates, ca);
  const after = candidates.slice(candidates.findIndex(one => one.host === first.host && one.port === first.port) + 1);
  for (const other of [...after, ...options.others]) await opening(open(other, ca));
  const report = services?.report.length ? await opening(firstOf(services.report, ca)) : null;
  const files = services?.fileserver.length ? await opening(firstOf(services.fileserver, ca)) : null;
  const all = [first, ...[...opened.values()].filter(one => one !== first)];

  function named({ host, port }: PrimaryAddress): Known | undefined {
    const known = all.filter(one => one.port === port);
    const isAlias = names.some(name => name.toLowerCase() === host);
    return known.find(one => one.host.toLowerCase() === host) ?? (isAlias ? known[0] : undefined);
  }

  /** `null` when the agent named none of them. */
  function meant({ via, target, tls }: Connection): Known | null {
    const wanted = via === 'connect' && target !== null ? parseAuthority(target) : null;
    if (wanted !== null) return named(wanted) ?? null;
    const name = tls?.serverName?.toLowerCase();
    return all.find(one => one.host.toLowerCase() === name) ?? null;
  }

  function serving({ phase, indirection }: Route): Known | null {
    if (phase === 'ca' || phase === 'crl' || phase === 'csr' || phase === 'certificate') return ca;
    if (phase === 'report') return report;
    return /^(static_file_content|file_(content|metadatas?))$/.test(indirection ?? '') ? files : null;
  }

  return {
    first,
    all,
    named,
    of: connection => meant(connection) ?? first,
    for: (connection, route) => meant(connection) ?? serving(route) ?? first,
  };
}
