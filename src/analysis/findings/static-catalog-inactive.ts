import { counted } from '../words.ts';
import { evidence, page, type Rule } from './finding.ts';

export const staticCatalogInactive: Rule = {
  id: 'static-catalog-inactive',
  severities: ['info'],
  title: 'the agent takes static catalogs, but the primary makes none',
  meaning:
    "The catalog has no code_id, so the agent asks for the metadata of the modules' files one by one, and a deploy in the middle of a run changes what it gets. static_catalogs = true alone does not do it: the primary needs the two versioned-code commands.",
  fix: 'code-id-command and code-content-command in versioned-code.conf on the primary (Puppet Enterprise: Code Manager with file sync)',
  threshold: "static_catalog=true was sent, the catalog has no code_id, and the run asked for the metadata of a modules' file",
  page: page('static-catalogs.html'),
  judge(run) {
    const asked = run.rows('catalog_request').find(row => row.staticCatalog === true);
    const catalog = run.rows('catalog').at(-1);
    if (asked === undefined || catalog === undefined || catalog.codeId !== null) return [];
    const files = run.phase('file').filter(one => /\/file_metadatas?\/modules\//.test(one.target));
    const request = run.phase('catalog').find(one => one.id === catalog.exchange);
    if (files.length === 0 || request === undefined) return [];
    return [
      {
        severity: 'info',
        summary: `no static catalog: ${counted(files.length, 'request')} for metadata of modules' files would not be needed`,
        evidence: evidence({ exchanges: [request.id, ...files.map(one => one.id)], figures: { requests: files.length } }),
      },
    ];
  },
};
