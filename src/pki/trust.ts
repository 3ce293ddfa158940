import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Authority } from './authority.ts';
import { type Bundle, haveSameRoots, type IssuingCa, isLater, issuingCa, isVouchedFor, readBundle } from './bundle.ts';
import { type Crl, isListOf, readCrl } from './crl.ts';
import { plainSerial } from './der.ts';
import { PkiError } from './error.ts';
import { privateFolder, readOwn, removeOwn, writeOwn, writtenAt } from './files.ts';
import { pemOf, toPem } from './pem.ts';
import { type Certificate, isIssuedBy } from './x509.ts';

/** What we know of one primary's CA: pinned on first contact, or given by the user. */
export interface Trust {
  readonly pinned: boolean;
  /** Whose identities are for this primary; `null` while nothing is pinned. */
  readonly ca: IssuingCa | null;
  /** The primary's bundle as it sent it. */
  caPem(): string | null;
  /**
   * Trusts the bundle from now on. Later ones must have the same root keys; a chain that was renewed below them takes its place.
   * @param fingerprint what the user gave (`matchesFingerprint`): a bundle without it is not even kept
   * @throws PkiError for other roots, for another fingerprint, and for what is no CA bundle
   */
  pin(bundlePem: string, fingerprint?: string | null): void;
  /** Takes over the CRLs that a CA of the bundle signed and that are newer than those at hand; drops all others. */
  updateCrl(pem: string | Buffer): void;
  /** The text that was taken over last, as it came; `null` when there was none since the start. */
  readonly crlText: Buffer | null;
  /** For agents: our CA first, then the primary's certificates in its order. `modifiedAt` is a whole second, rounded up. */
  bundle(): { pem: string; modifiedAt: number };
  /** For agents: our CRL first, then one of each of the primary's CAs that we have one of. `bytes` is one buffer for all of them. */
  crlBundle(): { pem: string; bytes: Buffer; modifiedAt: number };
  /** SHA-256 of a CA certificate's DER or of the bundle's text; colons and case are ignored. See `isVouchedFor`. */
  matchesFingerprint(fp: string): boolean;
  /** Whether the primary's CA vouches for the certificate of an agent, by its chain, dates and the newest CRLs. */
  check(certificate: X509Certificate, now: number): TrustVerdict;
  /**
   * What the CRLs at hand say against a certificate of this CA; `null`: nothing. A list that is not at hand says nothing: whoever asks
   * for the primary's lists over a connection to it has none yet.
   */
  revocation(certificate: X509Certificate, mode: RevocationMode, now: number): RevocationError | null;
}

/** How far revocation is looked at: Puppet's setting `certificate_revocation`. `chain`: every CA on it needs a list that has not ended. */
export type RevocationMode = 'chain' | 'leaf' | 'false';

/** OpenSSL's word for what is wrong with a certificate that its CA signed, as X509_verify_cert_error_string(3) has it. */
export type RevocationError = 'certificate revoked' | 'CRL has expired';

export type TrustVerdict =
  /** `unlisted`: its CA's revocation list is not known, so nobody here can say whether it is revoked. */
  | { type: 'good'; unlisted: boolean }
  /** None of this primary's CAs issued it. */
  | { type: 'stranger' }
  | { type: 'refused'; reason: string };

export interface TrustOptions {
  /** A bundle that the user gave: trusted instead of what was pinned before. */
  caPem?: string;
  now?: () => number;
}

/** `If-Modified-Since` counts in seconds: rounded up, a change is never older than a copy that was fetched before it. */
function wholeSecond(at: number): number {
  return Math.ceil(at / 1000) * 1000;
}

/**
 * @param dir where `ca.pem` and `crl.pem` of this primary are kept
 * @throws PkiError for damaged files, and for a `caPem` that is no CA bundle
 */
