import { counted } from '../words.ts';
import { evidence, lasting, page, type Rule } from './finding.ts';

/** From here on a static catalog would save more than the rest of an unchanged run asks for (9 requests). */
const STORM = 50;

export const metadataStorm: Rule = {
  id: 'metadata-storm',
  severities: ['warning'],
  title: 'the agent asked for the metadata of each file by itself',
  meaning:
    "Every file resource with a puppet:/// source asks the primary once a run, changed or not, one after the other. A static catalog brings the metadata of the modules' files along, and these requests are gone.",
  fix: "static catalogs: static_catalogs = true (the default), and code-id-command and code-content-command in the primary's versioned-code.conf; or content => file(…) for small files",
  threshold: `more than ${STORM} file_metadata(s) requests after a catalog without code_id (an unchanged run has 9 requests in all)`,
  page: page('static-catalogs.html'),
  judge(run) {
    const catalog = run.rows('catalog').at(-1);
    if (catalog === undefined || catalog.codeId !== null) return [];
    const asked = run.phase('file').filter(one => /\/file_metadatas?\//.test(one.target));
    if (asked.length <= STORM) return [];
    const ms = asked.reduce((sum, one) => sum + one.durationMs, 0);
    const modules = asked.filter(one => /\/file_metadatas?\/modules\//.test(one.target)).length;
    return [
      {
        severity: 'warning',
        summary: `${counted(asked.length, 'request')} for file metadata took ${lasting(ms)}; ${modules} of them a static catalog saves`,
        evidence: evidence({
          exchanges: asked.map(one => one.id),
          figures: { requests: asked.length, modules, ms: Math.round(ms) },
        }),
      },
    ];
  },
};
