import type { KeyObject } from 'node:crypto';
import type { Certname } from '../model.ts';
import type { Authority } from './authority.ts';
import { asksTheSame, type Csr, deriveCsr, isReproducible, keyMaker, readCsr } from './csr.ts';
import { PkiError } from './error.ts';
import { agentKeyOf, type PrimaryIdentities } from './identity.ts';
import type { Identity } from './identity-file.ts';
import { toPem } from './pem.ts';
import { openPendings, type Pending } from './pending.ts';
import { type Certificate, commonNameOf, publicKeyOf, readCertificates } from './x509.ts';

/** What goes upstream in the place of an agent's CSR. */
export type Swap =
  | {
      type: 'swap';
      csrPem: string;
      /** Of the agent's CSR, as the agent prints it, and of ours, as the primary lists it: who signs by hand compares them. */
      agentFingerprint: string;
      fingerprint: string;
      /** To be called with the status of the primary's answer; 0 when none came. */
      commit(status: number): Promise<void>;
    }
  /** The agent's own bytes go upstream: this is no CSR that we could stand in for, and the primary judges it. */
  | { type: 'pass'; why: string };

/** A certificate for the agent: by our CA for the agent's key, or the primary's as it came. */
export interface Handed {
  pem: string;
  by: 'proxy' | 'primary';
}

/**
 * The swap of CSR and certificate between agent and primary.
 *
 *     PUT certificate_request            2xx                GET certificate: signed for its key
 *       agent's key is new ─▶ candidate ─────▶ pending ──────────────────────────────▶ identity (enrolled)
 *                                 │ 400          │ 2xx for a candidate with another agent key: replaced
 *                                 ▼              ▼
 *                              dropped        dropped
 *
 * What holds throughout: a certificate of our CA for an agent key A exists only if the primary signed the very CSR that we made for A
 * (it has the key that we made for A and nobody else). So who reaches our port gets no further than who reaches the primary's.
 *
 * All of it throws a PkiError when our files cannot be read or written, our CA has ended, or far too many ask at once.
 */
export interface Enrolment {
  /** PUT certificate_request/NAME. @param from address of the agent, `null` when it is not known */
  request(certname: Certname, agentCsrPem: string, from?: string | null): Promise<Swap>;
  /** GET certificate/NAME, answered 200 by the primary. */
  certificate(certname: Certname, primaryPem: string): Promise<Handed>;
  /**
   * POST certificate_renewal, answered 200 by the primary to this certname's identity. `agentCertPem` is the certificate that the
   * agent proved itself with; the new one is for the same agent key.
   */
  renewed(certname: Certname, agentCertPem: string, primaryPem: string): Promise<Handed>;
}

export interface EnrolmentOptions {
  now?: () => number;
  /** CSRs that wait on disk, 1000. */
  maxPending?: number;
  /** See `openPendings`. */
  older?: string;
}

/** A candidate, and whether the primary may have taken it without our having seen so. */
interface Candidate extends Pending {
  certname: Certname;
  /** Answers that have not come. */
  underWay: number;
  /** An answer was lost, or a 5xx. */
  uncertain: boolean;
}

/** In memory, by callers that have proved nothing: the oldest go first. */
const MAX_CANDIDATES = 1000;

