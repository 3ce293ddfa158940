import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type Certname, toCertname } from '../model.ts';
import type { Authority } from './authority.ts';
import { PkiError } from './error.ts';
import { namesIn, privateFolder, readForeign, readOwn, removeOwn, stampOf, writeOwn } from './files.ts';
import { isEncryptedKey, pemBlocks, toPem } from './pem.ts';
import { type Certificate, commonNameOf, readCertificates } from './x509.ts';

/** What the proxy presents to the primary for a certname. */
export interface Identity {
  certname: Certname;
  /** `imported`: the agent's own key and certificate. `enrolled`: a key of ours, which the primary signed for this certname. */
  kind: 'imported' | 'enrolled';
  /** PKCS #8. */
  keyPem: string;
  /** The certificate, then the intermediate ones that came with it. */
  certPem: string;
  /** `enrolled` only: the certificate of our CA that the agent got for its own key. */
  agentCertPem: string | null;
  /** End of the certificate, ms. */
  notAfter: number;
  /** SHA-256 of the certificate's DER, `AB:CD:…`. */
  fingerprint: string;
}

/** Where the proxy finds what it presents; the composition root chooses which. */
export type IdentitySource = Pick<Identities, 'get'>;

/** The identities of a folder, one file each; other processes may add and remove some at any time. */
export interface Identities {
  /**
   * From memory; a file that another process wrote, replaced or removed is noticed within a second.
   * @throws PkiError for a file that is damaged or that others may read
   */
  get(certname: Certname): Identity | null;
  /** Those that can be read, by certname. */
  list(): Identity[];
  /** What is wrong with those that cannot. */
  damaged(): PkiError[];
  /**
   * Keeps an agent's own key and certificate (the first that belongs to the key; others are sent along as its chain).
   * @throws PkiError when they do not fit, have ended, name no certname, or would take the place of an enrolled identity
   */
  importPair(keyPem: string, certPem: string): Identity;
  /** The same from an agent's `ssldir`: `private_keys/NAME.pem` and `certs/NAME.pem`; the name may be left out when there is only one. */
  importSsldir(ssldir: string, certname?: string): Identity;
  /** Keeps an identity that was enrolled, in the place of any other for its certname. */
  store(identity: IdentityParts): Identity;
  /** Forgets it; its `agentCertPem` is the caller's to revoke (`removeIdentity`). */
  remove(certname: Certname): Identity | null;
}

/** What the rest of an {@link Identity} follows from. */
export type IdentityParts = Pick<Identity, 'certname' | 'keyPem' | 'certPem' | 'agentCertPem'>;

export interface IdentitiesOptions {
  now?: () => number;
  /** Given, certificates of this CA are not imported: they say who an agent is to us, and nothing to a primary. */
  authority?: Authority;
}

/** Not a label that other programs read: to `curl --cert` and `openssl` the file is a key and the chain for the primary. */
const AGENT_LABEL = 'STRINGTAP AGENT CERTIFICATE';

/** How often the file of an identity is looked at again. */
const LOOK_EVERY_MS = 1000;

