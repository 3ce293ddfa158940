import { counted } from '../words.ts';
import type { ExchangeFact, RunFacts } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** A primary without allow-auto-renewal answers Puppet 8's daily renewal so (Puppet Server 7: always): nothing is wrong. */
const RENEWAL = /\/certificate_renewal(?:\?|$)/;

/** Refusals of stringtap itself that the agent's certificate, or the lack of an identity, is the reason of. */
const OURS: ReadonlySet<string> = new Set(['no-certificate', 'no-identity']);

export const authDenied: Rule = {
  id: 'auth-denied',
  severities: ['error'],
  title: 'a request was refused with 403',
  meaning:
    "The primary's auth.conf allows a node only what is its own: the name in the certificate has to be the name in the path. Everything that needs that answer fails.",
  fix: 'run the agent under the certname of its certificate; for a path of your own add a rule to auth.conf on the primary and reload it',
  threshold:
    '403 from the primary, but not for certificate_renewal (403 means only that renewal is off); or 403 from stringtap for want of an identity',
  page: page('server/config_file_auth.html'),
  judge(run) {
    const denied = run.exchanges.filter(
      one =>
        !RENEWAL.test(one.target) &&
        (one.answeredBy === 'primary' ? one.status === 403 : one.failure !== null && OURS.has(one.failure.reason)),
    );
    const [first] = denied;
    if (first === undefined) return [];
    const { what, fix } = words(run, first);
    return [
      {
        severity: 'error',
        summary: `${counted(denied.length, 'request')} refused with 403; first ${first.method} ${quoted(first.target.split('?', 1)[0] ?? '')}${what}`,
        ...(fix !== null && { fix }),
        evidence: evidence({ exchanges: denied.map(one => one.id), figures: { certname: first.certname } }),
      },
    ];
  },
};

function words(run: RunFacts, { id, certname, failure, answeredBy }: ExchangeFact): { what: string; fix: string | null } {
  if (answeredBy === 'proxy') {
    return failure?.reason === 'no-identity'
      ? {
          what: `: stringtap has no identity for ${quoted(failure.certname)}`,
          fix: 'on the node: stringtap identity import --ssldir "$(puppet config print ssldir)"',
        }
      : { what: ': the agent sent no certificate', fix: 'the agent has to be enrolled first: puppet ssl bootstrap on the node' };
  }
  const key = run.head(id)?.key ?? null;
  return certname !== null && key !== null && key !== certname && NAMED.has(run.head(id)?.indirection ?? '')
    ? {
        what: `: the certificate is of ${quoted(certname)}, the path of ${quoted(key)}`,
        fix: `certname = ${quoted(certname)} in the node's puppet.conf; or enrol it anew as ${quoted(key)}`,
      }
    : { what: certname === null ? ' without a certificate' : ` as ${quoted(certname)}`, fix: null };
}

/** Indirections whose key is the node's name. */
const NAMED: ReadonlySet<string> = new Set(['node', 'catalog', 'report', 'facts']);
