import { sized } from '../words.ts';
import { missingEnvironment } from './environment-missing.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Told by auth-denied and server-busy. */
const OTHERS: ReadonlySet<number> = new Set([403, 429, 503]);

export const reportRejected: Rule = {
  id: 'report-rejected',
  severities: ['error'],
  title: 'the primary did not take the report',
  meaning:
    'The run happened, but nobody will know: no report in PuppetDB or the console, and the node looks as if it had stopped running. The agent prints it and goes on.',
  fix: "413: client_max_body_size of the web server in front of the primary, or exclude_unchanged_resources = true; 415: preferred_serialization_format = json on the agent; 500: the report processors (reports in the primary's puppet.conf)",
  threshold: 'PUT report answered with 400 or above (but 403, 429 and 503), or cut off',
  page: page('reporting_about.html'),
  judge(run) {
    if (missingEnvironment(run) !== null) return [];
    const sent = run.phase('report').at(-1);
    if (sent === undefined || sent.outcome === 'abandoned' || OTHERS.has(sent.status ?? 0)) return [];
    const cut = sent.failure?.reason === 'primary-closed' || sent.failure?.reason === 'primary-timeout';
    if (!cut && !(sent.answeredBy === 'primary' && (sent.status ?? 0) >= 400)) return [];
    const said = run.rows('refusal').find(row => row.exchange === sent.id && sent.answeredBy === 'primary')?.message ?? null;
    const what = cut ? 'the connection was cut' : `status ${sent.status}${said === null ? '' : `, ${quoted(said)}`}`;
    return [
      {
        severity: 'error',
        summary: `the report (${sized(sent.requestBytes)}) was not taken: ${what}`,
        evidence: evidence({ exchanges: [sent.id], figures: { status: sent.status, bytes: sent.requestBytes } }),
      },
    ];
  },
};
