import type { ExchangeId } from '../../model.ts';
import type { ReportFact, RunFacts } from './facts.ts';

/** The run's own report: the last one. */
export function reportOf(run: RunFacts): { report: ReportFact; exchange: ExchangeId } | null {
  const sent = run.phase('report').at(-1);
  const report = sent === undefined ? undefined : run.rows('report').find(row => row.exchange === sent.id);
  return sent === undefined || report === undefined ? null : { report, exchange: sent.id };
}
