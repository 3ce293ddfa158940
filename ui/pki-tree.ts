import type { CertificateRow, CrlRow, CsrRow } from '../src/capture/decoded-shapes.ts';
import { day } from '../src/commands/show-text.ts';
import type { Extension } from '../src/decode/extensions.ts';
import type { Side } from '../src/model.ts';
import type { Env } from './screen.ts';
import { span } from './text.ts';
import { leavesOf, type TreeNode } from './tree.ts';

/** Certificates, CSRs and CRLs, each explained, as nodes of a tree. */

/** What was decoded of the PEM bodies of a run or an exchange, of all sides or of one. */
export function pkiNodes(env: Env, which: { run?: number; exchange?: number }, side?: Side): TreeNode[] {
  const { decoded } = env.source.store;
  const of = <Row extends { side: Side }>(rows: readonly Row[]): Row[] =>
    rows.filter(row => side === undefined || row.side === side);
  const now = new Date(env.now()).toISOString();
  return [
    ...of(decoded.rows('csr', which)).map((row, i) => csrNode(row, i)),
    ...of(decoded.rows('certificate', which)).map((row, i) => certificateNode(row, i, now)),
    ...of(decoded.rows('crl', which)).map((row, i) => crlNode(row, i, now)),
  ];
}

const legOf = (side: string): string => (side.startsWith('primary-') ? 'primary leg' : 'agent leg');

function csrNode(row: CsrRow, i: number): TreeNode {
  return {
    key: `csr${i}`,
    label: [
      span('CSR ', 'bold'),
      span(row.subject, 'name'),
      span(`  e${row.exchange}, ${legOf(row.side)}, ${keyText(row)}`, 'dim'),
    ],
    kids: () => [
      ...leavesOf([
        ['names', row.alternativeNames.join(', ') || null],
        [
          'signature',
          `${row.signatureAlgorithm}${row.signatureValid === false ? ', NOT valid' : row.signatureValid === true ? ', valid' : ''}`,
        ],
        ['fingerprint', row.fingerprint],
        ['key', row.keySha256],
        ['challenge password', row.challengePassword ? 'there is one (never read)' : null],
      ]),
      ...extensionNodes([...row.extensions, ...row.attributes]),
    ],
  };
}

function certificateNode(row: CertificateRow, i: number, now: string): TreeNode {
  const over = row.notAfter !== null && row.notAfter < now;
  return {
    key: `certificate${i}`,
    label: [
      span(row.authority ? 'CA certificate ' : 'certificate ', 'bold'),
      span(row.subject, 'name'),
      span(over ? '  EXPIRED' : '', 'error'),
      span(`  until ${day(row.notAfter)}, e${row.exchange}, ${legOf(row.side)}, ${keyText(row)}`, 'dim'),
    ],
    kids: () => [
      ...leavesOf([
        ['issuer', row.issuer === row.subject ? `${row.issuer} (self-signed)` : row.issuer],
        ['serial', row.serial],
        ['valid', `${row.notBefore ?? '-'} to ${row.notAfter ?? '-'}`],
        ['names', row.alternativeNames.join(', ') || null],
        ['signature', row.signatureAlgorithm],
        ['fingerprint', row.fingerprint],
        ['key', row.keySha256],
      ]),
      ...extensionNodes(row.extensions),
    ],
  };
}

function crlNode(row: CrlRow, i: number, now: string): TreeNode {
  const over = row.nextUpdate !== null && row.nextUpdate < now;
  return {
    key: `crl${i}`,
    label: [
      span('CRL ', 'bold'),
      span(row.issuer, 'name'),
      span(over ? '  OVERDUE' : '', 'error'),
      span(`  ${row.revoked} revoked, next ${day(row.nextUpdate)}, e${row.exchange}, ${legOf(row.side)}`, 'dim'),
    ],
    kids: () => [
      ...leavesOf([
        ['number', row.number],
        ['this update', row.thisUpdate],
        ['next update', row.nextUpdate],
        ['signature', row.signatureAlgorithm],
        ['fingerprint', row.fingerprint],
      ]),
      ...extensionNodes(row.extensions),
    ],
  };
}

function keyText(row: { keyType: string; keyBits: number | null; curve: string | null }): string {
  return `${row.keyType} ${row.curve ?? row.keyBits ?? ''}`.trimEnd();
}

function extensionNodes(list: readonly Extension[]): TreeNode[] {
  return list.map(({ oid, name, critical, value }, i) => ({
    key: `x${i}`,
    label: [span(`${name ?? oid}${critical ? ' (critical)' : ''}: `, 'name'), span(value)],
  }));
}
