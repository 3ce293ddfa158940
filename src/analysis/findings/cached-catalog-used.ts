import { evidence, page, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

export const cachedCatalogUsed: Rule = {
  id: 'cached-catalog-used',
  severities: ['warning', 'info'],
  title: 'the agent applied a catalog from its cache',
  meaning:
    'What was applied is an older catalog: changes of code and data since then are not on the node. A warning when no new one was to be had (on_failure); info when the agent was told to (use_cached_catalog).',
  fix: 'mend what kept the new catalog away; puppet agent --test --no-usecacheonfailure shows it on the node',
  threshold: 'cached_catalog_status of the report is on_failure or explicitly_requested',
  page: page('configuration.html#usecacheonfailure'),
  judge(run) {
    const found = reportOf(run);
    const status = found?.report.cachedCatalogStatus;
    if (found === null || (status !== 'on_failure' && status !== 'explicitly_requested')) return [];
    const version = found.report.configurationVersion;
    const which = version === null ? 'a cached catalog' : `the cached catalog ${version}`;
    return [
      {
        severity: status === 'on_failure' ? 'warning' : 'info',
        summary: `the agent applied ${which}: ${status === 'on_failure' ? 'it got no new one' : 'it was told to'}`,
        ...(status === 'explicitly_requested' && { fix: 'use_cached_catalog = false, when that is not what is wanted' }),
        evidence: evidence({ exchanges: [found.exchange], figures: { status, version } }),
      },
    ];
  },
};
