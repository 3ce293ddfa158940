import { join } from 'node:path';
import type { PoolPolicy, Tape } from '../model.ts';
import { type Authority, openAuthority } from '../pki/authority.ts';
import { type Enrolment, openEnrolment } from '../pki/enrolment.ts';
import { PkiError } from '../pki/error.ts';
import { type IdentitySource, openIdentities, type PrimaryIdentities } from '../pki/identity.ts';
import { NO_SWAP } from '../pki/in-place.ts';
import { certsLayout } from '../pki/layout.ts';
import type { RevocationMode, Trust } from '../pki/trust.ts';
import { openBootstrap } from './bootstrap.ts';
import type { PrimaryAddress } from './contact.ts';
import { openLeafContexts, ownAddresses } from './contexts.ts';
import type { Primary } from './dial.ts';
import { reasonOf } from './failure.ts';
import { type FaultRule, openFaults } from './faults.ts';
import { followRecords } from './following.ts';
import { serveHandout } from './handout.ts';
import { openHeaderIdentities } from './header-identity.ts';
import { type AgentConnection, intercept } from './intercept.ts';
import type { KeyLine } from './keylog.ts';
import { type Known, openPrimaries, type Places, type ServicePlaces } from './primaries.ts';
import { openProofs } from './proof.ts';
import { openRelay } from './relay.ts';
import { openStanding } from './standing.ts';
import { authority as authorityOf } from './tracking.ts';
import { forwardPlain, parseAuthority, refuseConnect, tunnel } from './tunnel.ts';
import { openUpstream } from './upstream.ts';

/** A leaf is good for weeks after another one takes its place. */
const RENEW_EVERY_MS = 24 * 60 * 60 * 1000;

export interface ProxyOptions {
  listen: { host: string; port: number };
  primary: PrimaryAddress;
  /** Taken in its place, in this order, when it cannot be used at the start (`server_list`, SRV records). */
  standbys?: readonly PrimaryAddress[];
  /** Where certificates, reports and files are, when a domain's SRV records say so. */
  services?: ServicePlaces;
  /** Asks anew where they are, when SRV records say so; see following.ts. */
  follow?: () => Promise<Places>;
  /** More of them: CONNECT and SNI choose. One that does not answer now is left out, and said. */
  others?: readonly PrimaryAddress[];
  /** Folder of our CA, identities, enrolments and pinned CAs. */
  certsDir: string;
  /** Extra names and addresses on every leaf; CONNECT to such a name is read too. */
  names: readonly string[];
  pool: PoolPolicy;
  /** Refuse CONNECT to anything but the primary instead of tunnelling it unread. */
  connectOnlyPrimary: boolean;
  /** CONNECT and plain HTTP may lead to what is local to this machine, too: loopback, link-local. Default false. */
  connectLocal?: boolean;
  /** The primary's CA bundle, PEM; pinned on first contact without it. */
  caPem: string | null;
  caFingerprint: string | null;
  /** `headers`: agents are named in X-Client-* fields; always so for a primary over plain HTTP. Default `certificate`. */
  identity?: 'certificate' | 'headers';
  /** How far the revocation of the primary's own certificate is looked at; default `chain`, as with agents. */
  revocation?: RevocationMode;
  tape: Tape;
  /** What is done to exchanges on purpose, the first that matches; default nothing. */
  faults?: readonly FaultRule[];
  /** Whom the proxy can act as, and who answers certificate requests; default: the folders of `certsDir`. */
  identities?: IdentitySource;
  enrolment?: Enrolment;
  /** TLS secrets of both legs, for a key log. */
  onKeys?: KeyLine;
  /** A line that the operator should read. */
  onNotice(line: string): void;
  /** See upstream.ts; tests shorten them. */
  idleMs?: number;
  /** See intercept.ts; tests shorten them. */
  agentIdleMs?: number;
  headMs?: number;
  stalledMs?: number;
  answerMs?: number;
  connectMs?: number;
  /** See bootstrap.ts; tests shorten it. */
  bodyIdleMs?: number;
  /** See standing.ts. */
  standingMs?: number;
  /** See following.ts. */
  followEveryMs?: number;
}

