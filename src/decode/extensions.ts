import {
  childrenOf,
  type Der,
  expectChildren,
  expectTag,
  hexOf,
  integerHex,
  oidOf,
  readDer,
  smallInteger,
  stringOf,
  TAG,
} from './der.ts';
import { Malformed } from './limits.ts';
import { isPuppetOid, oidName } from './oids.ts';
import { generalNames } from './x509.ts';

/** An X.509 extension, or an attribute of a CSR. */
export interface Extension {
  /** Dotted. */
  oid: string;
  /** Puppet's or OpenSSL's short name; `null` for private ones. */
  name: string | null;
  critical: boolean;
  /** For a person: text of text, words of flags, hex of the rest. */
  value: string;
}

/** Hex of an unknown value is cut here: an extension may hold a logo. */
const MAX_HEX_BYTES = 1024;

/** The extensions of a certificate, CRL, CRL entry or CSR (RFC 5280 4.2). @throws Malformed */
export function extensionsOf(der: Der | undefined): Extension[] {
  if (der === undefined) return [];
  return expectChildren(der, TAG.sequence, 'extensions').map(entry => {
    const [id, second, third] = expectChildren(entry, TAG.sequence, 'an extension');
    const oid = oidOf(id, 'an extension');
    const critical = second?.tag === TAG.boolean && second.content[0] !== 0;
    const wrapped = expectTag(second?.tag === TAG.boolean ? third : second, TAG.octetString, 'the value of an extension');
    return { oid, name: oidName(oid), critical, value: describe(oid, wrapped.content) };
  });
}

/** Subject alternative names among a certificate's or CSR's extensions. @throws Malformed */
export function alternativeNames(der: Der | undefined): string[] {
  if (der === undefined) return [];
  for (const entry of expectChildren(der, TAG.sequence, 'extensions')) {
    const parts = expectChildren(entry, TAG.sequence, 'an extension');
    if (oidOf(parts[0], 'an extension') === '2.5.29.17') return generalNames(readDer(parts.at(-1)!.content));
  }
  return [];
}

/** A value that is not what its OID promises is shown as text or hex: what the peer sent matters, not what it should have. */
function describe(oid: string, bytes: Uint8Array): string {
  try {
    const known = isPuppetOid(oid) ? null : wellKnown(oid, bytes);
    return known ?? plainValue(bytes);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return plainValue(bytes);
  }
}

/**
 * Puppet writes extension values as UTF8String; other tools put the bare text into the octet string, which Puppet's own reader
 * also takes as it is (`lib/puppet/ssl/certificate.rb`, get_ext_val).
 */
export function plainValue(bytes: Uint8Array): string {
  try {
    const der = readDer(bytes);
    const text = der.raw.length === bytes.length ? stringOf(der) : null;
    if (text !== null) return text;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (/^[\x20-\x7e]+$/.test(text)) return text;
  return bytes.length > MAX_HEX_BYTES ? `${hexOf(bytes.subarray(0, MAX_HEX_BYTES))}… (${bytes.length} bytes)` : hexOf(bytes);
}

const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

const CRL_REASONS = [
  'unspecified',
  'keyCompromise',
  'CACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  null,
  'removeFromCRL',
  'privilegeWithdrawn',
  'AACompromise',
] as const;

function wellKnown(oid: string, bytes: Uint8Array): string | null {
  const der = readDer(bytes);
  switch (oidName(oid)) {
    case 'subjectAltName':
    case 'issuerAltName':
      return generalNames(der).join(', ');
    case 'basicConstraints':
      return basicConstraints(der);
    case 'keyUsage':
      return keyUsage(der);
    case 'extendedKeyUsage':
      return childrenOf(der)
        .map(usage => oidOf(usage, 'a key usage'))
        .map(usage => oidName(usage) ?? usage)
        .join(', ');
    case 'subjectKeyIdentifier':
      return colons(expectTag(der, TAG.octetString, 'a key identifier').content);
    case 'authorityKeyIdentifier': {
      const id = childrenOf(der).find(child => child.tag === 0x80);
      return id === undefined ? null : `keyid:${colons(id.content)}`;
    }
    case 'crlNumber':
      return decimal(integerHex(der, 'the number of a CRL'));
    case 'CRLReason':
      return CRL_REASONS[der.content[0] ?? 0] ?? null;
    default:
      return null;
  }
}

/** RFC 5280 5.2.3 allows 20 octets; a longer one stays hex. */
function decimal(hex: string): string {
  return hex.length > 0 && hex.length <= 40 ? BigInt(`0x${hex}`).toString() : hex;
}

function basicConstraints(der: Der): string {
  const [first, second] = expectChildren(der, TAG.sequence, 'basic constraints');
  const authority = first?.tag === TAG.boolean && first.content[0] !== 0;
  if (!authority) return 'CA:FALSE';
  return second === undefined ? 'CA:TRUE' : `CA:TRUE, pathlen:${smallInteger(second, 'a path length') ?? '?'}`;
}

function keyUsage(der: Der): string {
  const bits = expectTag(der, TAG.bitString, 'key usage').content.subarray(1);
  return KEY_USAGES.filter((_, at) => ((bits[at >> 3] ?? 0) & (0x80 >> (at & 7))) !== 0).join(', ');
}

function colons(bytes: Uint8Array): string {
  return hexOf(bytes.subarray(0, 64))
    .toUpperCase()
    .replaceAll(/..(?=.)/g, '$&:');
}
