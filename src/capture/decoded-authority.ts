import type { Bundle } from '../decode/certificate.ts';
import type { Csr } from '../decode/csr.ts';
import type { Side } from '../model.ts';
import { json } from './decoded-cells.ts';
import { row } from './decoded-statements.ts';
import type { Cells, Lists } from './lists.ts';
import type { DerivedWrite } from './messages.ts';

/** Rows of a certificate signing request. */
export function csrRow(exchange: number, side: Side, csr: Csr): DerivedWrite {
  return row('csr', {
    exchange,
    side,
    subject: csr.subject.text,
    common_name: csr.subject.commonName,
    key_type: csr.key.type,
    key_bits: csr.key.bits,
    curve: csr.key.curve,
    key_sha256: csr.key.sha256,
    signature_algorithm: csr.signatureAlgorithm,
    signature_valid: csr.signatureValid,
    fingerprint: csr.fingerprint,
    alternative_names: json(csr.alternativeNames),
    extensions: json(csr.extensions),
    attributes: json(csr.attributes),
    challenge_password: csr.challengePassword,
  });
}

/** Rows of a bundle's certificates and CRLs, numbered from 1 in the bundle's order. */
export function* bundleRows(body: number, { certificates, crls }: Bundle, lists: Lists): Generator<DerivedWrite> {
  yield* lists.rows('certificate', body, certificates.length, i => certificateCells(certificates[i]!));
  yield* lists.rows('crl', body, crls.length, i => crlCells(crls[i]!));
  for (const [index, crl] of crls.entries()) {
    for (const [n, revoked] of crl.revoked.entries()) {
      yield row('revoked', {
        body,
        crl: index + 1,
        n: n + 1,
        serial: revoked.serial,
        revoked_at: revoked.revokedAt,
        reason: revoked.reason,
      });
    }
  }
}

function certificateCells(certificate: Bundle['certificates'][number]): Cells {
  return {
    subject: certificate.subject.text,
    common_name: certificate.subject.commonName,
    issuer: certificate.issuer.text,
    serial: certificate.serial,
    not_before: certificate.notBeforeAt,
    not_after: certificate.notAfterAt,
    key_type: certificate.key.type,
    key_bits: certificate.key.bits,
    curve: certificate.key.curve,
    key_sha256: certificate.key.sha256,
    signature_algorithm: certificate.signatureAlgorithm,
    fingerprint: certificate.fingerprint,
    alternative_names: json(certificate.alternativeNames),
    extensions: json(certificate.extensions),
    authority: certificate.authority,
  };
}

function crlCells(crl: Bundle['crls'][number]): Cells {
  return {
    issuer: crl.issuer.text,
    number: crl.number,
    this_update: crl.thisUpdateAt,
    next_update: crl.nextUpdateAt,
    signature_algorithm: crl.signatureAlgorithm,
    fingerprint: crl.fingerprint,
    revoked: crl.revoked.length,
    extensions: json(crl.extensions),
  };
}
