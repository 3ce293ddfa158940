import { counted } from '../words.ts';
import type { ExchangeFact } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';
import { metStaleConnection } from './stale-reuse-failed.ts';

/** What the system says of an address, and what to look at first. Others are told with the rule's own fix. */
const FIXES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is puppetserver up (systemctl status puppetserver), and on this port?',
  ENOTFOUND: 'the name does not resolve on this host: look at --primary, /etc/hosts and the resolver',
  EAI_AGAIN: 'the resolver of this host does not answer',
  ETIMEDOUT: 'nothing answers there: a firewall, a route, or a host that is down',
  EHOSTUNREACH: 'there is no route to that host from here, or it is down',
  ENETUNREACH: 'there is no route to that network from here',
};

export const primaryUnreachable: Rule = {
  id: 'primary-unreachable',
  severities: ['error'],
  title: 'the primary could not be reached, or went away in the middle of an answer',
  meaning:
    'No connection to the primary came to be, or it ended before an answer was whole. The agent got 502 from stringtap, or a part of an answer; on its own it would have met the same.',
  fix: 'look at the log of puppetserver for the time of the request; stringtap doctor --primary HOST tries name, port and TLS',
  threshold:
    'a request for which no connection to the primary could be made, or whose connection ended without a whole answer; not those of stale-reuse-failed',
  page: page('subsystem_agent_primary_comm.html'),
  judge(run) {
    const failed = run.exchanges.flatMap(one => lossOf(one) ?? []);
    const [first] = failed;
    if (first === undefined) return [];
    const { origin, code } = first;
    const what = first.wasReached ? 'ended its connection' : 'could not be reached';
    return [
      {
        severity: 'error',
        summary: `the primary ${quoted(origin)} ${what} for ${counted(failed.length, 'request')} (${quoted(code)}), first for ${first.one.phase}`,
        ...(FIXES[code] !== undefined && { fix: FIXES[code] }),
        evidence: evidence({
          exchanges: failed.map(({ one }) => one.id),
          connections: failed.flatMap(({ one }) => one.primaryConnection ?? []),
          figures: { origin, code },
        }),
      },
    ];
  },
};

interface Loss {
  one: ExchangeFact;
  origin: string;
  wasReached: boolean;
  code: string;
}

/** Why the primary gave no whole answer; `null` for every other outcome. */
function lossOf(one: ExchangeFact): Loss | null {
  const { failure } = one;
  switch (failure?.reason) {
    case 'primary-unreachable':
      return { one, origin: failure.origin, wasReached: false, code: failure.code };
    case 'primary-closed':
      return metStaleConnection(one) ? null : { one, origin: failure.origin, wasReached: true, code: failure.detail };
    default:
      return null;
  }
}
