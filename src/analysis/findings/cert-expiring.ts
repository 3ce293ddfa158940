import { DAY_MS, saidByPrimary } from './authority.ts';
import type { CertificateFact } from './facts.ts';
import { dayOf, evidence, lasting, page, quoted, type Rule } from './finding.ts';

/** An agent renews its certificate from here on (hostcert_renewal_interval, defaults.rb). */
const AGENT_DAYS = 30;
/** A new CA certificate has to be brought to every node, by hand as a rule: that takes longer. */
const CA_DAYS = 90;

export const certExpiring: Rule = {
  id: 'cert-expiring',
  severities: ['error', 'warning'],
  title: 'a certificate of the node or of its CA ends soon, or has ended',
  meaning:
    "An agent whose certificate has ended gets nothing any more and has to be enrolled anew; when the CA's has ended, that is true of every node.",
  fix: 'node: puppet ssl clean on the node, puppetserver ca clean --certname NAME on the CA, and a new run (Puppet 8 renews by itself when allow-auto-renewal is on); CA: the module puppetlabs/ca_extend',
  threshold: `a certificate that the primary served ends in less than ${AGENT_DAYS} days (hostcert_renewal_interval), a CA certificate in less than ${CA_DAYS}, for it has to be brought to every node; an error when it has ended`,
  page: page('ssl_regenerate_certificates.html'),
  judge(run) {
    const now = Date.parse(run.run.startedAt);
    const left = (row: CertificateFact): number => (row.notAfter === null ? Infinity : Date.parse(row.notAfter) - now);
    const ending = saidByPrimary(run.rows('certificate'))
      .filter(row => left(row) < (row.authority ? CA_DAYS : AGENT_DAYS) * DAY_MS)
      .sort((a, b) => left(a) - left(b));
    const [first] = ending;
    if (first === undefined) return [];
    const what = `${first.authority ? 'the CA certificate' : 'the certificate'} ${quoted(first.subject)}`;
    const ended = left(first) < 0;
    return [
      {
        severity: ended ? 'error' : 'warning',
        summary: `${what} ${ended ? 'ended' : 'ends'} on ${dayOf(first.notAfter ?? '')}${ended ? '' : `, in ${lasting(left(first))}`}`,
        fix: first.authority
          ? 'extend the CA with the module puppetlabs/ca_extend, and bring the new ca.pem to every node before that day'
          : `renew it: puppetserver ca clean --certname ${first.commonName ?? 'NAME'} on the CA, puppet ssl clean on the node, then a run`,
        evidence: evidence({
          exchanges: run.exchanges.flatMap(one => (ending.some(row => row.exchange === one.id) ? [one.id] : [])),
          rows: ending.map(({ exchange, n }) => ({ kind: 'certificate', exchange, n })),
          figures: { notAfter: first.notAfter, authority: first.authority },
        }),
      },
    ];
  },
};
