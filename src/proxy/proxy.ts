import { networkInterfaces } from 'node:os';
import type { TLSSocket } from 'node:tls';
import type { Connection, PoolPolicy, Tape } from '../model.ts';
import { type Authority, openAuthority } from '../pki/authority.ts';
import { type Enrolment, openEnrolment } from '../pki/enrolment.ts';
import { PkiError } from '../pki/error.ts';
import { type IdentitySource, openIdentities } from '../pki/identity.ts';
import { NO_SWAP } from '../pki/in-place.ts';
import { type CertsLayout, certsLayout } from '../pki/layout.ts';
import { openTrust, type RevocationMode, type Trust } from '../pki/trust.ts';
import { judge } from '../pki/verify.ts';
import { openBootstrap } from './bootstrap.ts';
import { contact, type PrimaryAddress, readCrl } from './contact.ts';
import { openLeafContexts } from './contexts.ts';
import { reasonOf } from './failure.ts';
import { serveHandout } from './handout.ts';
import { openHeaderIdentities } from './header-identity.ts';
import { type AgentConnection, intercept } from './intercept.ts';
import type { KeyLine } from './keylog.ts';
import { openRelay } from './relay.ts';
import { openStanding } from './standing.ts';
import { authority as authorityOf } from './tracking.ts';
import { forwardPlain, parseAuthority, refuseConnect, tunnel } from './tunnel.ts';
import { openUpstream, type Primary } from './upstream.ts';
import { openVetting, revocationError } from './vetting.ts';

export interface ProxyOptions {
  listen: { host: string; port: number };
  primary: PrimaryAddress;
  /** More of them: CONNECT and SNI choose. One that does not answer now is left out, and said. */
  others?: readonly PrimaryAddress[];
  /** Folder of our CA, identities, enrolments and pinned CAs. */
  certsDir: string;
  /** Extra names and addresses on every leaf; CONNECT to such a name is read too. */
  names: readonly string[];
  pool: PoolPolicy;
  /** Refuse CONNECT to anything but the primary instead of tunnelling it unread. */
  connectOnlyPrimary: boolean;
  /** The primary's CA bundle, PEM; pinned on first contact without it. */
  caPem: string | null;
  caFingerprint: string | null;
  /** `headers`: agents are named in X-Client-* fields; always so for a primary over plain HTTP. Default `certificate`. */
  identity?: 'certificate' | 'headers';
  /** How far the revocation of the primary's own certificate is looked at; default `chain`, as with agents. */
  revocation?: RevocationMode;
  tape: Tape;
  /** Whom the proxy can act as, and who answers certificate requests; default: the folders of `certsDir`. */
  identities?: IdentitySource;
  enrolment?: Enrolment;
  /** TLS secrets of both legs, for a key log. */
  onKeys?: KeyLine;
  /** A line that the operator should read. */
  onNotice(line: string): void;
  /** See upstream.ts; tests shorten them. */
  idleMs?: number;
  /** See intercept.ts; tests shorten it. */
  agentIdleMs?: number;
  answerMs?: number;
  connectMs?: number;
  /** See standing.ts. */
  standingMs?: number;
}

export interface RunningProxy {
  readonly address: { host: string; port: number };
  readonly authority: Authority;
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
  const { tape, certsDir, primary: place, onNotice } = options;
  const layout = certsLayout(certsDir);
  const authority = await openAuthority(layout.ca);
  const { identities, enrolment } = openOwn(options, authority, layout);
  const open = async (at: PrimaryAddress): Promise<Known> => {
    const trust = openTrust(
      layout.primary(at.host, at.port, at.plain),
      authority,
      options.caPem === null ? {} : { caPem: options.caPem },
    );
    const mode = options.revocation ?? 'chain';
    await contact(at, trust, options.caFingerprint, certificate => revocationError(trust, mode, certificate));
    return { ...at, trust, caPem: () => trust.caPem(), vet: openVetting(trust, mode, () => readCrl(at, trust)) };
  };
  const first = await open(place);
  const { trust } = first;
  const primaries = [first];
  for (const other of options.others ?? []) {
    try {
      primaries.push(await open(other));
    } catch (error) {
      onNotice(`${reasonOf(error)}; what goes there is tunnelled unread`);
    }
  }
  const trustOf = (primary: Primary): Trust => primaries.find(one => one === primary)?.trust ?? trust;
  const names = leafNames(options);
  const contexts = await openLeafContexts({
    authority,
    names,
    agentCas: () => [...new Set([authority.caPem, ...primaries.map(one => one.caPem() ?? '')])].filter(pem => pem !== ''),
  });
  const isSaid = (primary: Primary): boolean => primary.plain === true || options.identity === 'headers';
  const headerIdentity = openHeaderIdentities(authority, identities);
  const agents = new Map<number, AgentConnection>();
  const upstream = openUpstream({
    tape,
    pool: options.pool,
    ...(options.idleMs !== undefined && { idleMs: options.idleMs }),
    ...(options.answerMs !== undefined && { answerMs: options.answerMs }),
    ...(options.connectMs !== undefined && { connectMs: options.connectMs }),
    ...(options.onKeys && { onKeys: options.onKeys }),
    onMirrorClosed: id => agents.get(id)?.closeWhenIdle(),
  });
  const bootstrap = openBootstrap({
    upstream,
    // Named in header fields, an agent needs no key of ours: it enrols with its own, and keeps what the primary signs.
    enrolmentFor: primary => (isSaid(primary) ? NO_SWAP : enrolment),
    trustOf,
    onNotice,
    onTrustChanged: () => {
      contexts.renew().then(
        () => interception.refresh(),
        error => onNotice(`the new CA of the primary cannot be used for agents: ${reasonOf(error)}`),
      );
    },
  });
  const relay = openRelay({
    tape,
    upstream,
    pool: options.pool,
    bootstrap,
    primaryFor,
    identityOf(certname, agent, primary) {
      try {
        return isSaid(primary) ? headerIdentity(certname, agent) : identities.get(certname);
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
      readCrl: primary => readCrl(primary, trustOf(primary)),
      ...(options.standingMs !== undefined && { standingMs: options.standingMs }),
    }),
  });

