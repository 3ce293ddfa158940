import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { type Certname, toCertname } from '../model.ts';
import type { Authority } from './authority.ts';
import type { IssuingCa } from './bundle.ts';
import { PkiError } from './error.ts';
import { namesIn, privateFolder, readForeign, readOwn, removeOwn, stampOf, writeOwn } from './files.ts';
import { formatFile, type Identity, type IdentityParts, identityOf, parseFile, readKey } from './identity-file.ts';
import { toPem } from './pem.ts';
import { commonNameOf, readCertificates } from './x509.ts';

/** Where the proxy finds what it presents; the composition root chooses which. */
export type IdentitySource = Pick<PrimaryIdentities, 'get'>;

/** The identities for one primary. */
export interface PrimaryIdentities {
  /**
   * From memory; a file that another process wrote, replaced or removed is noticed within a second.
   * @throws PkiError for a file that is damaged or that others may read
   */
  get(certname: Certname): Identity | null;
  /**
   * Keeps an agent's own key and certificate (the first that belongs to the key; others are sent along as its chain).
   * @throws PkiError when they do not fit, have ended, name no certname, or would take the place of an enrolled identity
   */
  importPair(keyPem: string, certPem: string): Identity;
  /** Keeps an identity that was enrolled, in the place of any other for its certname. */
  store(identity: IdentityParts): Identity;
}

/**
 * The identities of a folder, one file each; other processes may add and remove some at any time. As its own members: for whichever
 * primary; of several for a certname, {@link get} gives the one that was there first.
 */
export interface Identities extends PrimaryIdentities {
  /** Those for a primary: what its CA issued, and what was kept for it. A certname that another CA signed has none. */
  of(primary: { readonly ca: IssuingCa | null }): PrimaryIdentities;
  /** Those that can be read, by certname. */
  list(): Identity[];
  /** What is wrong with those that cannot. */
  damaged(): PkiError[];
  /** As {@link importPair}, from an agent's `ssldir`: `private_keys/NAME.pem` and `certs/NAME.pem`; the name may be left out when there is only one. */
  importSsldir(ssldir: string, certname?: string): Identity;
  /** All of a certname that can be read, or what there is for one CA. */
  all(certname: Certname, ca?: IssuingCa | null): Identity[];
  /** Forgets the same, and without a CA damaged ones too; each `agentCertPem` is the caller's to revoke (`removeIdentity`). */
  remove(certname: Certname, ca?: IssuingCa | null): void;
}

export interface IdentitiesOptions {
  now?: () => number;
  /** Given, certificates of this CA are not imported: they say who an agent is to us, and nothing to a primary. */
  authority?: Authority;
  /** Those that are known: a pair that is imported for one takes no place of one that is for another. */
  cas?: readonly IssuingCa[];
}

/** How often the file of an identity is looked at again; what was found for a primary is remembered as long on top of it. */
const LOOK_EVERY_MS = 500;

/** So many are held in memory, some 5 kB each: those that were asked for last. A fleet has more, and others are read again. */
const MOST_HELD = 1024;

/** An {@link IssuingCa}'s. No file of an identity is named so: they end in `.pem`. */
const FOLDER = /^[0-9a-f]{16}$/;

/** A file as it was looked at last. */
interface Kept {
  identity: Identity | null;
  stamp: string | null;
  lookedAt: number;
  /** Whether a CA issued it, by the CA's id; forgotten with each look, as CAs renew their chains. */
  issued: Map<string, boolean>;
}

/**
 * The first identity of a certname lies in the folder itself, those that other CAs gave the same certname in folders of theirs below it.
 */
