import { sized } from '../words.ts';
import { evidence, page, type Rule } from './finding.ts';

/** Default of nginx's client_max_body_size: a report that is larger does not pass it. */
const LARGE_BYTES = 1 << 20;

export const reportLarge: Rule = {
  id: 'report-large',
  severities: ['warning'],
  title: 'the report is very large',
  meaning:
    'Every run sends it and PuppetDB stores it. Web servers and PuppetDB refuse what is over their limits, and then the node seems to have stopped running. Most of a Puppet 7 report tells of resources that did not change.',
  fix: "exclude_unchanged_resources = true in the agent's puppet.conf (Puppet 8's default); recurse => true over large folders and very long diffs are the other reasons",
  threshold: "over 1 MiB, nginx's default client_max_body_size (PuppetDB's own limit is a 205th of its heap)",
  page: page('configuration.html#exclude_unchanged_resources'),
  judge(run) {
    const sent = run.phase('report').filter(one => one.requestBytes > LARGE_BYTES);
    const last = sent.at(-1);
    if (last === undefined) return [];
    return [
      {
        severity: 'warning',
        summary: `the report has ${sized(last.requestBytes)}, nginx takes ${sized(LARGE_BYTES)} unless told otherwise`,
        evidence: evidence({ exchanges: sent.map(one => one.id), figures: { bytes: last.requestBytes } }),
      },
    ];
  },
};
