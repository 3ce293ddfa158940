import { DAY_MS, saidByPrimary } from './authority.ts';
import { dayOf, evidence, lasting, page, quoted, type Rule } from './finding.ts';

/** Puppet's own notion of soon: hostcert_renewal_interval (defaults.rb). */
const SOON_DAYS = 30;

export const crlExpiresSoon: Rule = {
  id: 'crl-expires-soon',
  severities: ['warning'],
  title: "a CRL of the primary's CA will end soon",
  meaning:
    'When it ends, every agent that checks revocation (the default) refuses every connection: the whole site stops at once.',
  fix: "on the CA host: puppetserver ca prune signs a new CRL; nodes need it, too: crl_refresh_interval = 1d (Puppet 8's default), or remove ssl/crl.pem there",
  threshold: `nextUpdate is less than ${SOON_DAYS} days away, as hostcert_renewal_interval counts; lists that are valid for a shorter time than that by design are left out`,
  page: page('configuration.html#crl_refresh_interval'),
  judge(run) {
    const now = Date.parse(run.run.startedAt);
    const soon = saidByPrimary(run.rows('crl')).filter(row => {
      const left = row.nextUpdate === null ? Number.NaN : Date.parse(row.nextUpdate) - now;
      const whole =
        row.nextUpdate === null || row.thisUpdate === null ? Infinity : Date.parse(row.nextUpdate) - Date.parse(row.thisUpdate);
      return left >= 0 && left < SOON_DAYS * DAY_MS && whole > SOON_DAYS * DAY_MS;
    });
    const [first] = soon;
    if (first === undefined) return [];
    const at = first.nextUpdate ?? '';
    return [
      {
        severity: 'warning',
        summary: `the CRL of ${quoted(first.issuer)} ends on ${dayOf(at)}, in ${lasting(Date.parse(at) - now)}`,
        evidence: evidence({
          exchanges: run.phase('crl').flatMap(one => (soon.some(row => row.exchange === one.id) ? [one.id] : [])),
          rows: soon.map(({ exchange, n }) => ({ kind: 'crl', exchange, n })),
          figures: { nextUpdate: at },
        }),
      },
    ];
  },
};