  /** The verdict on an agent's certificate: OpenSSL's on the path, then ours (issuer, revocation, certname). */
  function onSecure(record: Connection, socket: TLSSocket): void {
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) return;
    const verdict = judge(certificate, { authority, trusts: [primaryFor(record).trust], identities, now: Date.now() });
    record.peerName = verdict.ok ? verdict.certname : verdict.name;
    if (!verdict.ok) record.refusal = verdict.reason;
    else if (!socket.authorized) record.refusal = String(socket.authorizationError ?? 'not verified');
    else record.certname = verdict.certname;
  }

  const interception = await intercept({
    listen: options.listen,
    tape,
    ...(options.agentIdleMs !== undefined && { agentIdleMs: options.agentIdleMs }),
    contexts,
    onSecure,
    onExchange: relay,
    onPlain: (agent, request, response, target) => {
      if (serveHandout(request, response, target, { dir: layout.handouts, trust })) return;
      void forwardPlain(agent, request, response, target);
    },
    onConnect(agent, target, socket, head) {
      const wanted = parseAuthority(target);
      if (!wanted) {
        refuseConnect(socket, 400, 'CONNECT needs HOST:PORT');
        return 'taken';
      }
      if (named(wanted)) return 'intercept';
      if (options.connectOnlyPrimary) {
        agent.record.error = 'not the primary';
        agent.ending.note('proxy', 'policy');
        refuseConnect(socket, 403, 'Only the primary may be reached');
        return 'taken';
      }
      if (primaries.some(one => one.port === wanted.port)) {
        onNotice(`${authorityOf(wanted.host, wanted.port)} is tunnelled unread; to read it: --name ${wanted.host}`);
      }
      void tunnel(agent, wanted, socket, head);
      return 'taken';
    },
    onClosed(agent) {
      agents.delete(agent.record.id);
      upstream.release(agent.record.id);
    },
    ...(options.onKeys && { onKeys: options.onKeys }),
    onOpened: agent => agents.set(agent.record.id, agent),
  });

  /** The primary of that name and port; a name of ours stands for the first one on that port. */
  function named({ host, port }: PrimaryAddress): Known | undefined {
    const known = primaries.filter(one => one.port === port);
    const isAlias = options.names.some(name => name.toLowerCase() === host);
    return known.find(one => one.host.toLowerCase() === host) ?? (isAlias ? known[0] : undefined);
  }

  /**
   * Which primary a connection is for: by what CONNECT asked for, else by SNI, else the first. It decides whose CA judges the agent's
   * certificate, too: a certname that one primary signed is nobody at another.
   */
  function primaryFor({ via, target, tls }: Connection): Known {
    const wanted = via === 'connect' && target !== null ? parseAuthority(target) : null;
    if (wanted !== null) return named(wanted) ?? first;
    const name = tls?.serverName?.toLowerCase();
    return primaries.find(one => one.host.toLowerCase() === name) ?? first;
  }

  return {
    address: interception.address,
    authority,
    trust,
    names,
    async close() {
      await interception.close();
      await upstream.close();
    },
  };
}

/** A primary with what is known of its CA. */
interface Known extends Primary {
  trust: Trust;
}

/** The folders of `certsDir`, unless the caller has its own. */
function openOwn(
  options: ProxyOptions,
  authority: Authority,
  layout: CertsLayout,
): { identities: IdentitySource; enrolment: Enrolment } {
  if (options.identities !== undefined && options.enrolment !== undefined) {
    return { identities: options.identities, enrolment: options.enrolment };
  }
  const identities = openIdentities(layout.identities);
  const enrolment = openEnrolment(layout.enrolment, authority, identities);
  return { identities: options.identities ?? identities, enrolment: options.enrolment ?? enrolment };
}

/** What the leaf without SNI carries: agents reach us by the primary's name, by a name given, or by an address of ours. */
function leafNames({ listen, primary, others = [], names }: ProxyOptions): string[] {
  const everywhere = listen.host === '0.0.0.0' || listen.host === '::';
  const addresses = everywhere
    ? Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address.split('%', 1)[0]!))
    : [listen.host];
  return [...new Set([primary.host, ...others.map(({ host }) => host), ...names, 'localhost', '127.0.0.1', '::1', ...addresses])];
}
