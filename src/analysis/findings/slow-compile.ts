import type { ExchangeFact, RunFacts } from './facts.ts';
import { evidence, lasting, page, type Rule } from './finding.ts';

/** Earlier catalogs that are needed to know what is usual, and how many are looked at. */
const ENOUGH = 5;
const LOOKED_AT = 20;
/** A first compilation after a start of the primary, or of a new environment, is some times slower: JRuby is cold. */
const TIMES = 3;
const ABOVE_MS = 10_000;
/** A tenth of http_read_timeout (10 min): without a history, what nobody would call usual. */
const ABSOLUTE_MS = 60_000;
/** Default of http_read_timeout (defaults.rb): the agent then gives up. */
const GIVES_UP_MS = 600_000;

/** The setting may be shorter: then the agent's own log says that it left (http/client.rb). */
function gaveUp(run: RunFacts, { outcome }: ExchangeFact): boolean {
  return outcome === 'abandoned' && run.logs('timed out read operation').some(line => line.message.includes('/v3/catalog/'));
}

export const slowCompile: Rule = {
  id: 'slow-compile',
  severities: ['error', 'warning'],
  title: 'the catalog took much longer than usual for this node',
  meaning:
    'Either the primary was loaded (a queue for JRuby, a slow PuppetDB or node classifier behind it), or the code got slow. At http_read_timeout (10 min) the agent gives up: that is an error.',
  fix: 'puppetserver-access.log has the borrow time of each request: a long one is queueing (splay, more JRuby instances), a short one is the code (profiler-enabled in puppetserver.conf)',
  threshold: `over ${TIMES} times and ${ABOVE_MS / 1000} s above the median of at least ${ENOUGH} earlier catalogs of this node and environment, and above each of them; without so many: over ${ABSOLUTE_MS / 1000} s, a tenth of http_read_timeout`,
  page: page('server/tuning_guide.html'),
  judge(run) {
    const catalogs = run.phase('catalog').filter(one => one.fault === null);
    const late = catalogs.find(
      one =>
        one.outcome !== 'answered' &&
        (one.failure?.reason === 'primary-timeout' || one.durationMs >= GIVES_UP_MS - 1_000 || gaveUp(run, one)),
    );
    if (late !== undefined) {
      const summary = `no catalog after ${lasting(late.durationMs)}: http_read_timeout was over`;
      return [
        {
          severity: 'error',
          summary,
          evidence: evidence({ exchanges: [late.id], figures: { ms: Math.round(late.durationMs) } }),
        },
      ];
    }
    const [slowest] = catalogs.filter(one => one.status === 200).sort((a, b) => b.durationMs - a.durationMs);
    if (slowest === undefined) return [];
    const environment = run.rows('catalog_request').find(row => row.exchange === slowest.id)?.environment ?? null;
    const history = run
      .earlierCatalogs(LOOKED_AT)
      .filter(one => environment === null || one.environment === environment)
      .map(one => one.durationMs)
      .sort((a, b) => a - b);
    const { durationMs } = slowest;
    const median = history[(history.length - 1) >> 1] ?? 0;
    const known = history.length >= ENOUGH;
    const slow = known
      ? durationMs > TIMES * median && durationMs > median + ABOVE_MS && durationMs > (history.at(-1) ?? 0)
      : durationMs > ABSOLUTE_MS;
    if (!slow) return [];
    return [
      {
        severity: 'warning',
        summary: `the catalog took ${lasting(durationMs)}${known ? `; usual for this node: ${lasting(median)}` : ''}`,
        evidence: evidence({
          exchanges: [slowest.id],
          figures: { ms: Math.round(durationMs), medianMs: known ? Math.round(median) : null, earlier: history.length },
        }),
      },
    ];
  },
};