export function openIdentities(dir: string, options: IdentitiesOptions = {}): Identities {
  const now = options.now ?? Date.now;
  const known = new Map<string, Kept>();
  /** Files that were written or removed here: what was found before counts no more. */
  let changes = 0;
  const shared = (certname: Certname): string => join(dir, `${certname}.pem`);
  const own = (certname: Certname, { id }: { id: string }): string => join(dir, id, `${certname}.pem`);

  privateFolder(dir);

  function look(file: string, certname: Certname): Kept {
    const at = performance.now();
    const entry = known.get(file);
    if (entry !== undefined) hold(known, file, entry);
    if (entry !== undefined && at - entry.lookedAt < LOOK_EVERY_MS) return entry;
    const stamp = stampOf(file);
    if (entry !== undefined && entry.stamp === stamp) {
      entry.lookedAt = at;
      entry.issued.clear();
      return entry;
    }
    known.delete(file);
    const text = stamp === null ? null : readOwn(file, { secret: true });
    const identity = text === null ? null : parseFile(text, certname, file);
    const kept: Kept = { identity, stamp: identity === null ? null : stamp, lookedAt: at, issued: new Map() };
    hold(known, file, kept);
    return kept;
  }

  /** One that was not there is looked for at once: an agent whose identity was just imported need not wait. */
  function lookShared(certname: Certname): Kept {
    if (known.get(shared(certname))?.identity === null) known.delete(shared(certname));
    return look(shared(certname), certname);
  }

  function isOf(ca: IssuingCa, { identity, issued }: Kept): boolean {
    if (identity === null) return false;
    const answer = issued.get(ca.id) ?? ca.issued(new X509Certificate(identity.certPem));
    issued.set(ca.id, answer);
    return answer;
  }

  function getFor(certname: Certname, ca: IssuingCa | null): Identity | null {
    const kept = ca === null ? null : look(own(certname, ca), certname).identity;
    if (kept !== null) return kept;
    const first = lookShared(certname);
    return ca === null || isOf(ca, first) ? first.identity : null;
  }

  /** One file, so that key and certificates change together or not at all. */
  function write(file: string, identity: Identity): Identity {
    writeOwn(file, formatFile(identity));
    known.delete(file);
    changes += 1;
    return identity;
  }

  function storeFor(parts: IdentityParts, ca: IssuingCa | null): Identity {
    const identity = identityOf(parts);
    const { certname } = identity;
    if (ca === null) return write(shared(certname), identity);
    const first = readable(() => lookShared(certname));
    const isFree = first === null || first.identity === null || isOf(ca, first);
    const isShared = isFree && ca.issued(new X509Certificate(identity.certPem)) && stampOf(own(certname, ca)) === null;
    return write(isShared ? shared(certname) : own(certname, ca), identity);
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
    const chain = [leaf, ...certificates.filter(certificate => certificate !== leaf)];
    return {
      certname,
      keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      certPem: chain.map(({ der }) => toPem('CERTIFICATE', der)).join(''),
      agentCertPem: null,
    };
  }

  function importFor(parts: IdentityParts, ca: IssuingCa | null): Identity {
    const { certname } = parts;
    if (getFor(certname, ca)?.kind === 'enrolled') {
      throw new PkiError(
        `${certname} is enrolled through this proxy already`,
        `stringtap identity remove ${certname}: the certificate that its agent got from the proxy is revoked then`,
      );
    }
    return storeFor(parts, ca);
  }

  /** For the primary whose CA issued it; one of a CA that is not known takes no place of one that is in use. */
  function importAny(parts: IdentityParts): Identity {
    const { certname } = parts;
    const cas = options.cas ?? [];
    const certificate = new X509Certificate(parts.certPem);
    const ca = cas.find(one => one.issued(certificate)) ?? null;
    const first = lookShared(certname);
    if (ca === null && cas.some(one => isOf(one, first))) {
      throw new PkiError(
        `${certname} has an identity already, by the CA of another primary, and the CA of this certificate is not known here`,
        `start \`stringtap proxy\` with its --primary once, then import; or stringtap identity remove ${certname}`,
      );
    }
    return importFor(parts, ca);
  }

  function meant(certname: Certname, ca: IssuingCa | null): { file: string; identity: Identity | null }[] {
    return filesOf(certname).flatMap(file => {
      const kept = readable(() => look(file, certname));
      const isMeant = ca === null || file === own(certname, ca) || (kept !== null && isOf(ca, kept));
      return isMeant ? [{ file, identity: kept?.identity ?? null }] : [];
    });
  }

  function folders(): string[] {
    return namesIn(dir).filter(name => FOLDER.test(name));
  }

  function filesOf(certname: Certname): string[] {
    return [shared(certname), ...folders().map(id => own(certname, { id }))];
  }

  function each(): { good: Identity[]; damaged: PkiError[] } {
    const found = { good: [] as Identity[], damaged: [] as PkiError[] };
    const names = [dir, ...folders().map(id => join(dir, id))].flatMap(folder => namesIn(folder).map(name => ({ folder, name })));
    for (const { folder, name } of names) {
      const certname = name.endsWith('.pem') ? toCertname(name.slice(0, -'.pem'.length)) : null;
      if (certname === null) continue;
      try {
        const { identity } = look(join(folder, name), certname);
        if (identity !== null) found.good.push(identity);
      } catch (error) {
        if (!(error instanceof PkiError)) throw error;
        found.damaged.push(error);
      }
    }
    found.good.sort((one, other) => (one.certname < other.certname ? -1 : one.certname > other.certname ? 1 : 0));
    return found;
  }

  /** With each exchange: so quicker than {@link getFor}. */
  function remembering(primary: { readonly ca: IssuingCa | null }): IdentitySource {
    const found = new Map<Certname, { identity: Identity; at: number; changes: number }>();
    return {
      get(certname) {
        const at = performance.now();
        const last = found.get(certname);
        if (last !== undefined && last.changes === changes && at - last.at < LOOK_EVERY_MS) return last.identity;
        found.delete(certname);
        const identity = getFor(certname, primary.ca);
        if (identity !== null) hold(found, certname, { identity, at, changes });
        return identity;
      },
    };
  }

  return {
    of: primary => ({
      ...remembering(primary),
      importPair: (keyPem, certPem) => importFor(checkPair(keyPem, certPem), primary.ca),
      store: parts => storeFor(parts, primary.ca),
    }),
    get(certname) {
      for (const file of filesOf(certname)) {
        const { identity } = file === shared(certname) ? lookShared(certname) : look(file, certname);
        if (identity !== null) return identity;
      }
      return null;
    },
    store: parts => storeFor(parts, null),
    importPair: (keyPem, certPem) => importAny(checkPair(keyPem, certPem)),
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
      return importAny(parts);
    },
    list: () => each().good,
    damaged: () => each().damaged,
    all: (certname, ca = null) => meant(certname, ca).flatMap(({ identity }) => identity ?? []),
    remove(certname, ca = null) {
      for (const { file } of meant(certname, ca)) {
        removeOwn(file);
        known.delete(file);
        changes += 1;
      }
    },
  };
}

