import { type ExchangeFact, fieldOf, type RunFacts } from './facts.ts';
import { evidence, lasting, page, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

interface Skew {
  /** Ahead of this host; below 0 behind. */
  ms: number;
  exchange: number;
}

/** The tolerance that Kerberos takes (RFC 4120 section 8.2), far above what HTTP's whole seconds and a slow answer can make up. */
const SKEW_MS = 300_000;

/** Answers that are looked at: the first ones of a run. */
const LOOKED_AT = 3;

/** Answers of the recording that may tell that the primary's clock is right after all. */
const OTHERS = 20;

/**
 * How far the primary's clock is ahead of ours: the least of a few answers. A captured run that is served (`stringtap serve`) has the dates of its
 * recording; what such a primary answers itself, the bootstrap, has the right ones, which no wrong clock gives.
 */
function primarySkew(run: RunFacts): Skew | null {
  const least = leastSkew(
    run,
    run.exchanges.filter(one => one.answeredBy === 'primary' && one.outcome === 'answered').slice(0, LOOKED_AT),
  );
  if (least === null || Math.abs(least.ms) < SKEW_MS) return least;
  const others = leastSkew(run, run.firstAnswers(OTHERS));
  return others === null || Math.abs(others.ms) >= SKEW_MS ? least : null;
}

function leastSkew(run: RunFacts, answers: readonly ExchangeFact[]): Skew | null {
  const seen = answers.flatMap((one): Skew[] => {
    const head = run.head(one.id);
    const date = head === null ? null : fieldOf(head.responseFields, 'date');
    const at = date === null ? Number.NaN : Date.parse(date);
    return Number.isNaN(at)
      ? []
      : [{ ms: at - (Date.parse(one.startedAt) + (head?.headMs ?? one.durationMs)), exchange: one.id }];
  });
  return seen.length === 0 ? null : seen.reduce((a, b) => (Math.abs(b.ms) < Math.abs(a.ms) ? b : a));
}

/**
 * How far the agent's clock is ahead of ours: what its report says happened last lies after the run's first request and before the report is
 * sent, however long anything took.
 */
function agentSkew(run: RunFacts): Skew | null {
  const found = reportOf(run);
  const sent = run.phase('report').at(-1);
  if (found === null || sent === undefined) return null;
  const told = [found.report.at, run.lastLogAt()].flatMap(at => (at === null ? [] : [Date.parse(at)]));
  if (told.length === 0) return null;
  const last = Math.max(...told);
  const behind = Math.min(0, last - Date.parse(run.run.startedAt));
  return { ms: behind < 0 ? behind : Math.max(0, last - Date.parse(sent.startedAt)), exchange: sent.id };
}

export const clockSkew: Rule = {
  id: 'clock-skew',
  severities: ['warning'],
  title: 'the clock of the primary, or of the agent, is not that of this host',
  meaning:
    'Certificates and CRLs are not valid yet, or not any more, to the one whose clock is wrong ("verify time is synchronized"); reports land at the wrong time in PuppetDB.',
  fix: 'synchronise the clocks (chronyc tracking, timedatectl) of the primary, of the agent and of this host; date -u on each says which is wrong',
  threshold: `${SKEW_MS / 1000} s between Date of the primary's answers and this host's clock, or by which the report's last moment lies outside of the run (the tolerance of Kerberos)`,
  page: page('ssl_regenerate_certificates.html'),
  judge(run) {
    return [
      { who: 'primary', skew: primarySkew(run) },
      { who: 'agent', skew: agentSkew(run) },
    ].flatMap(({ who, skew }) =>
      skew === null || Math.abs(skew.ms) < SKEW_MS
        ? []
        : [
            {
              severity: 'warning' as const,
              summary: `the clock of the ${who} is ${lasting(skew.ms)} ${skew.ms > 0 ? 'ahead of' : 'behind'} the clock of this host`,
              evidence: evidence({ exchanges: [skew.exchange], figures: { who, skewMs: Math.round(skew.ms) } }),
            },
          ],
    );
  },
};
