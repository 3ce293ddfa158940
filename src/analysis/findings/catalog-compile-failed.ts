import { missingEnvironment } from './environment-missing.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Refusals that are no matter of the compiler, each with a rule of its own: access, load. */
const OTHERS: ReadonlySet<number> = new Set([401, 403, 429, 502, 503, 504]);

/** What the compiler says before what went wrong. */
const WRAPPED = /^Evaluation Error: (?:Error while evaluating an? [A-Za-z ]{1,60}, )?/;

export const catalogCompileFailed: Rule = {
  id: 'catalog-compile-failed',
  severities: ['error'],
  title: 'the primary could not compile the catalog',
  meaning:
    "The node gets no new catalog: with usecacheonfailure (the default of the daemon) it applies the last one again, with --test it stops. The message is the compiler's own; the place is the innermost that it names.",
  fix: 'correct the manifest or the data at that place; puppet parser validate FILE finds syntax errors, and a changed file may need a code deploy',
  threshold: 'any answer of 400 or above to POST catalog but 401, 403, 429, 502, 503 and 504',
  page: page('lang_summary.html'),
  judge(run) {
    if (missingEnvironment(run) !== null) return [];
    const failed = run
      .phase('catalog')
      .filter(one => one.answeredBy === 'primary' && (one.status ?? 0) >= 400 && !OTHERS.has(one.status ?? 0));
    const last = failed.at(-1);
    if (last === undefined) return [];
    const refusal = run.rows('refusal').find(row => row.exchange === last.id);
    const words = (refusal?.error ?? refusal?.message)?.replace(WRAPPED, '') ?? `status ${last.status}, without a message`;
    const file = refusal?.file ?? null;
    const line = refusal?.line ?? null;
    const place = file === null ? '' : ` (${file}${line === null ? '' : `:${line}`})`;
    const [good] = run.earlierCatalogs(1);
    const figures = { file, line, resource: refusal?.resource ?? null, lastGoodRun: good?.run ?? null };
    return [
      {
        severity: 'error',
        summary: `the catalog did not compile: ${quoted(words)}${place}`,
        ...(file !== null && { fix: `correct ${file}${line === null ? '' : ` at line ${line}`}, and deploy it` }),
        evidence: evidence({ exchanges: failed.map(one => one.id), figures }),
      },
    ];
  },
};
