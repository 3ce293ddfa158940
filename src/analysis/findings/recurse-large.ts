import type { ExchangeId } from '../../model.ts';
import { evidence, page, quoted, type Rule } from './finding.ts';

/** Puppet's own soft limit of max_files (lib/puppet/file_serving/fileset.rb, PUP-10946). */
const SOFT_LIMIT = 1_000;

export const recurseLarge: Rule = {
  id: 'recurse-large',
  severities: ['warning'],
  title: 'a File resource recurses over very many files',
  meaning:
    'Each file below it becomes a resource of its own, is looked at on every run, and is in every report. That is time on the node, memory, and a long run (a module went from 350 s to 11 s without it).',
  fix: "recurselimit, or an archive or package in place of recurse => true; max_files => -1 only silences Puppet's warning",
  threshold: `more than ${SOFT_LIMIT} entries: Puppet's own soft limit of max_files`,
  page: page('types/file.html#file-attribute-max_files'),
  judge(run) {
    const listings = run.listings(SOFT_LIMIT);
    const generated = run.generatedFiles();
    const warned = run.logs('exceeds the default soft limit');
    const sizes = listings.map(one => `${quoted(one.what)}: ${one.entries} entries`);
    const [said] = warned;
    const what =
      sizes[0] ??
      (said !== undefined
        ? quoted(said.message)
        : generated > SOFT_LIMIT
          ? `${generated} files that the catalog does not name`
          : null);
    if (what === null) return [];
    const exchanges = new Set([...listings.map(one => one.exchange), ...warned.map(one => one.exchange)]);
    const ids: ExchangeId[] = run.exchanges.filter(one => exchanges.has(one.id)).map(one => one.id);
    return [
      {
        severity: 'warning',
        summary: `a File resource recurses over more than ${SOFT_LIMIT} files: ${what}`,
        evidence: evidence({
          exchanges: ids.length > 0 ? ids : run.phase('report').map(one => one.id),
          rows: warned.map(({ exchange, n }) => ({ kind: 'log_line', exchange, n })),
          figures: { listings: listings.length, entries: listings[0]?.entries ?? null, generated },
        }),
      },
    ];
  },
};
