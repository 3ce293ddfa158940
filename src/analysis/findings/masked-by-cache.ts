import { evidence, page, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

export const maskedByCache: Rule = {
  id: 'masked-by-cache',
  severities: ['error'],
  title: 'the report says that all is well, but the catalog failed and an old one was applied',
  meaning:
    "Monitoring that looks at the report's status sees changed or unchanged, and nobody learns that the node has stopped following its code (PUP-917). The only trace is cached_catalog_status.",
  fix: 'alert on cached_catalog_status = on_failure, or set usecacheonfailure = false so that the run fails; then mend the catalog',
  threshold: 'report status changed or unchanged with cached_catalog_status on_failure',
  page: page('configuration.html#usecacheonfailure'),
  judge(run) {
    const found = reportOf(run);
    const status = found?.report.status ?? null;
    if (found === null || found.report.cachedCatalogStatus !== 'on_failure') return [];
    if (status !== 'changed' && status !== 'unchanged') return [];
    const failed = run.phase('catalog').filter(one => one.outcome !== 'answered' || one.status !== 200);
    const last = failed.at(-1);
    const ours = typeof last?.fault === 'string' ? ', a fault on purpose' : '';
    const why = last === undefined ? '' : ` (${last.status ?? 'no answer'} to the catalog request${ours})`;
    return [
      {
        severity: 'error',
        summary: `the report says ${status}, but there was no new catalog${why}: an old one was applied`,
        evidence: evidence({ exchanges: [...failed.map(one => one.id), found.exchange], figures: { status } }),
      },
    ];
  },
};