export function openTrust(dir: string, authority: Authority, options: TrustOptions = {}): Trust {
  const now = options.now ?? Date.now;
  const caFile = join(dir, 'ca.pem');
  const crlFile = join(dir, 'crl.pem');
  privateFolder(dir);
  let bundle = stored();
  let bundleAt = writtenAt(caFile) ?? 0;
  let issuing = bundle === null ? null : issuingCa(bundle);
  /** By fingerprint of the CA certificate. */
  let lists: ReadonlyMap<string, Crl> = new Map();
  /** The lists as PEM: megabytes at a large site, so printed once. */
  let listsPem = '';
  /** The last text with lists. Each new agent makes the primary send it again; reading 100,000 entries takes 200 ms. */
  let seen: Buffer | null = null;
  let served: { own: string; lists: string; pem: string; bytes: Buffer } | null = null;
  /** The lists are on disk as they are here. */
  let isKept = true;
  let listsAt = writtenAt(crlFile) ?? 0;
  if (options.caPem !== undefined) pinGiven(options.caPem);
  if (bundle !== null) setLists(newest(bundle, crlsOf(readOwn(crlFile, { secret: false }) ?? '')));

  function stored(): Bundle | null {
    const pem = readOwn(caFile, { secret: false });
    if (pem === null) return null;
    try {
      return readBundle(pem);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      throw new PkiError(`${caFile} is damaged: ${error.message}`, `remove ${dir}: the primary's CA is pinned anew`);
    }
  }

  function replace(found: Bundle): void {
    if (bundle?.pem === found.pem) return;
    writeOwn(caFile, found.pem);
    bundle = found;
    issuing = issuingCa(found);
    bundleAt = now();
    seen = null;
    setLists(newest(found, [...lists.values()])); // a CA that was renewed with its key goes on with its list
  }

  function pinGiven(pem: string): void {
    const found = readBundle(pem);
    if (bundle !== null && !haveSameRoots(bundle, found)) removeOwn(crlFile); // of a CA that is not trusted any more
    // A bundle that was fetched since then may know more than the file that the user gave at first.
    if (bundle === null || !haveSameRoots(bundle, found) || isLater(found, bundle)) replace(found);
  }

  /** The newest list of each CA of the bundle. */
  function newest(trusted: Bundle, crls: readonly Crl[]): Map<string, Crl> {
    const found = new Map<string, Crl>();
    for (const crl of crls) {
      for (const ca of trusted.certificates) {
        const at = found.get(ca.fingerprint);
        const isNews = at === undefined || crl.number > at.number || (crl.number === at.number && crl.thisUpdate > at.thisUpdate);
        if (!crl.partial && isNews && isListOf(crl, ca)) found.set(ca.fingerprint, crl);
      }
    }
    return found;
  }

  /** In the order of the CAs; CAs that were renewed with their key share a list. */
  function setLists(found: ReadonlyMap<string, Crl>): void {
    const inOrder = (bundle?.certificates ?? []).flatMap(({ fingerprint }) => found.get(fingerprint) ?? []);
    lists = found;
    listsPem = [...new Set(inOrder)].map(({ der }) => toPem('X509 CRL', der)).join('');
  }

  /** The file is for the next start, when the primary may be away; a full disk must not stop what is known now. */
  function keep(): void {
    try {
      writeOwn(crlFile, listsPem);
      isKept = true;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
    }
  }

  /** The CA of the bundle that issued it, with a valid one before one that has ended. */
  function issuerOf(certificate: X509Certificate, at: number): Certificate | null {
    const issuers = (bundle?.certificates ?? []).filter(({ x509 }) => isIssuedBy(certificate, x509));
    return issuers.find(issuer => isCurrent(issuer, at)) ?? issuers[0] ?? null;
  }

  return {
    get pinned() {
      return bundle !== null;
    },
    get ca() {
      return issuing;
    },
    caPem: () => bundle?.pem ?? null,
    pin(bundlePem, fingerprint = null) {
      const found = readBundle(bundlePem);
      if (fingerprint !== null && !isVouchedFor(found, fingerprint)) {
        throw new PkiError(
          `the primary's CA has not the fingerprint ${fingerprint}`,
          'openssl x509 -fingerprint -sha256 -in ca.pem, on the primary, prints it',
        );
      }
      if (bundle !== null && !haveSameRoots(bundle, found)) {
        const [was] = bundle.roots;
        const [is] = found.roots;
        throw new PkiError(
          `the primary has another CA than the one that is pinned: ${is!.fingerprint} instead of ${was!.fingerprint}`,
          `when its CA was replaced on purpose, remove ${dir}`,
        );
      }
      replace(found);
    },
    get crlText() {
      return seen;
    },
    updateCrl(pem) {
      const text = typeof pem === 'string' ? Buffer.from(pem, 'latin1') : pem;
      if (bundle === null || (isKept && seen?.equals(text))) return;
      seen = text;
      const before = listsPem;
      setLists(newest(bundle, [...lists.values(), ...crlsOf(text.toString('latin1'))]));
      if (listsPem !== before) {
        listsAt = now();
        isKept = false;
      }
      if (!isKept) keep();
    },
    bundle() {
      const pem = bundle === null || bundle.pem.endsWith('\n') ? (bundle?.pem ?? '') : `${bundle.pem}\n`;
      return { pem: authority.caPem + pem, modifiedAt: wholeSecond(Math.max(authority.madeAt, bundleAt)) };
    },
    crlBundle() {
      const own = authority.crl();
      // The parts are the same strings as long as nothing changed; the whole would be put together, and held against the last one, for each agent.
      if (served?.own !== own.pem || served.lists !== listsPem) {
        const pem = own.pem + listsPem;
        served = { own: own.pem, lists: listsPem, pem, bytes: Buffer.from(pem) };
      }
      const { pem, bytes } = served;
      return { pem, bytes, modifiedAt: Math.max(own.modifiedAt, wholeSecond(listsAt)) };
    },
    matchesFingerprint: fp => bundle !== null && isVouchedFor(bundle, fp),
    check(certificate, at) {
      let child = certificate;
      let unlisted = false;
      for (let depth = 0; depth < MAX_DEPTH; depth++) {
        const issuer = issuerOf(child, at);
        if (issuer === null) return { type: 'stranger' };
        if (!isCurrent(issuer, at)) return { type: 'refused', reason: 'its CA has ended' };
        const list = lists.get(issuer.fingerprint);
        if (list?.revoked.has(plainSerial(child.serialNumber))) {
          return { type: 'refused', reason: depth === 0 ? 'revoked by the primary' : 'its CA is revoked' };
        }
        if (depth === 0) unlisted = list === undefined; // the root's list speaks of CAs only, and is missed less
        if (isIssuedBy(issuer.x509, issuer.x509)) return { type: 'good', unlisted };
        child = issuer.x509;
      }
      return { type: 'stranger' };
    },
    revocation(certificate, mode, at) {
      let child = certificate;
      for (let depth = 0; mode !== 'false' && depth < (mode === 'leaf' ? 1 : MAX_DEPTH); depth++) {
        const issuer = issuerOf(child, at);
        if (issuer === null) return null;
        const list = lists.get(issuer.fingerprint);
        if (list?.revoked.has(plainSerial(child.serialNumber))) return 'certificate revoked';
        if (list !== undefined && list.nextUpdate !== null && list.nextUpdate <= at) return 'CRL has expired';
        if (isIssuedBy(issuer.x509, issuer.x509)) return null;
        child = issuer.x509;
      }
      return null;
    },
  };
}

/** Longer chains are not built; OpenSSL's own limit is 100. */
const MAX_DEPTH = 10;

function isCurrent(certificate: Certificate, at: number): boolean {
  return certificate.notBefore <= at && at < certificate.notAfter;
}

/** The CRLs of a text, without those that cannot be read. */
function crlsOf(pem: string): Crl[] {
  const readable = (der: Buffer): Crl[] => {
    try {
      return [readCrl(der)];
    } catch (error) {
      if (error instanceof PkiError) return [];
      throw error;
    }
  };
  try {
    return pemOf(pem, 'X509 CRL').flatMap(readable);
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
}
