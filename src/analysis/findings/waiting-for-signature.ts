import { counted } from '../words.ts';
import { otherKey } from './csr-key-mismatch.ts';
import { evidence, page, type Rule } from './finding.ts';

export const waitingForSignature: Rule = {
  id: 'waiting-for-signature',
  severities: ['info'],
  title: 'the CSR waits for somebody to sign it',
  meaning:
    'The agent has no certificate yet and asks again at each try (waitforcert, 2 min by default). Nothing else happens on the node until the CA signs.',
  fix: 'compare the fingerprint with puppet agent --fingerprint on the node, then on the CA: puppetserver ca sign --certname NAME; autosign.conf for names that may sign themselves',
  threshold: 'a CSR, and GET certificate answered 404 with no 200 after it',
  page: page('ssl_autosign.html'),
  judge(run) {
    const csr = run.rows('csr').findLast(row => row.side === 'request');
    const tries = run.phase('certificate');
    const last = tries.at(-1);
    if (csr === undefined || last?.status !== 404 || last.fault !== null || otherKey(run) !== null) return [];
    const name = run.run.certname;
    const since = run.earlierCsrs().find(one => one.keySha256 === csr.keySha256)?.at ?? run.run.startedAt;
    // The CA has the CSR that stringtap sent in the agent's place; its list shows that one's fingerprint.
    const swapped = run.rows('csr').findLast(row => row.side === 'primary-request');
    const listed =
      swapped === undefined ? '' : `, where the list shows ${swapped.fingerprint}, of the CSR that stringtap sent in its place`;
    const missing = tries.filter(one => one.status === 404);
    return [
      {
        severity: 'info',
        summary: `the CSR of ${name} is not signed yet: asked ${counted(missing.length, 'time')}, waiting since ${since.slice(0, 16).replace('T', ' ')} UTC`,
        fix: `when puppet agent --fingerprint on the node says ${csr.fingerprint}: puppetserver ca sign --certname ${name} on the CA${listed}`,
        evidence: evidence({ exchanges: missing.map(one => one.id), figures: { fingerprint: csr.fingerprint, since } }),
      },
    ];
  },
};
