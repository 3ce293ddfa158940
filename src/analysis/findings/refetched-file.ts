import { counted, sized } from '../words.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';
import { reportOf } from './reports.ts';

/** Earlier runs that are looked at, and in how many of them the file came, too. */
const LOOKED_AT = 5;
const TIMES = 2;

export const refetchedFile: Rule = {
  id: 'refetched-file',
  severities: ['info'],
  title: 'the same file content is fetched again and again',
  meaning:
    'An agent fetches content only when the file on the node differs. The same bytes at several runs mean that something else changes the file in between, or that the node loses what it had.',
  fix: "find who else writes the file (the report's events have its checksums), or let one of the two go: replace => false",
  threshold: `the same bytes under the same key in this run and in ${TIMES} of the ${LOOKED_AT} runs before it; noop runs and runs that enrol are left out, which fetch for other reasons`,
  page: page('types/file.html'),
  judge(run) {
    if (reportOf(run)?.report.noop === true || run.phase('csr').length > 0) return [];
    const again = run.fetchedAgain(LOOKED_AT).filter(one => one.runs >= TIMES);
    const [first] = again;
    if (first === undefined) return [];
    const bytes = again.reduce((sum, one) => sum + one.bytes, 0);
    return [
      {
        severity: 'info',
        summary: `${counted(again.length, 'file')} (${sized(bytes)}) fetched again as in earlier runs, first ${quoted(first.key)}`,
        evidence: evidence({
          exchanges: run.exchanges.flatMap(one => (again.some(row => row.exchange === one.id) ? [one.id] : [])),
          figures: { files: again.length, bytes },
        }),
      },
    ];
  },
};
