import { foldReuse } from '../reuse.ts';
import { AGENT_KEEPALIVE_MS, advise, JETTY_IDLE_MS } from '../reuse-advice.ts';
import { counted } from '../words.ts';
import { evidence, page, type Rule } from './finding.ts';

/** One close may be a restart of the primary, or its answer to a request that it did not read. */
const CLOSES = 3;

export const serverCloses: Rule = {
  id: 'server-closes',
  severities: ['warning'],
  title: 'the primary, or what stands in front of it, closes connections right after its answers',
  meaning:
    'Each request then pays TCP and TLS. Puppet Server keeps connections open for 30 s; a load balancer or web server in front of it often does not (PUP-744, PUP-10347).',
  fix: 'turn HTTP keep-alive on in the load balancer or web server in front of the primary, with an idle time above 30 s',
  threshold: `${CLOSES} or more connections of one run closed by the primary's side at once after an answer, or for being idle sooner than the agents' own 4 s`,
  page: page('subsystem_agent_primary_comm.html'),
  judge(run) {
    const reuse = foldReuse(run.connections, run.exchanges, one => one.run === run.run.id);
    const closed = reuse.connections.filter(
      ({ facts, ending, idleBeforeCloseMs }) =>
        facts.leg === 'primary' &&
        facts.closedBy === 'primary' &&
        (ending === 'connection-close' ||
          ending === 'primary-at-once' ||
          (ending === 'primary-idle-limit' && (idleBeforeCloseMs ?? JETTY_IDLE_MS) < AGENT_KEEPALIVE_MS)),
    );
    if (closed.length < CLOSES) return [];
    const [advice] = advise(reuse).filter(one => one.leg === 'primary');
    return [
      {
        severity: 'warning',
        summary: `the primary's side closed ${counted(closed.length, 'connection')} of this run after ${counted(
          closed.reduce((sum, one) => sum + one.uses.filter(use => use.counted).length, 0),
          'answer',
        )}`,
        ...(advice !== undefined && { fix: `${advice.change} (${advice.where ?? 'the load balancer'})` }),
        evidence: evidence({
          exchanges: closed.flatMap(one => one.uses.findLast(use => use.counted)?.exchange ?? []),
          connections: closed.map(one => one.facts.id),
          figures: { closed: closed.length },
        }),
      },
    ];
  },
};
