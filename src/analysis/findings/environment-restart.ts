import { counted } from '../words.ts';
import type { RunFacts } from './facts.ts';
import { evidence, lasting, page, quoted, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

interface Answered {
  exchange: number;
  from: string | null;
  to: string | null;
}

/** Catalogs with the environment in which each was asked for, and that it names. */
function answersOf(run: RunFacts): Answered[] {
  const asked = run.rows('catalog_request');
  return run.rows('catalog').flatMap(catalog => {
    const request = asked.find(row => row.exchange === catalog.exchange);
    return request === undefined ? [] : [{ exchange: catalog.exchange, from: request.environment, to: catalog.environment }];
  });
}

function isOther({ from, to }: Answered): boolean {
  return from !== null && to !== null && from !== to;
}

/** Whether each catalog named another environment than it was asked in, until the agent gave up (configurer.rb: `didn't stabilize after 4 fetches`). */
export function neverSettled(run: RunFacts): boolean {
  const answers = answersOf(run);
  return answers.length > 1 && answers.every(isOther) && reportOf(run)?.report.status === 'failed';
}

export const environmentRestart: Rule = {
  id: 'environment-restart',
  severities: ['error', 'warning'],
  title: 'the run began again, because the primary answered with another environment',
  meaning:
    'The agent asked in one environment, the catalog named another, and the agent synchronised plugins and asked again (up to 4 times). Each try compiles a catalog. An error when each of them named another one again, and the agent gave up: it has applied nothing.',
  fix: "set the agent's environment to the one that the node classifier names, in its puppet.conf; or leave it out on both sides",
  threshold: 'two or more catalogs in one run, and one that names another environment than it was asked in',
  page: page('environments_about.html'),
  judge(run) {
    const pairs = answersOf(run);
    const other = pairs.find(isOther);
    if (pairs.length < 2 || other === undefined) return [];
    const catalogs = run.phase('catalog').filter(one => pairs.some(pair => pair.exchange === one.id));
    const sum = (some: typeof catalogs): number => some.reduce((total, one) => total + one.durationMs, 0);
    if (neverSettled(run)) {
      const named = [...new Set(pairs.map(pair => pair.to ?? ''))];
      const lost = sum(catalogs);
      return [
        {
          severity: 'error',
          summary: `${counted(catalogs.length, 'catalog')} in one run, each for another environment than it was asked in (${named.slice(0, 5).map(quoted).join(', ')}): the agent gave up; ${lasting(lost)} of compiling for nothing`,
          fix: 'the node classifier has to name the same environment each time that it is asked for this node',
          evidence: evidence({
            exchanges: catalogs.map(one => one.id),
            figures: { asked: other.from, answered: other.to, lostMs: Math.round(lost) },
          }),
        },
      ];
    }
    const lost = sum(catalogs.slice(0, -1));
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
