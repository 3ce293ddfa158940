import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { childrenOf, type Der, expectChildren, expectTag, hexOf, oidOf, stringOf, TAG } from './der.ts';
import { oidName } from './oids.ts';

/** A distinguished name. */
export interface Name {
  /** `CN=agent.example,O=Example`: the order of RFC 2253, as Puppet logs names. */
  text: string;
  commonName: string | null;
}

export interface PublicKey {
  /** `RSA`, `EC`, `Ed25519`, …; the dotted OID of one that OpenSSL does not know. */
  type: string;
  /** RSA modulus or curve size; `null` when it is not known. */
  bits: number | null;
  /** OpenSSL's name of the curve. */
  curve: string | null;
  /** Hex SHA-256 of the SubjectPublicKeyInfo: equal for a CSR, its certificate and the key that they are for. */
  sha256: string;
}

/** What an algorithm identifier says: Puppet's tools print it by OpenSSL's short name. */
export function algorithmOf(der: Der | undefined, what: string): string {
  const oid = oidOf(expectChildren(der, TAG.sequence, what)[0], what);
  return oidName(oid) ?? oid;
}

/** SHA-256 of the DER in colon-separated upper-case hex, as `puppet agent --fingerprint` prints it. */
export function fingerprintOf(der: Uint8Array): string {
  const hex = createHash('sha256').update(der).digest('hex').toUpperCase();
  return hex.replaceAll(/..(?=.)/g, '$&:');
}

/** @throws Malformed */
export function nameOf(der: Der | undefined, what: string): Name {
  const parts: { short: string; value: string; joined: boolean }[] = [];
  for (const rdn of expectChildren(der, TAG.sequence, what)) {
    for (const [index, attribute] of expectChildren(rdn, TAG.set, what).entries()) {
      const [type, value] = expectChildren(attribute, TAG.sequence, what);
      const oid = oidOf(type, `an attribute of ${what}`);
      const text = value === undefined ? '' : (stringOf(value) ?? `#${hexOf(value.raw)}`);
      parts.push({ short: oidName(oid) ?? oid, value: text, joined: index > 0 });
    }
  }
  const commonName = parts.findLast(part => part.short === 'CN')?.value ?? null;
  return { text: printName(parts), commonName };
}

/** RFC 2253: last component first, parts of one component joined by `+`. */
function printName(parts: readonly { short: string; value: string; joined: boolean }[]): string {
  const components: string[] = [];
  for (const part of parts) {
    const text = `${part.short}=${part.value.replaceAll(/[,+"\\<>;]/g, '\\$&')}`;
    if (part.joined) components.push(`${components.pop() ?? ''}+${text}`);
    else components.push(text);
  }
  return components.reverse().join(',');
}

/** The key of a SubjectPublicKeyInfo as an object, `null` when OpenSSL refuses it. */
export function keyObjectOf(spki: Der): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

/** Bits of keys that only come in one size: OpenSSL's names of curves, and our names of key types. */
const KEY_BITS: ReadonlyMap<string, number> = new Map([
  ['prime256v1', 256],
  ['secp256k1', 256],
  ['secp384r1', 384],
  ['secp521r1', 521],
  ['secp224r1', 224],
  ['prime192v1', 192],
  ['Ed25519', 256],
  ['Ed448', 456],
]);

const KEY_TYPES: ReadonlyMap<string, string> = new Map([
  ['rsa', 'RSA'],
  ['rsa-pss', 'RSA-PSS'],
  ['ec', 'EC'],
  ['dsa', 'DSA'],
  ['ed25519', 'Ed25519'],
  ['ed448', 'Ed448'],
]);

/** @throws Malformed when it is no SubjectPublicKeyInfo at all */
export function publicKeyOf(spki: Der | undefined, what: string): PublicKey {
  const [algorithm] = expectChildren(spki, TAG.sequence, what);
  const oid = oidOf(expectChildren(algorithm, TAG.sequence, what)[0], what);
  const sha256 = createHash('sha256').update(spki!.raw).digest('hex');
  const key = keyObjectOf(spki!);
  if (key === null) return { type: oid, bits: null, curve: null, sha256 };
  const details = key.asymmetricKeyDetails;
  const curve = details?.namedCurve ?? null;
  const type = KEY_TYPES.get(key.asymmetricKeyType ?? '') ?? key.asymmetricKeyType ?? oid;
  const bits = details?.modulusLength ?? KEY_BITS.get(curve ?? type) ?? null;
  return { type, bits, curve, sha256 };
}

/** The bits of a signature or key, whole bytes. @throws Malformed */
export function bitsOf(der: Der | undefined, what: string): Uint8Array {
  return expectTag(der, TAG.bitString, what).content.subarray(1);
}

/** GeneralNames as `openssl` prints them, blanks left out: `DNS:a.example`, `IP:192.0.2.1`. @throws Malformed */
export function generalNames(der: Der): string[] {
  return childrenOf(der).map(name => {
    const text = Buffer.from(name.content.buffer, name.content.byteOffset, name.content.byteLength).toString('latin1');
    switch (name.tag) {
      case 0x81:
        return `email:${text}`;
      case 0x82:
        return `DNS:${text}`;
      case 0xa4:
        return `DirName:${nameOf(childrenOf(name)[0], 'an alternative name').text}`;
      case 0x86:
        return `URI:${text}`;
      case 0x87:
        return `IP:${addressOf(name.content)}`;
      case 0x88:
        return `RID:${oidOf({ ...name, tag: TAG.oid }, 'an alternative name')}`;
      default:
        return `other:${hexOf(name.content.subarray(0, 256))}`;
    }
  });
}

function addressOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return hexOf(bytes.subarray(0, 256));
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[at * 2]! << 8) | bytes[at * 2 + 1]!).toString(16));
  return groups.join(':');
}
