import { counted } from '../words.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';
import { tlsFailures } from './primary-trust.ts';

export const nameMismatch: Rule = {
  id: 'name-mismatch',
  severities: ['error'],
  title: "the primary's certificate does not carry the name by which it is reached",
  meaning:
    'An agent with the same server setting stops with "Server hostname … did not match server certificate; expected one of …". Nothing of the run gets through.',
  fix: 'use a name that the certificate has (server in puppet.conf, --primary here), or give the primary a certificate with dns_alt_names: puppetserver ca generate --certname NAME --subject-alt-names A,B --ca-client',
  threshold: 'the name check of TLS failed on the primary leg',
  page: page('configuration.html#dns_alt_names'),
  judge(run) {
    const found = tlsFailures(run, cause => cause === 'primary-name');
    if (found === null) return [];
    const names = run.connections.flatMap(one => (one.leg === 'primary' && one.serverName !== null ? [one.serverName] : []));
    return [
      {
        severity: 'error',
        summary: `${counted(found.failed.length, 'request')} failed: ${quoted(found.detail)}`,
        evidence: evidence({ exchanges: found.failed.map(one => one.id), figures: { expected: names[0] ?? null } }),
      },
    ];
  },
};
