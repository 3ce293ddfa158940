import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunRow, Store } from '../capture/store.ts';
import type { Certname, RunId, Tape } from '../model.ts';
import { openAuthority } from '../pki/authority.ts';
import { PkiError } from '../pki/error.ts';
import { type IdentitySource, openIdentities, type PrimaryIdentities } from '../pki/identity.ts';
import { identityInPlace } from '../pki/in-place.ts';
import { certsLayout } from '../pki/layout.ts';
import { openTrust } from '../pki/trust.ts';
import { readCertificates } from '../pki/x509.ts';
import { contact, type PrimaryAddress } from '../proxy/contact.ts';
import type { Presented, Primary } from '../proxy/dial.ts';
import { enrolAll } from './agents-enrol.ts';
import { type Arrival, type Part, replayAgents } from './agents-load.ts';
import { nameOf, planReplay, type ReplayPlan, type Write } from './agents-plan.ts';
import type { AgentResult, SentRequest } from './agents-run.ts';
import { readScript } from './agents-script.ts';
import type { Pace } from './pace.ts';

/** What is replayed, and how. */
export interface ReplaySettings {
  store: Store;
  runs: readonly RunRow[];
  /** Kinds of requests that may change the primary. Default: none. */
  writes: ReadonlySet<Write>;
  /** Another certname, or a pattern with `%d` or `%04d` for a number from 1; `null`: the recorded ones. */
  as: string | null;
  /** So many agents, the n-th of which replays the n-th run, from the first again when they are used up; `null`: one for each run. */
  agents: number | null;
  /** Only these exchanges of the runs; `null`: all. */
  only?: ReadonlySet<number> | null;
}

/** As whom a run goes out. */
export interface Casting {
  run: RunId;
  recorded: Certname;
  as: Certname;
}

/** All that can be said before anything is sent. Plain data. */
export interface PreparedReplay {
  plan: ReplayPlan;
  /** One for each agent, in the order in which they begin. */
  cast: readonly Casting[];
  /** Requests of all agents together. */
  requests: number;
}

/** Names of agents for a load, unless told otherwise. */
const LOAD_NAMES = 'load-%04d';

/** Plans a replay. @throws {PkiError} for a name that is no certname */
export function prepareReplay(settings: ReplaySettings): PreparedReplay {
  const { store, runs, writes, agents } = settings;
  const pattern = settings.as ?? (agents === null ? null : LOAD_NAMES);
  const plan = planReplay(store, runs, { writes, renamed: pattern !== null, only: settings.only ?? null });
  const count = plan.runs.length === 0 ? 0 : (agents ?? plan.runs.length);
  const cast = Array.from({ length: count }, (_, n): Casting => {
    const { run, certname } = plan.runs[n % plan.runs.length]!;
    const as = pattern === null ? certname : nameOf(pattern, n + 1);
    if (as === null)
      throw new PkiError(`${JSON.stringify(pattern)} makes no Puppet certname`, 'lower-case letters, digits, dots, hyphens');
    return { run, recorded: certname, as };
  });
  const byRun = new Map(
    plan.runs.map(({ run, steps }) => [run, steps.filter(step => step.type === 'send' && step.request.omitted === null).length]),
  );
  return { plan, cast, requests: cast.reduce((sum, { run }) => sum + (byRun.get(run) ?? 0), 0) };
}

export interface TargetOptions {
  to: PrimaryAddress;
  /** Folder of `--certs`: identities, and the CA that is pinned for the target. */
  certsDir: string;
  /** An agent's own key and certificate are read there instead. */
  ssldir: string | null;
  /** The target's CA; `null`: the pinned one, else what the ssldir has, else what the target says at first contact. */
  caPem: string | null;
  caFingerprint: string | null;
}

/** Where a replay goes to, and what it presents there. */
export interface Target {
  primary: Primary;
  identityOf(certname: Certname): Presented | null;
  /** Where those that are enrolled are kept; `null` with an ssldir: nobody is enrolled into it. */
  identities: PrimaryIdentities | null;
}

