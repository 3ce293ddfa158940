import type { RunFacts } from './facts.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Puppet's words: `environments.rb` (EnvironmentNotFound) and `network/http/api/indirected_routes.rb`. */
const MISSING =
  /Could not find (?:a directory )?environment (?:named )?['"]?([\w.-]{1,200})|environment ['"]?([\w.-]{1,200})['"]? (?:not found|does not exist)/i;

/** The environment that the primary does not have, and where it says so. */
export function missingEnvironment(run: RunFacts): { name: string; exchanges: number[] } | null {
  const rows = run.rows('refusal').flatMap(row => {
    const match = MISSING.exec((row.message ?? '').slice(0, 2000));
    return match === null ? [] : [{ name: match[1] ?? match[2] ?? '', exchange: row.exchange }];
  });
  const [first] = rows;
  return first === undefined ? null : { name: first.name, exchanges: rows.map(row => row.exchange) };
}

export const environmentMissing: Rule = {
  id: 'environment-missing',
  severities: ['error', 'warning'],
  title: 'the agent asked for an environment that the primary does not have',
  meaning:
    "Plugins are not synchronised and no catalog is compiled in it. A warning when a catalog came all the same: the primary's node classifier named another environment.",
  fix: "deploy the environment (r10k deploy environment NAME), or correct environment in the agent's puppet.conf or in the node classifier",
  threshold: 'an answer that says that the environment cannot be found',
  page: page('environments_about.html'),
  judge(run) {
    const missing = missingEnvironment(run);
    if (missing === null) return [];
    const name = quoted(missing.name);
    const compiled = run.phase('catalog').some(one => one.status === 200);
    const exchanges = run.exchanges.filter(one => missing.exchanges.includes(one.id)).map(one => one.id);
    return [
      {
        severity: compiled ? 'warning' : 'error',
        summary: `the primary has no environment ${name}${compiled ? '; the catalog came from another one' : ''}`,
        fix: `on the primary: puppet config print environmentpath, and deploy ${name} there; or set another environment in the agent's puppet.conf`,
        evidence: evidence({ exchanges, figures: { environment: name } }),
      },
    ];
  },
};
