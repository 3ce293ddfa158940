import { counted } from '../words.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Rules that the summary names. */
const NAMED = 3;

export const faultsInjected: Rule = {
  id: 'faults-injected',
  severities: ['info'],
  title: 'faults on purpose were part of this run (--fault)',
  meaning:
    'stringtap was told to delay, cut, slow down, answer or leave unanswered some of its requests. What this run shows is how the agent takes that; it is no sign of what the primary does. docs/faults.md says what each fault is.',
  fix: 'a run without --fault shows the primary itself',
  threshold: 'an exchange that a rule of --fault took',
  page: page('subsystem_agent_primary_comm.html'),
  judge(run) {
    const taken = run.exchanges.filter(one => one.fault !== null);
    if (taken.length === 0) return [];
    const rules = [...Map.groupBy(taken, one => one.fault ?? '')].map(([rule, some]) => ({ rule, count: some.length }));
    const named = rules.slice(0, NAMED).map(({ rule, count }) => `${quoted(rule)} (${count})`);
    const more = rules.length > NAMED ? ` and ${counted(rules.length - NAMED, 'rule')} more` : '';
    return [
      {
        severity: 'info',
        summary: `${counted(taken.length, 'request')} met a fault on purpose: ${named.join(', ')}${more}`,
        evidence: evidence({
          exchanges: taken.map(one => one.id),
          figures: { requests: taken.length, rules: rules.length, rule: quoted(rules[0]?.rule ?? '') },
        }),
      },
    ];
  },
};
