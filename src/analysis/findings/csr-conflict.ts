import { evidence, page, type Rule } from './finding.ts';

/** Puppet Server's words (certificate_authority.clj, check-valid-…). */
const HAS = /already has a (requested|signed|revoked) certificate/;

export const csrConflict: Rule = {
  id: 'csr-conflict',
  severities: ['error'],
  title: 'the CA refused the CSR, because it has another one, or a certificate, of that name',
  meaning:
    'The agent goes on and asks for the certificate, which is not for its key. A refusal of the same CSR again (waitforcert sends it at every try) is no conflict and is not told.',
  fix: 'puppetserver ca clean --certname NAME on the CA, puppet ssl clean on the node, then a run; or another certname for one of the two',
  threshold:
    'PUT certificate_request was refused with 400, and neither a certificate of this key nor another CSR that was taken came in the run; for a request that waits already, only when the capture has an earlier CSR of another key',
  page: page('ssl_regenerate_certificates.html'),
  judge(run) {
    const refused = run.rows('refusal').flatMap(row => {
      const match = row.status === 400 ? HAS.exec((row.message ?? '').slice(0, 1000)) : null;
      const put = match === null ? undefined : run.phase('csr').find(one => one.id === row.exchange);
      return match === null || put === undefined ? [] : [{ put, what: match[1] ?? '' }];
    });
    const last = refused.at(-1);
    if (last === undefined) return [];
    const key = run.rows('csr').find(row => row.side === 'request' && row.exchange === last.put.id)?.keySha256;
    const got = run.rows('certificate').some(row => row.side === 'response' && row.keySha256 === key);
    // The name was cleaned meanwhile, and the agent came back to the same run.
    const taken = run.phase('csr').some(one => one.id > last.put.id && one.status === 200);
    if (got || taken || key === undefined) return [];
    const earlier = run.earlierCsrs();
    const other = earlier.find(one => one.keySha256 !== key);
    if (last.what === 'requested' && (other === undefined || earlier.at(-1)?.keySha256 === key)) return [];
    const name = run.run.certname;
    const has =
      last.what === 'requested' ? `a request of another key, since ${other?.at ?? 'earlier'}` : `a ${last.what} certificate`;
    return [
      {
        severity: 'error',
        summary: `the CA refused the CSR of ${name}: it has ${has} of that name`,
        fix: `on the CA: puppetserver ca clean --certname ${name}; on the node: puppet ssl clean, then a run`,
        evidence: evidence({ exchanges: refused.map(one => one.put.id), figures: { has: last.what } }),
      },
    ];
  },
};
