import { createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Csr } from './csr.ts';
import { bits, oid, sequence } from './der.ts';
import { PkiError } from './error.ts';
import { besides, moveFolder, namesIn, privateFolder, readOwn, removeFolder, writeOwn } from './files.ts';
import { leafCache } from './leaves.ts';
import { openRevocations } from './revocations.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  type Certificate,
  commonName,
  extension,
  isIssuedBy,
  keyIdentifier,
  OID,
  readCertificates,
  signCertificate,
  subjectAltName,
  subjectKeyIdentifier,
} from './x509.ts';

const makeKeys = promisify(generateKeyPair);

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Puppet 7 fetches the CA bundle once and never again, so a CA that ends means a visit to each agent. Twice the five years that Puppet
 * gives to an agent's certificate (`ca_ttl`): what we issue in the first five years is never cut short by our CA.
 */
const CA_LIFETIME_MS = 10 * 365 * DAY_MS;

/** `ca_ttl` of Puppet: five years. */
const AGENT_LIFETIME_MS = 5 * 365 * DAY_MS;

/** `pp_uuid`, `pp_role` and the like, and the private ones: what `csr_attributes.yaml` asks for (`ssl/oids.rb`). */
const PUPPET_ARC = '1.3.6.1.4.1.34380.1.';

/** Lives in memory only and is made anew in a millisecond; long enough for an agent whose clock is weeks off. */
const LEAF_LIFETIME_MS = 90 * DAY_MS;
/** Reissued while this much is left, for the same clocks. */
const LEAF_MARGIN_MS = 30 * DAY_MS;

/** Clocks of agents are behind: what is valid only from now on would be refused by them. */
const BACKDATED_MS = DAY_MS;

/** Names on one leaf: what the agent asked for, the primary's names and some `--name`. */
const MAX_NAMES = 100;

/** A server certificate for the agent leg, with its key. */
export interface Leaf {
  keyPem: string;
  certPem: string;
}

/** Our CA: signs what agents see of the proxy, and the certificates of agents that enrolled through it. */
export interface Authority {
  readonly caPem: string;
  /** SHA-256 of the DER, `AB:CD:…`. */
  readonly fingerprint: string;
  /** The CA's own certificate. */
  readonly certificate: Certificate;
  /** When the CA was made, ms. */
  readonly madeAt: number;
  /**
   * The revocation list, signed anew before it ends and after each {@link Authority.revoke}, also one by another process.
   * `modifiedAt` is a whole second, rounded up, so that a comparison with `If-Modified-Since` never calls a new list old.
   */
  crl(): { pem: string; modifiedAt: number };
  /**
   * A server certificate with these DNS names and IP addresses. The same names, in any order, get the same one until it nears its end.
   * @throws PkiError for a name that is neither
   */
  leaf(names: readonly string[]): Promise<Leaf>;
  /**
   * A certificate of our CA for an agent's own key, PEM: subject and extensions are those of `like`, which the primary signed, but
   * for the four that speak of its issuer and key; its lifetime lies within `like`'s and our CA's.
   * @throws PkiError when `like` is a CA, or has ended
   */
  issue(request: { publicKey: KeyObject; like: string }): Promise<string>;
  /**
   * A certificate for a CSR that no primary judges, PEM: its CN, its key, and of what it asks for Puppet's own extensions (`pp_…`).
   * Good for TLS clients alone and without other names: whoever holds it is no server to anybody.
   * @throws PkiError when the CSR is not signed with its key, or its CN is not one plain name
   */
  sign(csr: Pick<Csr, 'commonName' | 'publicKey' | 'extensions' | 'signatureValid'>): Promise<string>;
  /** @throws PkiError when the certificate is not one of ours */
  revoke(certPem: string): Promise<void>;
  isRevoked(serialHex: string): boolean;
  revokedCount(): number;
  /** Signed by this CA, whatever its dates and whether it is revoked or not. */
  issued(certificate: Certificate): boolean;
}

export interface AuthorityOptions {
  now?: () => number;
}

const CERTIFICATE = join('certs', 'ca.pem');
const PRIVATE_KEY = join('keys', 'ca.private.key');
const PUBLIC_KEY = join('keys', 'ca.public.key');

/**
 * Opens the CA of a folder, and makes one when there is none: `certs/ca.pem`, `keys/ca.private.key` and `keys/ca.public.key`, the
 * layout and key type (RSA) that http-mitm-proxy loads.
 * @throws PkiError when the folder holds half a CA, one that has ended, or a key that others may read
 */
