import { counted } from '../words.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

export const midRunDeploy: Rule = {
  id: 'mid-run-deploy',
  severities: ['warning'],
  title: 'a file changed on the primary while the run was under way',
  meaning:
    'What the primary said of a file (its checksum) and what it then served differ: code was deployed in between. The catalog is of the old code and the file of the new, and the resource fails or the node is a mixture until its next run.',
  fix: 'nothing on the node: the next run mends it. Static catalogs (code_id) tie the files to the catalog; deploy into new environments rather than over those in use',
  threshold:
    'content that does not have the checksum that metadata of the same run promised, or 404 for content whose metadata the run had',
  page: page('static-catalogs.html'),
  judge(run) {
    const contents = run.rows('file_content').filter(row => row.side === 'response' && row.verdict === 'mismatch');
    const changed = run.exchanges.filter(one => contents.some(row => row.exchange === one.id && row.promisedBy !== null));
    const gone = run.phase('file').filter(one => one.status === 404 && one.answeredBy === 'primary' && promised(one));
    const [first] = [...changed, ...gone];
    if (first === undefined) return [];

    /** file_content of a key whose file_metadata was answered with 200 before it. */
    function promised(one: (typeof run.exchanges)[number]): boolean {
      const key = /\/file_content\/([^?]*)/.exec(one.target)?.[1];
      return (
        key !== undefined &&
        run
          .phase('file')
          .some(
            other =>
              other.id < one.id &&
              other.status === 200 &&
              (other.target.split('?', 1)[0] ?? '').endsWith(`/file_metadata/${key}`),
          )
      );
    }
    const onlyStatic = gone.length === 0 && changed.every(one => one.target.includes('/static_file_content/'));
    const key = quoted(run.head(first.id)?.key ?? first.target);
    return [
      {
        severity: 'warning',
        ...(onlyStatic && {
          fix: 'the primary gave another version than the one of the code_id that was asked for: code-content-command (puppetserver.conf, versioned-code) has to read the file as of that code_id',
        }),
        summary: `${counted(changed.length + gone.length, 'file')} changed on the primary during the run, first ${key}`,
        evidence: evidence({
          exchanges: [...changed, ...gone].map(one => one.id),
          figures: { changed: changed.length, gone: gone.length },
        }),
      },
    ];
  },
};
