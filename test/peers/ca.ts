import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { signCrl } from '../../src/pki/crl.ts';
import type { Csr } from '../../src/pki/csr.ts';
import { bits, bool, encode, integer, oid, sequence, setOf, tagged, verbatim } from '../../src/pki/der.ts';
import { toPem } from '../../src/pki/pem.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  commonName,
  extension,
  keyIdentifier,
  OID,
  readCertificates,
  signCertificate,
  signed,
  subjectAltName,
  subjectKeyIdentifier,
} from '../../src/pki/x509.ts';

const makeKeys = promisify(generateKeyPair);

const DAY_MS = 24 * 60 * 60 * 1000;
/** `ca_ttl` of Puppet: five years. */
const LIFETIME_MS = 5 * 365 * DAY_MS;

/** Kinds of keys: Puppet makes RSA ones unless `key_type = ec`; EC ones are made in a millisecond. */
export type KeyType = 'rsa' | 'ec';

export async function makeKey(type: KeyType): Promise<{ publicKey: KeyObject; privateKey: KeyObject; pem: string }> {
  const pair =
    type === 'rsa' ? await makeKeys('rsa', { modulusLength: 2048 }) : await makeKeys('ec', { namedCurve: 'prime256v1' });
  return { ...pair, pem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** What a certificate is to carry beside its subject and key; what is left out is as Puppet's CA does it. */
export interface CertificateOptions {
  extensions?: readonly Buffer[];
  notBefore?: number;
  notAfter?: number;
}

/** The CA of a Puppet primary, in memory. */
export interface DemoCa {
  /** As `certificate/ca` gives it: of two certificates the intermediate one first. */
  readonly caPem: string;
  readonly crlPem: string;
  /** When the CRL was last signed, ms. */
  readonly crlModifiedAt: number;
  issue(certname: string, publicKey: KeyObject, options?: CertificateOptions): string;
  /** A certificate for a request: its subject alternative names and extension requests are taken over. */
  sign(csr: Csr, certname: string): string;
  revoke(certPem: string): void;
  /** So many serials that nobody has: the list of a large site. */
  revokeMany(count: number): void;
  /** Signs the list of the issuing CA anew, to end at this moment (ms). */
  relist(nextUpdate: number): void;
  isRevoked(serial: string): boolean;
}

interface Issuer {
  name: Buffer;
  key: KeyObject;
  id: Buffer;
  pem: string;
}

/**
 * @param chain `self`: one self-signed certificate, as a primary makes it at its first start; `chain`: root and intermediate, as
 *   `puppetserver ca setup` makes them
 */
export async function makeDemoCa(certname: string, chain: 'self' | 'chain', keyType: KeyType): Promise<DemoCa> {
  let serial = 0;
  const madeAt = Date.now();

  async function makeIssuer(name: string, parent: Issuer | null, pathLength: number | null): Promise<Issuer> {
    const { publicKey, privateKey } = await makeKey(keyType);
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const id = keyIdentifier(spki);
    const subject = commonName(name);
    serial += 1;
    const constraint = pathLength === 0 ? basicConstraints(true) : extension(OID.basicConstraints, true, sequence(bool(true)));
    const pem = signCertificate(
      {
        serial: serialBytes(serial),
        issuer: parent?.name ?? subject,
        subject,
        notBefore: madeAt - DAY_MS,
        notAfter: madeAt + LIFETIME_MS,
        spki,
        extensions: [
          constraint,
          extension(OID.keyUsage, true, bits(Buffer.from([0x06]), 1)), // keyCertSign, cRLSign
          subjectKeyIdentifier(id),
          authorityKeyIdentifier(parent?.id ?? id),
        ],
      },
      parent?.key ?? privateKey,
    );
    return { name: subject, key: privateKey, id, pem };
  }

  const root = await makeIssuer(`Puppet Root CA: ${certname}`, null, chain === 'self' ? 0 : null);
  const issuer = chain === 'self' ? root : await makeIssuer(`Puppet CA: ${certname}`, root, 0);
  const revoked: { serial: string; at: number }[] = [];
  let crlNumber = 0;

  function list(of: Issuer, entries: readonly { serial: string; at: number }[], nextUpdate = Date.now() + LIFETIME_MS): string {
    crlNumber += 1;
    const at = Date.now();
    return signCrl(
      {
        issuer: of.name,
        issuerKey: of.id,
        thisUpdate: at - DAY_MS,
        nextUpdate,
        number: crlNumber,
        revoked: entries,
      },
      of.key,
    );
  }

  const rootList = list(root, []);
  let ownList = issuer === root ? rootList : list(issuer, []);
  let crlModifiedAt = madeAt;

  function issue(name: string, publicKey: KeyObject, options: CertificateOptions = {}): string {
    serial += 1;
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return signCertificate(
      {
        serial: serialBytes(serial),
        issuer: issuer.name,
        subject: commonName(name),
        notBefore: options.notBefore ?? Date.now() - DAY_MS,
        notAfter: options.notAfter ?? Date.now() + LIFETIME_MS - DAY_MS,
        spki,
        extensions: [
          authorityKeyIdentifier(issuer.id),
          basicConstraints(false),
          extension(OID.extendedKeyUsage, true, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
          extension(OID.keyUsage, true, bits(Buffer.from([0xa0]), 5)), // digitalSignature, keyEncipherment
          subjectKeyIdentifier(keyIdentifier(spki)),
          ...(options.extensions ?? []),
        ],
      },
      issuer.key,
    );
  }

  return {
    caPem: issuer === root ? root.pem : issuer.pem + root.pem,
    get crlPem() {
      return issuer === root ? ownList : ownList + rootList;
    },
    get crlModifiedAt() {
      return crlModifiedAt;
    },
    issue,
    sign: (csr, name) => issue(name, csr.publicKey, { extensions: csr.extensions.map(({ der }) => der) }),
    revoke(certPem) {
      for (const certificate of readCertificates(certPem)) revoked.push({ serial: certificate.serial, at: Date.now() });
      ownList = list(issuer, revoked);
      crlModifiedAt = Date.now();
    },
    revokeMany(count) {
      const at = Date.now();
      for (let n = 0; n < count; n++) revoked.push({ serial: (0x7a000000 + revoked.length).toString(16).toUpperCase(), at });
      ownList = list(issuer, revoked);
      crlModifiedAt = at;
    },
    relist(nextUpdate) {
      ownList = list(issuer, revoked, nextUpdate);
      crlModifiedAt = Date.now();
    },
    isRevoked: wanted => revoked.some(entry => entry.serial === wanted.toUpperCase()),
  };
}

/** Two bytes, the first one never zero. */
function serialBytes(serial: number): Buffer {
  return Buffer.from([1 + (serial >> 8), serial & 0xff]);
}

/** What a CSR asks for beside its name. */
export interface CsrOptions {
  /** Subject alternative names (`dns_alt_names`). */
  names?: readonly string[];
  /** Extension requests, DER (`csr_attributes.yaml`, extension_requests). */
  extensions?: readonly Buffer[];
}

/** A CSR as an agent makes it, PEM. */
export function makeCsr(
  certname: string,
  key: { publicKey: KeyObject; privateKey: KeyObject },
  { names = [], extensions = [] }: CsrOptions = {},
): string {
  const asked = [...extensions, ...(names.length > 0 ? [subjectAltName(names)] : [])];
  const attributes = asked.length > 0 ? [sequence(oid(OID.extensionRequest), setOf(sequence(...asked.map(verbatim))))] : [];
  const info = sequence(
    integer(Buffer.from([0])),
    verbatim(commonName(certname)),
    verbatim(key.publicKey.export({ type: 'spki', format: 'der' })),
    tagged(0, ...attributes),
  );
  return toPem('CERTIFICATE REQUEST', signed(encode(info), key.privateKey));
}
