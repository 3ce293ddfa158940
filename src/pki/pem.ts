import { createHash } from 'node:crypto';
import { PkiError } from './error.ts';

/** One block of a PEM text (RFC 7468). */
export interface PemBlock {
  label: string;
  der: Buffer;
}

/** More blocks than any bundle has: a root, its intermediates and, for CRLs, the same number again. */
const MAX_BLOCKS = 1000;

// The body stops at the first dash, so that a text of many BEGIN lines costs no more than its length. Blocks with headers
// (`DEK-Info: AES-…`) hold encrypted keys; they are told apart by `isEncryptedKey`.
const BLOCK = /-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,63})-----([^-]*)-----END \1-----/g;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * The blocks of a PEM text in their order; text around them is skipped, as OpenSSL does.
 * @throws PkiError for a block that is not Base64, and for more than 1000 blocks
 */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  for (const [, label = '', body = ''] of text.matchAll(BLOCK)) {
    const base64 = body.replace(/[ \t\r\n]/g, '');
    if (!BASE64.test(base64)) throw new PkiError(`the PEM block ${label} is not Base64`);
    blocks.push({ label, der: Buffer.from(base64, 'base64') });
    if (blocks.length > MAX_BLOCKS) throw new PkiError(`over ${MAX_BLOCKS} PEM blocks`);
  }
  return blocks;
}

/** The DER of each block with one of the labels. */
export function pemOf(text: string, ...labels: string[]): Buffer[] {
  return pemBlocks(text)
    .filter(block => labels.includes(block.label))
    .map(block => block.der);
}

/** One PEM block with a line break at its end. */
export function toPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64');
  return `-----BEGIN ${label}-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;
}

/** `ENCRYPTED PRIVATE KEY` (PKCS #8), or a traditional key with a `Proc-Type: 4,ENCRYPTED` header. */
export function isEncryptedKey(text: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4, *ENCRYPTED/.test(text);
}

/** SHA-256 as `puppet agent --fingerprint` and `openssl x509 -fingerprint -sha256` print it: `AB:CD:…`. */
export function fingerprintOf(bytes: Uint8Array | string): string {
  return createHash('sha256')
    .update(bytes)
    .digest('hex')
    .toUpperCase()
    .replace(/..(?!$)/g, '$&:');
}

/** A fingerprint as somebody typed it, without colons, blanks and case, to compare with another. */
export function plainFingerprint(text: string): string {
  return text.replace(/[^0-9A-Fa-f]/g, '').toLowerCase();
}
