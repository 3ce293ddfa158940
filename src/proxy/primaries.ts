import { existsSync } from 'node:fs';
import type { Connection, Route } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import { removeFolder } from '../pki/files.ts';
import type { CertsLayout } from '../pki/layout.ts';
import { pinnedPrimaries } from '../pki/pinned.ts';
import { openTrust, type RevocationMode, type Trust } from '../pki/trust.ts';
import { contact, type PrimaryAddress, readCrl, renewCa } from './contact.ts';
import { ContactError } from './contact-error.ts';
import type { Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import { authority as authorityOf } from './tracking.ts';
import { parseAuthority } from './tunnel.ts';
import { openVetting, revocationError } from './vetting.ts';

/** Services of Puppet that may be at another place than the catalogs: each a list of which the first that answers is taken. */
export type ServicePlaces = Readonly<Record<'ca' | 'report' | 'fileserver', readonly PrimaryAddress[]>>;

/** Where primaries are. */
export interface Places {
  primary: PrimaryAddress;
  /** Taken in the place of `primary`, in this order, when it cannot be used at the start: `server_list`, SRV records. */
  standbys: readonly PrimaryAddress[];
  services: ServicePlaces | null;
}

export interface PrimariesOptions extends Places {
  /** More of them: CONNECT and SNI choose. One that does not answer now is left out, and said. */
  others: readonly PrimaryAddress[];
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
  /** Takes over a CA that was renewed with its key. */
  renewCa(): Promise<void>;
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
  /**
   * Goes to other places from now on: a primary that is not named any more, or with `isFailing` one that does not answer, gives way to the first
   * that does. One that is named and answers stays, as those of one priority come in any order.
   * @param places `null`: those of before
   * @returns whether anything changed. Rejects when nobody answers; all stays as it was then
   */
  follow(places: Places | null, isFailing: boolean): Promise<boolean>;
}

/** Who answers for what. */
interface Chosen {
  ca: Known | null;
  first: Known;
  report: Known | null;
  files: Known | null;
}

/** @throws {ContactError} when neither the primary nor a standby can be known */
export async function openPrimaries(options: PrimariesOptions): Promise<Primaries> {
  const { onNotice, names } = options;
  const opened = new Map<string, Known>();
  /** Whoever is added later has its CA: only DNS names those, and anybody may speak for it. */
  let start: Known | null = null;

  /** @param ca where its CA is, when that is another place: a compiler has none to ask */
  async function open(at: PrimaryAddress, ca: Known | null, isFailing: boolean): Promise<Known> {
    const key = keyOf(at);
    const known = opened.get(key);
    if (known && !isFailing) return known;
    const given = options.caPem ?? ca?.caPem() ?? null;
    const dir = options.layout.primary(at.host, at.port, at.plain);
    const isNew = start !== null && !existsSync(dir);
    const trust = known?.trust ?? openTrust(dir, options.authority, given === null ? {} : { caPem: given });
    if (start !== null && trust.ca?.id !== start.trust.ca?.id) joinCa(trust, start, at);
    const isVouched = trust.pinned || options.caFingerprint !== null;
    const lists = ca ?? at;
    const vet = openVetting(trust, options.revocation, () => readCrl(lists, trust));
    await contact(at, trust, options.caFingerprint, {
      vet: certificate => revocationError(trust, options.revocation, certificate),
      lists,
    }).catch((error: unknown) => {
      if (isNew) removeFolder(dir); // it has not shown that it is of that CA
      throw error;
    });
    if (known) return known;
    const other =
      isVouched || options.services === null
        ? undefined
        : pinnedPrimaries(options.layout).find(one => one.ca.id !== trust.ca?.id);
    if (other !== undefined) {
      onNotice(
        `${addressOf(at)}, which DNS names, has another CA than ${other.name}, which is known: --ca-fingerprint checks it`,
      );
    }
    if (at.plain && !isVouched) {
      onNotice(
        `the CA of ${authorityOf(at.host, at.port)} came over plain HTTP, and nobody vouches for it: --ca-fingerprint checks it`,
      );
    }
    const found: Known = {
      ...at,
      trust,
      caPem: () => trust.caPem(),
      vet,
      readCrl: () => readCrl(lists, trust),
      renewCa: () => renewCa(lists, trust),
    };
    opened.set(key, found);
    return found;
  }

  async function firstOf(
    places: readonly PrimaryAddress[],
    ca: Known | null,
    isFailing: boolean,
    say: (line: string) => void,
  ): Promise<Known> {
    for (const [i, place] of places.entries()) {
      try {
        return await open(place, ca, isFailing);
      } catch (error) {
        if (i === places.length - 1) throw error;
        say(`${reasonOf(error)}; the next one is taken`);
      }
    }
    throw new Error('no place to try');
  }

  async function opening(work: Promise<Known>, say: (line: string) => void): Promise<Known | null> {
    try {
      return await work;
    } catch (error) {
      say(`${reasonOf(error)}; what goes there is tunnelled unread`);
      return null;
    }
  }

  /** @param before who answered until now */
  async function choose({ primary, standbys, services }: Places, before: Chosen | null, isFailing: boolean): Promise<Chosen> {
    // Later it is said who has taken whose place, and why nobody has; not each one that is still down.
    const say = before === null ? onNotice : (): void => undefined;
    const stay = (who: Known | null | undefined, places: readonly PrimaryAddress[], ca: Known | null): Promise<Known> => {
      const isNamed = who && places.some(place => keyOf(place) === keyOf(who));
      return isNamed && !isFailing ? Promise.resolve(who) : firstOf(places, ca, isFailing, say);
    };
    const staysCa = before?.ca ?? null;
    // Without its CA a primary still answers those that it knows.
    const ca = services?.ca.length
      ? await stay(staysCa, services.ca, null).catch((error: unknown) => {
          if (staysCa !== null) return staysCa;
          throw error;
        })
      : null;
    const candidates = [primary, ...standbys];
    const first = await stay(before?.first, candidates, ca);
    const after = candidates.slice(candidates.findIndex(one => keyOf(one) === keyOf(first)) + 1);
    for (const other of before === null ? [...after, ...options.others] : []) await opening(open(other, ca, false), say);
    const serving = async (who: Known | null | undefined, places: readonly PrimaryAddress[] = []): Promise<Known | null> =>
      places.length === 0 ? null : ((await opening(stay(who, places, ca), say)) ?? who ?? null);
    return {
      ca,
      first,
      report: await serving(before?.report, services?.report),
      files: await serving(before?.files, services?.fileserver),
    };
  }

  let places: Places = options;
  let chosen = await choose(places, null, false);
  start = chosen.first;
  let all = [chosen.first, ...[...opened.values()].filter(one => one !== chosen.first)];

  function named({ host, port }: PrimaryAddress): Known | undefined {
    const known = all.filter(one => one.port === port);
    const isAlias = names.some(name => plainName(name) === plainName(host));
    return known.find(one => plainName(one.host) === plainName(host)) ?? (isAlias ? known[0] : undefined);
  }

  /** `null` when the agent named none of them. */
  function meant({ via, target, tls }: Connection): Known | null {
    const wanted = via === 'connect' && target !== null ? parseAuthority(target) : null;
    if (wanted !== null) return named(wanted) ?? null;
    const name = plainName(tls?.serverName ?? '');
    return all.find(one => plainName(one.host) === name) ?? null;
  }

  function serving({ phase, indirection }: Route): Known | null {
    if (phase === 'ca' || phase === 'crl' || phase === 'csr' || phase === 'certificate') return chosen.ca;
    if (phase === 'report') return chosen.report;
    return /^(static_file_content|file_(content|metadatas?))$/.test(indirection ?? '') ? chosen.files : null;
  }

  return {
    get first() {
      return chosen.first;
    },
    get all() {
      return all;
    },
    named,
    of: connection => meant(connection) ?? chosen.first,
    for: (connection, route) => meant(connection) ?? serving(route) ?? chosen.first,
    async follow(next, isFailing) {
      const before = chosen;
      const count = opened.size;
      const found = await choose(next ?? places, before, isFailing);
      places = next ?? places;
      chosen = found;
      all = [found.first, ...[...opened.values()].filter(one => one !== found.first)];
      if (found.first !== before.first) {
        onNotice(`${addressOf(found.first)} is the primary now, not ${addressOf(before.first)}`);
      }
      return found.first !== before.first || opened.size !== count;
    },
  };
}

/** @throws {ContactError} when another CA is pinned for that place */
function joinCa(trust: Trust, start: Known, at: PrimaryAddress): void {
  const pem = start.caPem();
  if (trust.pinned || pem === null) {
    throw new ContactError(
      `${addressOf(at)} has another CA than ${addressOf(start)}, and is not followed to`,
      'start stringtap again when that is meant',
    );
  }
  trust.pin(pem);
}

/** To compare a name: without the dot of the root, which some write at its end. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function addressOf({ host, port }: PrimaryAddress): string {
  return authorityOf(host, port);
}

function keyOf(at: PrimaryAddress): string {
  return `${authorityOf(at.host.toLowerCase(), at.port)}${at.plain ? ' plain' : ''}`;
}
