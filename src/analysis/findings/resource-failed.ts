import { counted } from '../words.ts';
import { neverSettled } from './environment-restart.ts';
import type { RunFacts } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

/** What Puppet's daemon logs of a signal that ends it (daemon.rb, util/at_fork): `Caught TERM; exiting`. */
const CAUGHT = /^Caught [A-Z]{2,6}; exiting$/;

/** Why a run failed in which no resource did. */
function asAWhole(run: RunFacts, completed: boolean | null): { summary: string; fix?: string } {
  const caught = run.logs('Caught ').find(line => CAUGHT.test(line.message));
  if (caught !== undefined) {
    return {
      summary: `the agent was stopped before its catalog was applied to the end: ${quoted(caught.message)}`,
      fix: 'find who stops it in mid-run: a service manager, a reboot, the upgrade of its own package; the next run applies the rest',
    };
  }
  return {
    summary:
      completed === false
        ? 'the run failed before its catalog was applied to the end, and no resource is the reason'
        : 'the report says failed, and has no event that did',
  };
}

export const resourceFailed: Rule = {
  id: 'resource-failed',
  severities: ['error'],
  title: 'a resource could not be brought into its state, or the run failed as a whole',
  meaning:
    'The agent had a catalog and could not apply all of it. What depends on a failed resource is skipped. Why it failed is told in its event, in words that may hold values and are therefore not told again here.',
  fix: 'read what the agent said of it: stringtap show RUN events, or show RUN logs when no resource is named',
  threshold: 'an event with the status failure in the report, or a report that says failed though a catalog came',
  page: page('format_report.html'),
  judge(run) {
    const report = reportOf(run);
    if (report === null) return [];
    const events = run.events(['failure']);
    const resources = [...new Set(events.map(event => event.resource))];
    const hasCatalog = run.phase('catalog').some(one => one.status === 200 && one.outcome === 'answered');
    if (resources.length === 0 && (report.report.status !== 'failed' || !hasCatalog || neverSettled(run))) return [];
    const [first] = resources;
    const more = resources.length > 2 ? `, and ${resources.length - 2} more` : '';
    const named = resources.slice(0, 2).map(quoted).join(', ');
    return [
      {
        severity: 'error',
        fix: `read what the agent said of it: stringtap show r${run.run.id} ${first === undefined ? 'logs' : 'events'}`,
        ...(first === undefined
          ? asAWhole(run, report.report.transactionCompleted)
          : { summary: `${counted(resources.length, 'resource')} failed: ${named}${more}` }),
        evidence: evidence({
          exchanges: [report.exchange],
          rows: events.map(({ exchange, n }) => ({ kind: 'event', exchange, n })),
          figures: { resources: resources.length, resource: first ?? null },
        }),
      },
    ];
  },
};
