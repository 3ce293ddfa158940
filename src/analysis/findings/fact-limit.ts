import { sized } from '../words.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

export const factLimit: Rule = {
  id: 'fact-limit',
  severities: ['warning'],
  title: "the facts are over one of Puppet's soft limits",
  meaning:
    'Every run sends them, the primary parses them for every compilation, and PuppetDB stores them. Puppet warns, but does not say which fact it is.',
  fix: 'facter.conf: blocklist for core facts; for a custom or external fact, its code; the settings number_of_facts_soft_limit, fact_value_length_soft_limit … only silence the warning',
  threshold:
    "Puppet's own soft limits (defaults.rb): 2048 facts, 512 at the top, names of 2560 and values of 4096 characters, 16 MiB in all",
  page: page('configuration.html#number_of_facts_soft_limit'),
  judge(run) {
    const over = run.rows('soft_limit').filter(row => row.exceeded);
    const [first] = over;
    if (first === undefined) return [];
    const costs = run.factCosts().slice(0, 3);
    const worst = costs.map(one => `${quoted(one.name)} (${one.leaves} values, ${sized(one.bytes)})`).join(', ');
    const where = first.path === null ? '' : ` in ${quoted(first.path)}`;
    const [top] = costs;
    return [
      {
        severity: 'warning',
        summary: `${first.setting}: ${first.actual} of ${first.limit}${where}; most of it: ${worst}`,
        ...(top !== undefined && {
          fix: `look at the fact ${quoted(first.path ?? top.name)}: block it in facter.conf (blocklist), or make it smaller; ${first.setting} only silences the warning`,
        }),
        evidence: evidence({
          exchanges: run.phase('catalog').flatMap(one => (over.some(row => row.exchange === one.id) ? [one.id] : [])),
          figures: { setting: first.setting, limit: first.limit, actual: first.actual, fact: first.path ?? top?.name ?? null },
        }),
      },
    ];
  },
};