/**
 * Gets to know the target as a proxy gets to know its primary.
 * @throws {ContactError} when it cannot be known; PkiError for what is wrong below certsDir or the ssldir
 */
export async function openTarget({ to, certsDir, ssldir, caPem, caFingerprint }: TargetOptions): Promise<Target> {
  const layout = certsLayout(certsDir);
  const authority = await openAuthority(layout.ca);
  const ownCa = ssldir === null ? null : join(ssldir, 'certs', 'ca.pem');
  const given = caPem ?? (ownCa !== null && existsSync(ownCa) ? readFileSync(ownCa, 'utf8') : null);
  const trust = openTrust(layout.primary(to.host, to.port), authority, given === null ? {} : { caPem: given });
  await contact(to, trust, caFingerprint);
  const primary = { host: to.host, port: to.port, caPem: () => trust.caPem() };
  if (ssldir !== null) {
    const sources = new Map<Certname, IdentitySource>();
    const sourceOf = (certname: Certname): IdentitySource => {
      const files = {
        keyFile: join(ssldir, 'private_keys', `${certname}.pem`),
        certFile: join(ssldir, 'certs', `${certname}.pem`),
      };
      const source = sources.get(certname) ?? identityInPlace({ certname, ...files });
      sources.set(certname, source);
      return source;
    };
    return { primary, identityOf: certname => sourceOf(certname).get(certname), identities: null };
  }
  const all = openIdentities(layout.identities, { authority });
  const isOwn = readCertificates(trust.caPem() ?? '').some(({ fingerprint }) => fingerprint === authority.fingerprint);
  if (!isOwn) {
    const identities = all.of(trust);
    return { primary, identityOf: certname => identities.get(certname), identities };
  }
  // A proxy or a served capture of this same folder: what it signs says nothing to a real primary, and is kept apart.
  const served = openIdentities(join(certsDir, 'replay', 'identities'));
  return { primary, identityOf: certname => all.get(certname) ?? served.get(certname), identities: served };
}

/** Names of the cast that there is no identity for, each once. @throws {PkiError} for one that is damaged */
export function unknownNames({ cast }: PreparedReplay, target: Target): Certname[] {
  return [...new Set(cast.map(({ as }) => as))].filter(certname => target.identityOf(certname) === null);
}

export interface EnrolSettings {
  target: Target;
  certsDir: string;
  /** How long the primary may take to sign, ms. */
  waitMs: number;
  signal: AbortSignal;
  onProgress?(enrolled: number): void;
}

/** Enrols names at the target; those that it has not signed in time are given back. @throws {PkiError} */
export async function enrolNames(certnames: readonly Certname[], settings: EnrolSettings): Promise<Certname[]> {
  const { target, certsDir, waitMs, signal, onProgress } = settings;
  const { identities, primary } = target;
  if (identities === null) return [...certnames];
  return enrolAll({ certnames, primary, identities, certs: certsDir, waitMs, signal, ...(onProgress && { onProgress }) });
}

export interface Performance {
  target: Target;
  pace: Pace;
  arrival: Arrival;
  tape: Tape;
  /** Ends the replay with what there is. */
  signal: AbortSignal;
  onSent?(sent: SentRequest, certname: Certname): void;
  onAgent?(event: { type: 'begin' | 'end'; certname: Certname }): void;
}

/** Sends what was prepared. @throws {PkiError} for a name without an identity */
export async function performReplay(store: Store, prepared: PreparedReplay, options: Performance): Promise<AgentResult[]> {
  const { target, ...rest } = options;
  const scripts = new Map(prepared.plan.runs.map(plan => [plan.run, readScript(store, plan)]));
  const parts = prepared.cast.map(({ run, as }): Part => {
    const identity = target.identityOf(as);
    if (identity === null) throw new PkiError(`there is no identity for ${as}`);
    return { script: scripts.get(run)!, certname: as, identity };
  });
  return replayAgents({ ...rest, parts, primary: target.primary });
}
