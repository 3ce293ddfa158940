import { counted } from '../words.ts';
import type { ExchangeFact } from './facts.ts';
import { evidence, page, type Rule } from './finding.ts';

/** A connection that is closed already says so within a round trip; later it is a primary that went away while it worked. */
const AT_ONCE_MS = 1_000;

/** The primary's side closed a used connection just as the request was sent, before any answer. */
export function metStaleConnection({ failure, primaryOrdinal, durationMs }: ExchangeFact): boolean {
  return failure?.reason === 'primary-closed' && !failure.partial && (primaryOrdinal ?? 1) > 1 && durationMs <= AT_ONCE_MS;
}

export const staleReuseFailed: Rule = {
  id: 'stale-reuse-failed',
  severities: ['error', 'info'],
  title: "a request met a connection that the primary's side had just closed",
  meaning:
    'The other end closed an idle connection while a request was on its way. Puppet sends nothing again (max_retries = 0): the resource, the catalog or the report of that request fails. Info when stringtap could send it again, which an agent on its own would not have done.',
  fix: 'an idle time above 30 s in the load balancer or firewall in front of the primary; idle-timeout-milliseconds: 30000 in its webserver.conf',
  threshold: `a request on a used connection that ended within ${AT_ONCE_MS / 1000} s and before any answer, or that was sent again for that`,
  page: page('subsystem_agent_primary_comm.html'),
  judge(run) {
    const failed = run.exchanges.filter(metStaleConnection);
    const resent = run.exchanges.filter(one => one.resent > 0 && one.outcome === 'answered');
    const some = failed.length > 0 ? failed : resent;
    const [first] = some;
    if (first === undefined) return [];
    const what = `${counted(some.length, 'request')} (first: ${first.phase}) met a closed connection`;
    return [
      {
        severity: failed.length > 0 ? 'error' : 'info',
        summary: failed.length > 0 ? `${what} and failed` : `${what}; stringtap sent ${some.length === 1 ? 'it' : 'them'} again`,
        evidence: evidence({
          exchanges: some.map(one => one.id),
          connections: some.flatMap(one => one.primaryConnection ?? []),
          figures: { failed: failed.length, resent: resent.length },
        }),
      },
    ];
  },
};