export async function openAuthority(dir: string, options: AuthorityOptions = {}): Promise<Authority> {
  const now = options.now ?? Date.now;
  privateFolder(dir);
  if (namesIn(dir).length === 0) await makeCa(dir, now());
  const { certificate, key } = loadCa(dir, now());
  return authorityOf(dir, certificate, key, now);
}

/** Made beside the folder and moved into place as a whole: two processes that start together end up with one CA, never with half of two. */
async function makeCa(dir: string, now: number): Promise<void> {
  const keys = await makeKeys('rsa', { modulusLength: 3072 });
  const spki = keys.publicKey.export({ type: 'spki', format: 'der' });
  const id = keyIdentifier(spki);
  // A name of its own for each CA: an agent's bundle may hold those of several proxies, and OpenSSL finds issuers by name.
  const name = commonName(`stringtap CA ${id.toString('hex').slice(0, 8)}`);
  const fields = {
    serial: newSerial(),
    issuer: name,
    subject: name,
    notBefore: now - BACKDATED_MS,
    notAfter: now + CA_LIFETIME_MS,
    spki,
    extensions: [
      basicConstraints(true),
      extension(OID.keyUsage, true, bits(Buffer.from([0x06]), 1)), // keyCertSign, cRLSign
      subjectKeyIdentifier(id),
    ],
  };
  const made = besides(dir);
  try {
    writeOwn(join(made, CERTIFICATE), signCertificate(fields, keys.privateKey));
    writeOwn(join(made, PRIVATE_KEY), keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    writeOwn(join(made, PUBLIC_KEY), keys.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    moveFolder(made, dir);
  } finally {
    removeFolder(made);
  }
}

function loadCa(dir: string, now: number): { certificate: Certificate; key: KeyObject } {
  const hint = `move ${dir} away, and a new CA is made: agents that trust this one must then fetch the new one`;
  for (const folder of ['certs', 'keys']) privateFolder(join(dir, folder));
  const pem = readOwn(join(dir, CERTIFICATE), { secret: false });
  const keyPem = readOwn(join(dir, PRIVATE_KEY), { secret: true });
  if (pem === null || keyPem === null) {
    throw new PkiError(`the CA in ${dir} is incomplete: ${pem === null ? CERTIFICATE : PRIVATE_KEY} is missing`, hint);
  }
  const [certificate] = readCertificates(pem);
  if (certificate === undefined) throw new PkiError(`${join(dir, CERTIFICATE)} holds no certificate`, hint);
  const key = privateKeyOf(keyPem, join(dir, PRIVATE_KEY));
  if (!certificate.x509.ca || !certificate.x509.checkPrivateKey(key)) {
    throw new PkiError(`${join(dir, CERTIFICATE)} is not the CA certificate of the key beside it`, hint);
  }
  if (certificate.notAfter <= now) {
    throw new PkiError(`the CA in ${dir} ended on ${new Date(certificate.notAfter).toISOString()}`, hint);
  }
  return { certificate, key };
}

function privateKeyOf(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new PkiError(`${path} holds no private key that can be read`);
  }
}

function authorityOf(dir: string, certificate: Certificate, key: KeyObject, now: () => number): Authority {
  const caPem = certificate.x509.toString();
  const issuerKey = keyIdentifier(certificate.spki);
  const revocations = openRevocations(dir, { certificate, key, issuerKey }, now);
  const leaves = leafCache(makeLeaf, now);

  /** What each certificate of ours has, whatever it is for. */
  function sign(fields: { subject: Buffer; spki: Buffer; notBefore: number; notAfter: number; extensions: Buffer[] }): string {
    const full = {
      ...fields,
      serial: newSerial(),
      issuer: certificate.subject,
      notBefore: Math.max(fields.notBefore, certificate.notBefore),
      notAfter: Math.min(fields.notAfter, certificate.notAfter),
      extensions: [...fields.extensions, subjectKeyIdentifier(keyIdentifier(fields.spki)), authorityKeyIdentifier(issuerKey)],
    };
    if (full.notBefore >= full.notAfter) throw new PkiError('the certificate would have ended before it began');
    return signCertificate(full, key);
  }

  async function makeLeaf(names: readonly string[]): Promise<{ leaf: Leaf; renewAt: number }> {
    const keys = await makeKeys('ec', { namedCurve: 'prime256v1' });
    const at = now();
    const certPem = sign({
      subject: commonName((names.find(name => isIP(name) === 0) ?? names[0]!).slice(0, 64)), // ub-common-name; what counts is the SAN
      spki: keys.publicKey.export({ type: 'spki', format: 'der' }),
      notBefore: at - BACKDATED_MS,
      notAfter: at + LEAF_LIFETIME_MS,
      extensions: [
        basicConstraints(false),
        extension(OID.keyUsage, true, bits(Buffer.from([0x80]), 7)), // digitalSignature
        extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
        subjectAltName(names),
      ],
    });
    const leaf = { certPem, keyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    return { leaf, renewAt: at + LEAF_LIFETIME_MS - LEAF_MARGIN_MS };
  }

  return {
    caPem,
    fingerprint: certificate.fingerprint,
    certificate,
    madeAt: certificate.notBefore + BACKDATED_MS,
    crl: () => revocations.crl(),
    async leaf(names) {
      return leaves.get(serverNames(names));
    },
    async issue({ publicKey, like }) {
      const [model] = readCertificates(like);
      if (model === undefined) throw new PkiError('there is no certificate to issue another like it');
      // Never a CA below ours, whatever the primary signed.
      if (model.x509.ca) throw new PkiError(`the certificate of ${model.x509.subject} is a CA's`);
      return sign({
        subject: model.subject,
        spki: publicKey.export({ type: 'spki', format: 'der' }),
        notBefore: model.notBefore,
        notAfter: model.notAfter,
        extensions: model.extensions.filter(({ oid }) => !NOT_COPIED.has(oid)).map(({ der }) => der),
      });
    },
    async sign(csr) {
      if (!csr.signatureValid || csr.commonName === null) throw new PkiError('the certificate request is not valid');
      const at = now();
      return sign({
        subject: commonName(csr.commonName),
        spki: csr.publicKey.export({ type: 'spki', format: 'der' }),
        notBefore: at - BACKDATED_MS,
        notAfter: at + AGENT_LIFETIME_MS,
        extensions: [
          basicConstraints(false),
          extension(OID.keyUsage, true, bits(Buffer.from([0xa0]), 5)), // digitalSignature, keyEncipherment
          extension(OID.extendedKeyUsage, true, sequence(oid(OID.clientAuth))),
          ...csr.extensions.filter(({ oid }) => oid.startsWith(PUPPET_ARC)).map(({ der }) => der),
        ],
      });
    },
    async revoke(certPem) {
      const [revoked] = readCertificates(certPem);
      if (revoked === undefined || !isIssuedBy(revoked.x509, certificate.x509)) {
        throw new PkiError('only certificates of our own CA can be revoked here');
      }
      revocations.add(revoked.serial);
    },
    isRevoked: serial => revocations.has(serial),
    revokedCount: () => revocations.count(),
    issued: other => isIssuedBy(other.x509, certificate.x509),
  };
}

/** They speak of the issuer or of the key, and ours are others. */
const NOT_COPIED: ReadonlySet<string> = new Set([
  OID.authorityKeyIdentifier,
  OID.subjectKeyIdentifier,
  OID.crlDistributionPoints,
  OID.freshestCrl,
  OID.authorityInfoAccess,
]);

/** 128 bits of randomness under a first octet of its own: positive, never zero, always 17 octets (RFC 5280 4.1.2.2 allows 20). */
function newSerial(): Buffer {
  return Buffer.concat([Buffer.from([0x5a]), randomBytes(16)]);
}

/** Letters, digits, hyphen and underscore between dots, at most 63 each; a wildcard as the first label. */
const HOSTNAME = /^(?=.{1,253}$)(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Lower case, sorted, each once. */
function serverNames(names: readonly string[]): string[] {
  const clean = [...new Set(names.map(name => name.toLowerCase().replace(/\.$/, '')))].sort();
  if (clean.length === 0 || clean.length > MAX_NAMES) throw new PkiError(`a server certificate of ${clean.length} names`);
  for (const name of clean) {
    if (isIP(name) === 0 && !HOSTNAME.test(name)) {
      throw new PkiError(`${JSON.stringify(name.slice(0, 300))} is neither a host name nor an IP address`);
    }
  }
  return clean;
}
