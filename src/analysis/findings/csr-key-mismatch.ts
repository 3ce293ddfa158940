import type { RunFacts } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** A certificate that was given for this run's CSR and is of another key. */
export function otherKey(run: RunFacts): { exchange: number; csr: string; certificate: string; name: string } | null {
  const pairs = [
    ['request', 'response'],
    ['primary-request', 'primary-response'],
  ] as const;
  const certificates = run.rows('certificate');
  for (const [asked, given] of pairs) {
    const csr = run.rows('csr').findLast(row => row.side === asked);
    if (csr === undefined) continue;
    const certificate = certificates.findLast(
      row => row.side === given && !row.authority && row.commonName === csr.commonName && row.exchange > csr.exchange,
    );
    if (certificate === undefined || certificate.keySha256 === csr.keySha256) continue;
    const { exchange, fingerprint } = certificate;
    return { exchange, csr: csr.fingerprint, certificate: fingerprint, name: csr.commonName ?? '' };
  }
  return null;
}

export const csrKeyMismatch: Rule = {
  id: 'csr-key-mismatch',
  severities: ['error'],
  title: 'the certificate that the CA gave is of another key than the CSR',
  meaning:
    'The CA still has a certificate of this name from an earlier life of the node (a reinstall, a clone). The agent stops with "The certificate for … does not match its private key".',
  fix: 'puppetserver ca clean --certname NAME on the CA; puppet ssl clean on the node; then a run',
  threshold: 'the public keys of the last CSR and of the certificate after it differ',
  page: page('ssl_regenerate_certificates.html'),
  judge(run) {
    const found = otherKey(run);
    if (found === null) return [];
    const name = quoted(found.name);
    const phases = [...run.phase('csr'), ...run.phase('certificate')];
    return [
      {
        severity: 'error',
        summary: `the CA has a certificate for ${name} of another key than the agent's`,
        fix: `on the CA: puppetserver ca clean --certname ${name}; on the node: puppet ssl clean, then a run`,
        evidence: evidence({
          exchanges: phases.map(one => one.id),
          figures: { csrFingerprint: found.csr, certificateFingerprint: found.certificate },
        }),
      },
    ];
  },
};
