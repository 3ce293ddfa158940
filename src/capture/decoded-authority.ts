import type { Bundle } from '../decode/certificate.ts';
import type { Csr } from '../decode/csr.ts';
import type { Side } from '../model.ts';
import { json } from './decoded-cells.ts';
import { row } from './decoded-statements.ts';
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
export function* bundleRows(body: number, bundle: Bundle): Generator<DerivedWrite> {
  for (const [index, certificate] of bundle.certificates.entries()) {
    yield row('certificate', {
      body,
      n: index + 1,
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
    });
  }
  for (const [index, crl] of bundle.crls.entries()) {
    yield row('crl', {
      body,
      n: index + 1,
      issuer: crl.issuer.text,
      number: crl.number,
      this_update: crl.thisUpdateAt,
      next_update: crl.nextUpdateAt,
      signature_algorithm: crl.signatureAlgorithm,
      fingerprint: crl.fingerprint,
      revoked: crl.revoked.length,
      extensions: json(crl.extensions),
    });
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
