import { counted } from '../words.ts';
import type { EventFact } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

/** Twice may be a change and its correction; three in a row is a habit. */
const RUNS = 3;

/** A notify counts as a change at each run, by design (types/notify). */
const BY_DESIGN = /^Notify\[/;

export const notIdempotent: Rule = {
  id: 'not-idempotent',
  severities: ['warning', 'info'],
  title: 'the same resource changes at every run',
  meaning:
    'Puppet finds it wrong each time: its code is not idempotent (an exec without unless or onlyif), two resources fight, or something else on the node changes it back. Real changes drown in it. Info when it is only a notify resource, which always counts as a change.',
  fix: 'exec: unless, onlyif, creates or refreshonly; a file that somebody else writes: replace => false, or leave it to the other; notify resource: notice() in its place',
  threshold: `the same property of the same resource changed in ${RUNS} reports in a row of this node, noop runs left out`,
  page: page('types/exec.html'),
  judge(run) {
    const report = reportOf(run);
    if (report === null || report.report.noop === true) return [];
    const now = run.events(['success']);
    if (now.length === 0) return [];
    const earlier = run.earlierEvents(RUNS - 1, ['success']);
    if (earlier.length < RUNS - 1) return [];
    const sets = earlier.map(events => new Set(events.map(nameOf)));
    const again = now.filter(event => sets.every(set => set.has(nameOf(event))));
    const real = again.filter(event => !BY_DESIGN.test(event.resource));
    const some = real.length > 0 ? real : again;
    const [first] = some;
    if (first === undefined) return [];
    const resources = new Set(some.map(event => event.resource)).size;
    return [
      {
        severity: real.length > 0 ? 'warning' : 'info',
        summary: `${counted(resources, 'resource')} changed in each of the last ${RUNS} runs: ${quoted(first.resource)}${
          first.property === null ? '' : ` ${quoted(first.property)}`
        }`,
        ...(real.length === 0 && { fix: 'notice() in place of a notify resource: it logs on the primary, and is no change' }),
        evidence: evidence({
          exchanges: [report.exchange],
          rows: some.map(({ exchange, n }) => ({ kind: 'event', exchange, n })),
          figures: { runs: RUNS, resources, resource: first.resource, property: first.property },
        }),
      },
    ];
  },
};

function nameOf({ resource, property }: EventFact): string {
  return `${resource}\n${property ?? ''}`;
}
