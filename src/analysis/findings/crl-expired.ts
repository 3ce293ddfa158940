import { saidByPrimary } from './authority.ts';
import { dayOf, evidence, page, quoted, type Rule } from './finding.ts';
import { tlsFailures } from './primary-trust.ts';

export const crlExpired: Rule = {
  id: 'crl-expired',
  severities: ['error'],
  title: "a CRL of the primary's CA has ended",
  meaning:
    'With certificate_revocation = chain (the default) every agent refuses every connection from now on: "The CRL issued by … has expired". A whole site stops at once.',
  fix: 'on the CA host: puppetserver ca prune signs a new CRL (so does any puppetserver ca revoke); then remove ssl/crl.pem on nodes that do not refresh it',
  threshold: 'nextUpdate of a CRL that the primary served is past, or OpenSSL says so of the one that stringtap has',
  page: page('configuration.html#certificate_revocation'),
  judge(run) {
    const now = Date.parse(run.run.startedAt);
    const ended = saidByPrimary(run.rows('crl')).filter(row => row.nextUpdate !== null && Date.parse(row.nextUpdate) < now);
    const failure = tlsFailures(run, cause => cause === 'primary-crl-ended');
    const [first] = ended;
    if (first === undefined && failure === null) return [];
    const exchanges = run.phase('crl').filter(one => ended.some(row => row.exchange === one.id));
    return [
      {
        severity: 'error',
        summary:
          first === undefined
            ? `the CRL of the primary's CA has ended: ${quoted(failure?.detail ?? '')}`
            : `the CRL of ${quoted(first.issuer)} ended on ${dayOf(first.nextUpdate ?? '')}`,
        evidence: evidence({
          exchanges: [...exchanges, ...(failure?.failed ?? [])].map(one => one.id),
          rows: ended.map(({ exchange, n }) => ({ kind: 'crl', exchange, n })),
          figures: { nextUpdate: first?.nextUpdate ?? null },
        }),
      },
    ];
  },
};