export function openIdentities(dir: string, options: IdentitiesOptions = {}): Identities {
  const now = options.now ?? Date.now;
  const known = new Map<Certname, { identity: Identity; stamp: string; lookedAt: number }>();
  const fileOf = (certname: Certname): string => join(dir, `${certname}.pem`);

  privateFolder(dir);

  function get(certname: Certname): Identity | null {
    const at = performance.now();
    const entry = known.get(certname);
    if (entry !== undefined && at - entry.lookedAt < LOOK_EVERY_MS) return entry.identity;
    const stamp = stampOf(fileOf(certname));
    if (entry !== undefined && entry.stamp === stamp) {
      entry.lookedAt = at;
      return entry.identity;
    }
    known.delete(certname);
    const text = stamp === null ? null : readOwn(fileOf(certname), { secret: true });
    if (stamp === null || text === null) return null;
    const identity = parseFile(text, certname, fileOf(certname));
    known.set(certname, { identity, stamp, lookedAt: at });
    return identity;
  }

  /** One file, so that key and certificates change together or not at all. */
  function store(parts: IdentityParts): Identity {
    const identity = identityOf(parts);
    writeOwn(fileOf(identity.certname), formatFile(identity));
    known.delete(identity.certname);
    return identity;
  }

  /** Everything that can be said against a pair, before anything is written. */
  function checkPair(keyPem: string, certPem: string): IdentityParts {
    const key = readKey(keyPem);
    const certificates = readCertificates(certPem);
    const leaf = certificates.find(({ x509 }) => x509.checkPrivateKey(key));
    if (certificates.length === 0) throw new PkiError('there is no certificate in PEM');
    if (leaf === undefined) {
      throw new PkiError('the private key does not belong to the certificate', 'take both from the ssldir of the same agent');
    }
    const name = commonNameOf(leaf.subject);
    const certname = name === null ? null : toCertname(name);
    if (certname === null) throw new PkiError(`the certificate of ${JSON.stringify(leaf.x509.subject)} names no Puppet certname`);
    if (leaf.notAfter <= now()) {
      throw new PkiError(
        `the certificate of ${certname} ended on ${new Date(leaf.notAfter).toISOString()}`,
        `enrol ${certname} anew`,
      );
    }
    if (options.authority?.issued(leaf) === true) {
      throw new PkiError(
        `the certificate of ${certname} was issued by this proxy's own CA, which no primary trusts`,
        `${certname} is enrolled through the proxy: nothing needs to be imported`,
      );
    }
    if (get(certname)?.kind === 'enrolled') {
      throw new PkiError(
        `${certname} is enrolled through this proxy already`,
        `stringtap identity remove ${certname}: the certificate that its agent got from the proxy is revoked then`,
      );
    }
    const chain = [leaf, ...certificates.filter(certificate => certificate !== leaf)];
    return {
      certname,
      keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      certPem: chain.map(({ der }) => toPem('CERTIFICATE', der)).join(''),
      agentCertPem: null,
    };
  }

  function each(): { good: Identity[]; damaged: PkiError[] } {
    const found = { good: [] as Identity[], damaged: [] as PkiError[] };
    for (const name of namesIn(dir).sort()) {
      const certname = name.endsWith('.pem') ? toCertname(name.slice(0, -'.pem'.length)) : null;
      if (certname === null) continue;
      try {
        const identity = get(certname);
        if (identity !== null) found.good.push(identity);
      } catch (error) {
        if (!(error instanceof PkiError)) throw error;
        found.damaged.push(error);
      }
    }
    return found;
  }

  return {
    get,
    store,
    importPair: (keyPem, certPem) => store(checkPair(keyPem, certPem)),
    importSsldir(ssldir, name) {
      const certname = name ?? onlyCertname(ssldir);
      if (toCertname(certname) === null) throw new PkiError(`${JSON.stringify(certname)} is no Puppet certname`);
      const paths = { key: join(ssldir, 'private_keys', `${certname}.pem`), cert: join(ssldir, 'certs', `${certname}.pem`) };
      const keyPem = readForeign(paths.key);
      const certPem = readForeign(paths.cert);
      if (keyPem === null || certPem === null) {
        const missing = keyPem === null ? paths.key : paths.cert;
        throw new PkiError(`there is no ${missing}`, 'puppet config print ssldir certname --section agent: names both');
      }
      const parts = checkPair(keyPem, certPem);
      if (parts.certname !== certname) throw new PkiError(`${paths.cert} is the certificate of ${parts.certname}`);
      return store(parts);
    },
    list: () => each().good,
    damaged: () => each().damaged,
    remove(certname) {
      const identity = readable(() => get(certname));
      removeOwn(fileOf(certname));
      known.delete(certname);
      return identity;
    },
  };
}

/**
 * Forgets an identity and revokes the certificate that its agent got from us, so that the agent is nobody to the proxy from now on.
 * Revoked first: when that fails, the identity is still there to try again.
 */