/** @param dir for the CSRs that one CA has: a certname may wait at several, and one signs what another does not */
export function openEnrolment(
  dir: string,
  authority: Authority,
  identities: Pick<PrimaryIdentities, 'get' | 'store'>,
  options: EnrolmentOptions = {},
): Enrolment {
  const now = options.now ?? Date.now;
  const pendings = openPendings(dir, options.maxPending ?? 1000, options.older);
  const candidates = new Set<Candidate>();
  const makeKey = keyMaker();
  const oneAtATime = serialiser();

  function candidateOf(certname: Certname, matches: (candidate: Pending) => boolean): Candidate | null {
    for (const candidate of candidates) if (candidate.certname === certname && matches(candidate)) return candidate;
    return null;
  }

  /** The same agent key: the same key of ours, and the same CSR unless the agent asks for something else now. */
  function again(found: Pending, agent: Csr): Csr {
    return asksTheSame(found.csr, agent) ? found.csr : readCsr(deriveCsr(agent, found.key));
  }

  async function newCandidate(certname: Certname, agent: Csr, from: string | null): Promise<Candidate> {
    const key = await makeKey(agent.publicKey);
    const csr = readCsr(deriveCsr(agent, key));
    const candidate = { certname, agentKey: agent.publicKey, key, csr, from, underWay: 0, uncertain: false };
    candidates.add(candidate);
    for (const oldest of candidates) {
      if (candidates.size <= MAX_CANDIDATES) break;
      candidates.delete(oldest);
    }
    return candidate;
  }

  async function request(certname: Certname, agentCsrPem: string, from: string | null): Promise<Swap> {
    const agent = swappable(certname, agentCsrPem);
    if (typeof agent === 'string') return { type: 'pass', why: agent };
    const ofThisAgent = ({ agentKey }: Pending): boolean => agentKey.equals(agent.publicKey);
    const pending = pendings.get(certname);
    if (pending !== null && ofThisAgent(pending)) {
      const csr = again(pending, agent);
      return swap(agent, csr, status =>
        oneAtATime(certname, async () => {
          if (isTaken(status)) pendings.put(certname, { ...pending, csr, from });
        }),
      );
    }
    const candidate = candidateOf(certname, ofThisAgent) ?? (await newCandidate(certname, agent, from));
    candidate.csr = again(candidate, agent);
    candidate.underWay += 1;
    return swap(agent, candidate.csr, status => oneAtATime(certname, async () => settle(candidate, status)));
  }

  /** What the primary made of a candidate's CSR. */
  function settle(candidate: Candidate, status: number): void {
    candidate.underWay -= 1;
    if (isTaken(status)) {
      candidate.uncertain = true; // where it cannot be written, it is all that is left of what the primary has
      pendings.put(candidate.certname, candidate);
      candidates.delete(candidate);
    } else if (status < 400 || status >= 500) {
      candidate.uncertain = true;
    } else if (!candidate.uncertain && candidate.underWay === 0) {
      // "already has a requested certificate" may be this very one when an earlier answer was lost; it is kept then. Keeping it gives
      // nobody anything: it counts for nothing until the primary signs exactly this key.
      candidates.delete(candidate);
    }
  }

  async function certificate(certname: Certname, primaryPem: string): Promise<Handed> {
    const signed = certificateFor(certname, primaryPem);
    const untouched: Handed = { pem: primaryPem, by: 'primary' };
    if (signed === null) return untouched;
    const isOurs = ({ key }: Pending): boolean => publicKeyOf(signed.x509)?.equals(key.publicKey) === true;
    const identity = identities.get(certname);
    if (identity !== null && hasKeyOf(identity, signed)) {
      const agentKey = agentKeyOf(identity);
      if (agentKey === null) return untouched; // imported: the certificate is for the agent's own key
      const pending = pendings.get(certname);
      if (pending !== null && isOurs(pending)) pendings.remove(certname); // left over by a process that was killed in between
      return { pem: await handAgain(identity, agentKey, signed, primaryPem), by: 'proxy' };
    }
    const pending = pendings.get(certname);
    const found = pending !== null && isOurs(pending) ? pending : candidateOf(certname, isOurs);
    if (found === null) return untouched;
    return { pem: await promote(certname, found, primaryPem, identity), by: 'proxy' };
  }

  /** The primary signed our CSR: from now on the agent is who it says, and whoever was before is not. */
  async function promote(certname: Certname, found: Pending, primaryPem: string, old: Identity | null): Promise<string> {
    const agentCertPem = await authority.issue({ publicKey: found.agentKey, like: primaryPem });
    const keyPem = found.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    identities.store({ certname, keyPem, certPem: chainOf(primaryPem), agentCertPem });
    if (old?.agentCertPem != null) await revokeOurs(old.agentCertPem);
    pendings.remove(certname);
    const candidate = candidateOf(certname, other => other === found);
    if (candidate !== null) candidates.delete(candidate);
    return agentCertPem;
  }

  /** The agent asks for its certificate again: the one that it got, unless that is over. */
  async function handAgain(identity: Identity, agentKey: KeyObject, signed: Certificate, primaryPem: string): Promise<string> {
    const [current] = readCertificates(identity.agentCertPem ?? '');
    const isGood = current !== undefined && authority.issued(current) && current.notAfter > now();
    const agentCertPem =
      isGood && identity.agentCertPem !== null
        ? identity.agentCertPem
        : await authority.issue({ publicKey: agentKey, like: primaryPem });
    if (signed.fingerprint !== identity.fingerprint || agentCertPem !== identity.agentCertPem) {
      identities.store({ ...identity, certPem: chainOf(primaryPem), agentCertPem });
    }
    return agentCertPem;
  }

  async function renewed(certname: Certname, agentCertPem: string, primaryPem: string): Promise<Handed> {
    const signed = certificateFor(certname, primaryPem);
    const untouched: Handed = { pem: primaryPem, by: 'primary' };
    const identity = identities.get(certname);
    if (signed === null || identity === null || !hasKeyOf(identity, signed)) return untouched;
    const agentKey = agentKeyOf(identity);
    const [shown] = readCertificates(agentCertPem);
    const shownKey = shown === undefined ? null : publicKeyOf(shown.x509);
    if (agentKey === null || shownKey?.equals(agentKey) !== true) {
      // Imported: a certificate for the agent's own key. Or not the agent that enrolled: it can do nothing with one for our key.
      identities.store({ ...identity, certPem: chainOf(primaryPem) });
      return untouched;
    }
    // The old one stays good until it ends, as the primary's own does: the answer may not reach the agent.
    const pem = await authority.issue({ publicKey: agentKey, like: primaryPem });
    identities.store({ ...identity, certPem: chainOf(primaryPem), agentCertPem: pem });
    return { pem, by: 'proxy' };
  }

  async function revokeOurs(pem: string): Promise<void> {
    const [certificate] = readCertificates(pem);
    if (certificate !== undefined && authority.issued(certificate)) await authority.revoke(pem);
  }

  return {
    request: (certname, pem, from = null) => oneAtATime(certname, () => request(certname, pem, from)),
    certificate: (certname, pem) => oneAtATime(certname, () => certificate(certname, pem)),
    renewed: (certname, agentPem, pem) => oneAtATime(certname, () => renewed(certname, agentPem, pem)),
  };
}