/**
 * Forgets the identities of a certname, for one CA or for all, and revokes the certificates that its agents got from us, so that they are
 * nobody to the proxy from now on. Revoked first: when that fails, the identities are still there to try again.
 * @returns those that could be read
 */
export async function removeIdentity(
  identities: Identities,
  authority: Authority,
  certname: Certname,
  ca: IssuingCa | null = null,
): Promise<Identity[]> {
  const removed = identities.all(certname, ca);
  for (const { agentCertPem } of removed) {
    const [certificate] = agentCertPem === null ? [] : readCertificates(agentCertPem);
    // One of a CA that was made anew since is worthless as it is.
    if (certificate !== undefined && authority.issued(certificate)) await authority.revoke(toPem('CERTIFICATE', certificate.der));
  }
  identities.remove(certname, ca);
  return removed;
}

/** Puts it last, and drops what has been there for longest. */
function hold<K, V>(held: Map<K, V>, key: K, value: V): void {
  held.delete(key);
  held.set(key, value);
  for (const oldest of held.keys()) {
    if (held.size <= MOST_HELD) return;
    held.delete(oldest);
  }
}

/** A damaged identity must still be removable: it counts as none then. */
function readable<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof PkiError) return null;
    throw error;
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

/** The public key of the certificate that the agent of an enrolled identity got. */
export function agentKeyOf(identity: Identity): KeyObject | null {
  return identity.agentCertPem === null ? null : createPublicKey(identity.agentCertPem);
}
