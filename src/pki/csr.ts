import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { hashOf, isSigned } from './crl.ts';
import { children, type Element, element, encode, expect, integer, oidText, sequence, TAG, verbatim, wholeBits } from './der.ts';
import { PkiError } from './error.ts';
import { fingerprintOf, pemOf, toPem } from './pem.ts';
import { commonNameOf, type Extension, OID, readExtensions, signed } from './x509.ts';

export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

/** One attribute of a CSR (RFC 2986 4.1): challenge password, extension request, custom attributes. */
export interface Attribute {
  oid: string;
  /** Each value with its tag, DER. */
  values: Buffer[];
}

/** A certificate signing request (PKCS #10), taken apart. */
export interface Csr {
  der: Buffer;
  /** The CN when there is exactly one and it reads in one way only; see `commonNameOf`. */
  commonName: string | null;
  publicKey: KeyObject;
  /** The request is signed with the key in it. */
  signatureValid: boolean;
  /** SHA-256 of the DER as `puppet agent --fingerprint` prints it: `AB:CD:…`. */
  fingerprint: string;
  /** Name, DER. */
  subject: Buffer;
  /** All attributes with their `[0]`, DER; `null` when the request has none at all. */
  attributesDer: Buffer | null;
  attributes: Attribute[];
  /** What the extension request asks for, Microsoft's when the standard one is missing (Puppet's own rule). */
  extensions: Extension[];
}

/** An agent's CSR with all of Puppet's extensions is 2 kB. */
const MAX_CSR_CHARACTERS = 64 * 1024;

/**
 * Reads the first CSR of a PEM text.
 * @throws PkiError for anything that is none
 */
export function readCsr(pem: string): Csr {
  if (pem.length > MAX_CSR_CHARACTERS) throw new PkiError(`a certificate request of ${pem.length} characters`);
  const [der] = pemOf(pem, 'CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST');
  if (der === undefined) throw new PkiError('there is no certificate request in PEM');
  const [info, algorithm, signature] = children(element(der, TAG.sequence));
  const [version, subject, spki, attributes] = children(expect(info, TAG.sequence));
  expect(version, TAG.integer);
  const publicKey = publicKeyFrom(expect(spki, TAG.sequence).der);
  const list = attributes === undefined ? [] : children(expect(attributes, TAG.context0)).map(readAttribute);
  const asked = list.find(({ oid }) => oid === OID.extensionRequest) ?? list.find(({ oid }) => oid === OID.msExtensionRequest);
  return {
    der,
    commonName: commonNameOf(expect(subject, TAG.sequence).der),
    publicKey,
    signatureValid: isSigned({ tbs: info!.der, hash: hashOf(algorithm), value: wholeBits(signature) }, publicKey),
    fingerprint: fingerprintOf(der),
    subject: subject!.der,
    attributesDer: attributes?.der ?? null,
    attributes: list,
    extensions: asked?.values[0] === undefined ? [] : readExtensions(element(asked.values[0], TAG.sequence)),
  };
}

function readAttribute(attribute: Element): Attribute {
  const [type, values] = children(expect(attribute, TAG.sequence));
  return { oid: oidText(expect(type, TAG.oid)), values: children(expect(values, TAG.set)).map(({ der }) => der) };
}

function publicKeyFrom(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    throw new PkiError('a public key that OpenSSL cannot read');
  }
}

/**
 * Our CSR in the place of an agent's: subject and attributes (SANs, extension requests, custom attributes, challenge password) byte
 * for byte, so that the primary's policy (autosign scripts read them) decides as it would for the agent. Key and signature are ours.
 */
export function deriveCsr(agent: Csr, key: KeyPair): string {
  const spki = key.publicKey.export({ type: 'spki', format: 'der' });
  const info = sequence(
    integer(Buffer.from([0])),
    verbatim(agent.subject),
    verbatim(spki),
    ...(agent.attributesDer === null ? [] : [verbatim(agent.attributesDer)]),
  );
  return toPem('CERTIFICATE REQUEST', signed(encode(info), key.privateKey));
}

/** The request asks for the same as the other: subject and attributes, whatever the key. */
export function asksTheSame(one: Csr, other: Csr): boolean {
  const attributes = (csr: Csr): Buffer => csr.attributesDer ?? Buffer.alloc(0);
  return one.subject.equals(other.subject) && attributes(one).equals(attributes(other));
}

/**
 * What the proxy makes for an RSA agent. Puppet's default of 4096 bits takes a second or more of a core, for each agent and on the word
 * of a caller that has proved nothing yet; the key is used between proxy and primary only, and 2048 bits are enough for that (NIST SP
 * 800-57: until 2030).
 */
export const RSA_BITS = 2048;

const makeKeys = promisify(generateKeyPair);

/** Kinds of keys that {@link generateKeyLike} makes another of: RSA, and EC on a curve with a name (Puppet's `key_type`). */
export function isReproducible(publicKey: KeyObject): boolean {
  if (publicKey.asymmetricKeyType === 'rsa') return true;
  return publicKey.asymmetricKeyType === 'ec' && publicKey.asymmetricKeyDetails?.namedCurve !== undefined;
}

/**
 * A new key pair of the agent's kind: RSA of 2048 bits, or EC on the same named curve.
 * @throws PkiError for a key that is not {@link isReproducible}
 */
export async function generateKeyLike(publicKey: KeyObject): Promise<KeyPair> {
  if (publicKey.asymmetricKeyType === 'rsa') return makeKeys('rsa', { modulusLength: RSA_BITS });
  const curve = publicKey.asymmetricKeyDetails?.namedCurve;
  if (publicKey.asymmetricKeyType === 'ec' && curve !== undefined) {
    return makeKeys('ec', { namedCurve: curve, paramEncoding: 'named' });
  }
  throw new PkiError(
    `an agent key of the type ${publicKey.asymmetricKeyType}`,
    'Puppet makes RSA and EC keys (setting key_type)',
  );
}

/** An RSA key takes about 100 ms: who is behind so many would wait for half a minute, and is better told to come again. */
const MAX_WAITING = 300;

/**
 * Key pairs one at a time, with an RSA one in stock: callers have not proved anything, and the thread pool that makes keys also
 * serves DNS and files. Throws a PkiError when 300 wait already.
 */
export function keyMaker(): (publicKey: KeyObject) => Promise<KeyPair> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let spare: Promise<KeyPair> | null = null;

  function queued(publicKey: KeyObject): Promise<KeyPair> {
    waiting += 1;
    const result = last.then(() => generateKeyLike(publicKey));
    last = result
      .catch(() => undefined)
      .finally(() => {
        waiting -= 1;
      });
    return result;
  }

  return async publicKey => {
    if (waiting >= MAX_WAITING) throw new PkiError('too many certificate requests at once', 'try again in a minute');
    if (publicKey.asymmetricKeyType !== 'rsa') return queued(publicKey);
    const key = spare ?? queued(publicKey);
    // The next one is begun once this one is there; nothing waits for it, and a failure shows where it is asked for.
    spare = queued(publicKey);
    spare.catch(() => undefined);
    return key;
  };
}
