import { counted } from '../analysis/words.ts';
import type { CertificateRow, CsrRow } from '../capture/decoded-shapes.ts';
import type { Store } from '../capture/store.ts';
import type { Extension } from '../decode/extensions.ts';
import { printable } from './io.ts';
import { day, type Page } from './show-text.ts';

/** What the bootstrap's phases are about: bundles, CRLs, CSRs and certificates, on both legs. */

interface Which {
  run?: number;
  exchange?: number;
}

function keyText(row: { keyType: string; keyBits: number | null; curve: string | null }): string {
  return `${row.keyType} ${row.curve ?? row.keyBits ?? ''}`.trimEnd();
}

function fingerprint(page: Page, text: string): void {
  page.text('       ', `SHA-256 ${text}`);
}

/** @param detail with names, extensions and the primary's certificates, too */
export function certificates(page: Page, rows: readonly CertificateRow[], detail: boolean): void {
  for (const row of rows) {
    const whose = row.side === 'primary-response' ? 'of the primary: ' : '';
    const ca = row.authority ? ', CA' : '';
    page.text(
      '     ',
      printable(`${whose}${row.subject}${ca}, ${keyText(row)}, serial ${row.serial}, until ${day(row.notAfter)}`),
    );
    if (row.issuer !== row.subject) page.text('       ', printable(`issued by ${row.issuer}`));
    fingerprint(page, row.fingerprint);
    if (row.alternativeNames.length > 0) page.text('       ', printable(`names ${row.alternativeNames.join(', ')}`));
    extensions(page, 'extension', puppetOnly(row.extensions, detail));
  }
}

function puppetOnly(list: readonly Extension[], all: boolean): readonly Extension[] {
  return all ? list : list.filter(({ oid }) => oid.startsWith('1.3.6.1.4.1.34380.'));
}

function extensions(page: Page, what: string, list: readonly Extension[]): void {
  for (const { oid, name, critical, value } of list) {
    page.text('       ', printable(`${what} ${name ?? oid}${critical ? ' (critical)' : ''} = ${value}`));
  }
}

export function crls(page: Page, store: Store, which: Which, detail: boolean): void {
  for (const row of store.decoded.rows('crl', which)) {
    if (row.side === 'primary-response' && !detail) continue;
    const whose = row.side === 'primary-response' ? 'of the primary: ' : '';
    const number = row.number === null ? '' : `, number ${row.number}`;
    const until = `next update ${row.nextUpdate ?? 'never'}`;
    page.text('     ', printable(`${whose}CRL of ${row.issuer}${number}: ${counted(row.revoked, 'serial')} revoked, ${until}`));
    if (!detail) continue;
    fingerprint(page, row.fingerprint);
  }
  if (!detail) return;
  for (const row of store.decoded.rows('revoked', which)) {
    const why = row.reason === null ? '' : `, ${row.reason}`;
    page.text('       ', `revoked ${row.serial} at ${row.revokedAt ?? '-'}${why}`);
  }
}

export function csrs(page: Page, rows: readonly CsrRow[]): void {
  for (const row of rows) {
    const whose = { request: 'of the agent: ', 'primary-request': 'sent in its place: ' }[row.side as string] ?? '';
    const valid = row.signatureValid === null ? 'not checked' : row.signatureValid ? 'valid' : 'NOT VALID';
    page.text('     ', printable(`${whose}${row.subject}, ${keyText(row)}, signature ${valid}`));
    fingerprint(page, row.fingerprint);
    if (row.alternativeNames.length > 0) page.text('       ', printable(`names ${row.alternativeNames.join(', ')}`));
    extensions(
      page,
      'extension',
      row.extensions.filter(({ name }) => name !== 'subjectAltName'),
    );
    extensions(page, 'attribute', row.attributes);
    if (row.challengePassword) page.line('       a challenge password (not shown)');
  }
}

/** Whether the certificate that the agent got is for the key of its CSR, and the primary's for that of ours. */
export function keyMatches(page: Page, issued: readonly CertificateRow[], asked: readonly CsrRow[]): void {
  const pairs = [
    ['response', 'request', 'the agent got a certificate for the key of its CSR'],
    ['primary-response', 'primary-request', 'the primary signed the key of the CSR that was sent to it'],
  ] as const;
  for (const [side, of, words] of pairs) {
    const certificate = issued.find(row => row.side === side);
    const csr = asked.find(row => row.side === of);
    if (certificate === undefined || csr === undefined) continue;
    page.text('     ', certificate.keySha256 === csr.keySha256 ? words : `NOT TRUE: ${words}`);
  }
}
