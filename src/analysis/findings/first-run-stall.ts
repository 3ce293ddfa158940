import { fieldOf } from './facts.ts';
import { evidence, page, type Rule } from './finding.ts';

/** Jetty's idle-timeout-milliseconds: what the agent waits for. */
const STALL_S = 30;

/** Fields that something in front of Puppet Server adds, which then ends TLS itself; Puppet Server's Jetty sends none of them. */
const IN_FRONT = ['server', 'via', 'connection', 'keep-alive'] as const;

export const firstRunStall: Rule = {
  id: 'first-run-stall',
  severities: ['info'],
  title: `straight to this primary, the first run would take ${STALL_S} s longer`,
  meaning:
    "After the CSR, Java's TLS 1.3 sends its session tickets behind the answer; Ruby takes them for the begin of another answer and waits until Jetty closes the connection, 30 s later. Through stringtap that does not happen: a first run without it is slower than what is seen here.",
  fix: "nothing to mend in this run; ssl-protocols: [TLSv1.2] in the primary's webserver.conf avoids the pause for agents that go straight to it",
  threshold:
    'a CSR that was sent to a Puppet Server over TLS 1.3 (X-Puppet-Version, and no field of a web server in front of it) by an agent that speaks TLS 1.3',
  page: page('server/config_file_webserver.html'),
  judge(run) {
    const put = run.phase('csr').find(one => one.method === 'PUT' && one.primaryConnection !== null && one.status === 200);
    if (put === undefined) return [];
    const legs = [put.agentConnection, put.primaryConnection].map(id => run.connections.find(one => one.id === id));
    if (legs.some(one => one?.tlsVersion !== 'TLSv1.3')) return [];
    const fields = run.head(put.id)?.responseFields ?? [];
    if (fieldOf(fields, 'x-puppet-version') === null || IN_FRONT.some(name => fieldOf(fields, name) !== null)) return [];
    return [
      {
        severity: 'info',
        summary: `without stringtap this first run would pause ${STALL_S} s after its CSR`,
        evidence: evidence({ exchanges: [put.id], figures: { stallMs: STALL_S * 1000 } }),
      },
    ];
  },
};