/** The CSR, or why it goes upstream as it is. */
function swappable(certname: Certname, pem: string): Csr | string {
  try {
    const csr = readCsr(pem);
    if (!csr.signatureValid) return 'the request is not signed with the key in it';
    if (csr.commonName !== certname) return `the request is not for ${certname}`;
    if (!isReproducible(csr.publicKey)) return `keys of the type ${csr.publicKey.asymmetricKeyType} are not known here`;
    return csr;
  } catch (error) {
    if (error instanceof PkiError) return error.message;
    throw error;
  }
}

function swap(agent: Csr, csr: Csr, commit: (status: number) => Promise<void>): Swap {
  let committed = false;
  return {
    type: 'swap',
    csrPem: toPem('CERTIFICATE REQUEST', csr.der),
    agentFingerprint: agent.fingerprint,
    fingerprint: csr.fingerprint,
    async commit(status) {
      if (committed) return;
      committed = true;
      await commit(status);
    },
  };
}

function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The first certificate of the answer when it is for this certname, whatever its key. */
function certificateFor(certname: Certname, pem: string): Certificate | null {
  try {
    const [signed] = readCertificates(pem);
    return signed !== undefined && commonNameOf(signed.subject) === certname && !signed.x509.ca ? signed : null;
  } catch (error) {
    if (error instanceof PkiError) return null;
    throw error;
  }
}

function hasKeyOf(identity: Identity, signed: Certificate): boolean {
  const [current] = readCertificates(identity.certPem);
  const key = current === undefined ? null : publicKeyOf(current.x509);
  return key !== null && publicKeyOf(signed.x509)?.equals(key) === true;
}

/** Normal form of what the primary sent: only certificates, in its order. */
function chainOf(pem: string): string {
  return readCertificates(pem)
    .map(({ der }) => toPem('CERTIFICATE', der))
    .join('');
}

/** Tasks of one name one after the other, those of different names side by side. */
function serialiser(): <T>(name: string, task: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (name, task) => {
    const result = (last.get(name) ?? Promise.resolve()).then(task);
    const settled = result
      .catch(() => undefined)
      .finally(() => {
        if (last.get(name) === settled) last.delete(name);
      });
    last.set(name, settled);
    return result;
  };
}
