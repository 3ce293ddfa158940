import { counted } from '../words.ts';
import { evidence, lasting, page, quoted, type Rule } from './finding.ts';

export const environmentRestart: Rule = {
  id: 'environment-restart',
  severities: ['warning'],
  title: 'the run began again, because the primary answered with another environment',
  meaning:
    'The agent asked in one environment, the catalog named another, and the agent synchronised plugins and asked again (up to 4 times). Each try compiles a catalog.',
  fix: "set the agent's environment to the one that the node classifier names, in its puppet.conf; or leave it out on both sides",
  threshold: 'two or more catalogs in one run, and one that names another environment than it was asked in',
  page: page('environments_about.html'),
  judge(run) {
    const asked = run.rows('catalog_request');
    const pairs = run.rows('catalog').flatMap(catalog => {
      const request = asked.find(row => row.exchange === catalog.exchange);
      return request === undefined ? [] : [{ exchange: catalog.exchange, from: request.environment, to: catalog.environment }];
    });
    const other = pairs.find(one => one.from !== null && one.to !== null && one.from !== one.to);
    if (pairs.length < 2 || other === undefined) return [];
    const catalogs = run.phase('catalog').filter(one => pairs.some(pair => pair.exchange === one.id));
    const lost = catalogs.slice(0, -1).reduce((sum, one) => sum + one.durationMs, 0);
    return [
      {
        severity: 'warning',
        summary: `${counted(catalogs.length, 'catalog')} in one run: asked in ${quoted(other.from ?? '')}, answered for ${quoted(other.to ?? '')}; ${lasting(lost)} of compiling for nothing`,
        fix: `environment = ${quoted(other.to ?? '')} in the agent's puppet.conf, as the node classifier says`,
        evidence: evidence({
          exchanges: catalogs.map(one => one.id),
          figures: { asked: other.from, answered: other.to, lostMs: Math.round(lost) },
        }),
      },
    ];
  },
};