export async function removeIdentity(identities: Identities, authority: Authority, certname: Certname): Promise<Identity | null> {
  const agentCertPem = readable(() => identities.get(certname))?.agentCertPem ?? null;
  const [certificate] = agentCertPem === null ? [] : readCertificates(agentCertPem);
  // One of a CA that was made anew since is worthless as it is.
  if (certificate !== undefined && authority.issued(certificate)) await authority.revoke(toPem('CERTIFICATE', certificate.der));
  return identities.remove(certname);
}

/** A damaged identity must still be removable: it counts as none then. */
function readable(read: () => Identity | null): Identity | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof PkiError) return null;
    throw error;
  }
}

/** @throws PkiError for an encrypted or unreadable private key */
export function readKey(pem: string): KeyObject {
  if (isEncryptedKey(pem)) {
    throw new PkiError('the private key is encrypted', 'openssl pkey -in KEY -out PLAIN.pem: decrypts it; then import that file');
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new PkiError('there is no private key in PEM that can be read');
  }
}

/** The one certname of an ssldir that has a key and a certificate. */
function onlyCertname(ssldir: string): string {
  const names = namesIn(join(ssldir, 'private_keys')).filter(name => namesIn(join(ssldir, 'certs')).includes(name));
  const certnames = names.filter(name => name.endsWith('.pem')).map(name => name.slice(0, -4));
  if (certnames.length === 1) return certnames[0]!;
  if (certnames.length === 0) {
    throw new PkiError(
      `${ssldir} has no certificate with its private key`,
      'puppet config print ssldir --section agent: names the ssldir',
    );
  }
  throw new PkiError(`${ssldir} has certificates of ${certnames.sort().join(', ')}`, 'name one with --certname');
}

function identityOf(parts: IdentityParts): Identity {
  const leaf = leafOf(parts);
  return {
    ...parts,
    kind: parts.agentCertPem === null ? 'imported' : 'enrolled',
    notAfter: leaf.notAfter,
    fingerprint: leaf.fingerprint,
  };
}

/** Checked on every way in, the own file too: an identity is never sent under the name of another. */
function leafOf({ certname, keyPem, certPem }: IdentityParts): Certificate {
  const [leaf] = readCertificates(certPem);
  if (leaf === undefined) throw new PkiError(`the identity of ${certname} has no certificate`);
  if (commonNameOf(leaf.subject) !== certname) {
    throw new PkiError(`the identity of ${certname} has the certificate of ${JSON.stringify(leaf.x509.subject)}`);
  }
  if (!leaf.x509.checkPrivateKey(readKey(keyPem))) throw new PkiError(`the identity of ${certname} has the key of another`);
  return leaf;
}

/** The public key of the certificate that the agent of an enrolled identity got. */
export function agentKeyOf(identity: Identity): KeyObject | null {
  return identity.agentCertPem === null ? null : createPublicKey(identity.agentCertPem);
}

function formatFile({ certname, kind, keyPem, certPem, agentCertPem }: Identity): string {
  const agent = agentCertPem === null ? [] : readCertificates(agentCertPem);
  return [
    `What stringtap presents to the primary for ${certname} (${kind}): private key, certificate, its chain.\n`,
    keyPem,
    certPem,
    ...agent.flatMap(({ der }) => ['What the agent got from the proxy for its own key:\n', toPem(AGENT_LABEL, der)]),
  ].join('');
}

function parseFile(text: string, certname: Certname, path: string): Identity {
  try {
    const blocks = pemBlocks(text);
    const pem = (label: string, as = label): string =>
      blocks
        .filter(block => block.label === label)
        .map(({ der }) => toPem(as, der))
        .join('');
    const agentCertPem = pem(AGENT_LABEL, 'CERTIFICATE');
    return identityOf({
      certname,
      keyPem: pem('PRIVATE KEY'),
      certPem: pem('CERTIFICATE'),
      agentCertPem: agentCertPem === '' ? null : agentCertPem,
    });
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new PkiError(
      `${path} is damaged: ${error.message}`,
      `stringtap identity remove ${certname}, then enrol or import it again`,
    );
  }
}