export interface RunningProxy {
  readonly address: { host: string; port: number };
  readonly authority: Authority;
  /** The first of the primaries: the one that was asked for, or the standby that answered in its place. */
  readonly primary: PrimaryAddress;
  readonly trust: Trust;
  /** Names and addresses that every leaf carries. */
  readonly names: readonly string[];
  /** Finishes the exchanges under way, then closes every connection. */
  close(): Promise<void>;
}

/**
 * Starts to listen.
 * @throws {ContactError} when the primary cannot be known; PkiError for what is wrong below certsDir; the error of `listen`
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { tape, certsDir, onNotice } = options;
  const layout = certsLayout(certsDir);
  const authority = await openAuthority(layout.ca);
  const primaries = await openPrimaries({
    primary: options.primary,
    standbys: options.standbys ?? [],
    others: options.others ?? [],
    services: options.services ?? null,
    names: options.names,
    layout,
    authority,
    caPem: options.caPem,
    caFingerprint: options.caFingerprint,
    revocation: options.revocation ?? 'chain',
    onNotice,
  });
  const { trust } = primaries.first;
  const knownOf = (primary: Primary): Known => primaries.all.find(one => one === primary) ?? primaries.first;
  const trustOf = (primary: Primary): Trust => knownOf(primary).trust;
  const names = leafNames(options);
  const { identitiesOf, enrolmentFor } = openOwn(options, authority, trustOf);
  const contexts = await openLeafContexts({
    authority,
    names,
    agentCas: () => [...new Set([authority.caPem, ...primaries.all.map(one => one.caPem() ?? '')])].filter(pem => pem !== ''),
  });
  const isSaid = (primary: Primary): boolean => primary.plain === true || options.identity === 'headers';
  const headerIdentity = openHeaderIdentities(authority);
  const agents = new Map<number, AgentConnection>();
  const proofs = openProofs({ authority, primaries, identitiesOf, onNotice });
  const upstream = openUpstream({
    tape,
    pool: options.pool,
    ...(options.idleMs !== undefined && { idleMs: options.idleMs }),
    ...(options.answerMs !== undefined && { answerMs: options.answerMs }),
    ...(options.connectMs !== undefined && { connectMs: options.connectMs }),
    ...(options.onKeys && { onKeys: options.onKeys }),
    onUnreachable: () => following?.failed(),
    onMirrorClosed: id => agents.get(id)?.closeWhenIdle(),
  });
  function renewContexts(): void {
    contexts.renew().then(
      () => interception.refresh(),
      error => onNotice(`what agents are shown cannot be renewed: ${reasonOf(error)}`),
    );
  }
  const following = options.follow
    ? followRecords({
        primaries,
        ask: options.follow,
        onNotice,
        onChanged: renewContexts,
        ...(options.followEveryMs !== undefined && { everyMs: options.followEveryMs }),
      })
    : null;
  const bootstrap = openBootstrap({
    upstream,
    // Named in header fields, an agent needs no key of ours: it enrols with its own, and keeps what the primary signs.
    enrolmentFor: primary => (isSaid(primary) ? NO_SWAP : enrolmentFor(primary)),
    trustOf,
    ...(options.bodyIdleMs !== undefined && { bodyIdleMs: options.bodyIdleMs }),
    onNotice,
    onTrustChanged: renewContexts,
  });
  const faults = options.faults === undefined || options.faults.length === 0 ? null : openFaults(options.faults);
  const relay = openRelay({
    tape,
    faults,
    onNotice,
    upstream,
    pool: options.pool,
    bootstrap,
    primaryFor: primaries.for,
    identityOf(certname, agent, primary) {
      try {
        const identities = proofs.identities(certname, agent);
        if (agent.record.certname !== certname) return null;
        return isSaid(primary) ? headerIdentity(certname, agent, identities) : identities.get(certname);
      } catch (error) {
        // A file that is damaged, or that others may read: nothing is presented, and the operator reads why.
        if (!(error instanceof PkiError)) throw error;
        onNotice(error.hint === null ? error.message : `${error.message}; ${error.hint}`);
        return null;
      }
    },
    standing: openStanding({
      upstream,
      trustOf,
      readCrl: primary => knownOf(primary).readCrl(),
      ...(options.revocation && { revocation: options.revocation }),
      ...(options.standingMs !== undefined && { standingMs: options.standingMs }),
    }),
  });

  const interception = await intercept({
    listen: options.listen,
    tape,
    ...(options.agentIdleMs !== undefined && { agentIdleMs: options.agentIdleMs }),
    ...(options.headMs !== undefined && { headMs: options.headMs }),
    ...(options.stalledMs !== undefined && { stalledMs: options.stalledMs }),
    contexts,
    onSecure: proofs.judge,
    onExchange: relay,
    onPlain: (agent, request, response, target) => {
      if (serveHandout(request, response, target, { dir: layout.handouts, trust: primaries.first.trust })) return;
      void forwardPlain(agent, request, response, target, options.connectLocal === true);
    },
    onConnect(agent, target, socket, head) {
      const wanted = parseAuthority(target);
      if (!wanted) {
        agent.record.error = 'CONNECT without HOST:PORT';
        agent.ending.note('proxy', 'policy');
        refuseConnect(socket, 400, 'CONNECT needs HOST:PORT');
        return 'taken';
      }
      if (primaries.named(wanted)) return 'intercept';
      if (options.connectOnlyPrimary) {
        agent.record.error = 'not the primary';
        agent.ending.note('proxy', 'policy');
        refuseConnect(socket, 403, 'Only the primary may be reached');
        return 'taken';
      }
      if (primaries.all.some(one => one.port === wanted.port)) {
        onNotice(`${authorityOf(wanted.host, wanted.port)} is tunnelled unread; to read it: --name ${wanted.host}`);
      }
      void tunnel(agent, wanted, socket, head, options.connectLocal === true);
      return 'taken';
    },
    onClosed(agent) {
      agents.delete(agent.record.id);
      upstream.release(agent.record.id);
    },
    ...(options.onKeys && { onKeys: options.onKeys }),
    onOpened: agent => agents.set(agent.record.id, agent),
  });

  // Contexts of server names are made anew by themselves; the one of connections without a name is not.
  const renewal = setInterval(() => {
    void Promise.allSettled(primaries.all.map(one => one.renewCa())).then(renewContexts);
  }, RENEW_EVERY_MS).unref();

  return {
    address: interception.address,
    authority,
    primary: primaries.first,
    trust,
    names,
    async close() {
      clearInterval(renewal);
      following?.stop();
      faults?.end();
      await interception.close();
      await upstream.close();
    },
  };
}

/** The folders of `certsDir`, unless the caller has its own. Primaries of one CA share what they know of a certname. */
function openOwn(
  { certsDir, ...options }: ProxyOptions,
  authority: Authority,
  trustOf: (primary: Primary) => Trust,
): { identitiesOf(primary: Primary): IdentitySource; enrolmentFor(primary: Primary): Enrolment } {
  if (options.identities !== undefined && options.enrolment !== undefined) {
    const { identities, enrolment } = options;
    return { identitiesOf: () => identities, enrolmentFor: () => enrolment };
  }
  const layout = certsLayout(certsDir);
  const all = openIdentities(layout.identities);
  const opened = new Map<string, { identities: PrimaryIdentities; enrolment: Enrolment }>();
  function of(primary: Primary): { identities: PrimaryIdentities; enrolment: Enrolment } {
    const trust = trustOf(primary);
    const id = trust.ca?.id ?? '';
    let found = opened.get(id);
    if (found === undefined) {
      const identities = all.of(trust);
      const enrolment = openEnrolment(join(layout.enrolment, id), authority, identities, { older: layout.enrolment });
      found = { identities, enrolment };
      opened.set(id, found);
    }
    return found;
  }
  return {
    identitiesOf: primary => options.identities ?? of(primary).identities,
    enrolmentFor: primary => options.enrolment ?? of(primary).enrolment,
  };
}

/** What the leaf without SNI carries: agents reach us by the primary's name, by a name given, or by an address of ours. */
function leafNames({ listen, primary, standbys = [], others = [], names }: ProxyOptions): string[] {
  return [
    ...new Set([
      primary.host,
      ...[...standbys, ...others].map(({ host }) => host),
      ...names,
      'localhost',
      '127.0.0.1',
      '::1',
      ...ownAddresses(listen.host),
    ]),
  ];
}
