import { counted } from '../words.ts';
import { fieldOf } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

export const serverBusy: Rule = {
  id: 'server-busy',
  severities: ['error'],
  title: 'the primary was too busy: 503 or 429',
  meaning: `Puppet Server's queue for JRuby instances is full (max-queued-requests), or a load balancer has no primary left. With Retry-After a Puppet 7 agent may even crash ("attempt to read body out of block").`,
  fix: "splay = true in the agents' puppet.conf, so that they do not all come at once; then max-active-instances and memory of the primary, or a further compiler",
  threshold: 'an answer of 503 or 429 that stringtap did not make',
  page: page('server/tuning_guide.html'),
  judge(run) {
    const busy = run.exchanges.filter(one => one.answeredBy === 'primary' && (one.status === 503 || one.status === 429));
    const [first] = busy;
    if (first === undefined) return [];
    const head = run.head(first.id);
    const after = head === null ? null : fieldOf(head.responseFields, 'retry-after');
    return [
      {
        severity: 'error',
        summary: `the primary was too busy for ${counted(busy.length, 'request')} (${first.status}${
          after === null ? '' : `, Retry-After: ${quoted(after)}`
        }), first for ${first.phase}`,
        evidence: evidence({ exchanges: busy.map(one => one.id), figures: { status: first.status, retryAfter: after } }),
      },
    ];
  },
};
