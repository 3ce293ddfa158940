import { fieldOf } from './facts.ts';
import { evidence, page, type Rule } from './finding.ts';

export const binaryFallback: Rule = {
  id: 'binary-fallback',
  severities: ['warning'],
  title: 'the catalog came as PSON, though the agent wanted JSON',
  meaning:
    'Something in the catalog is no valid UTF-8 (file() of a binary file, most often), which JSON cannot carry. PSON is slow, and Puppet 8 has none: there the same catalog fails.',
  fix: 'binary_file() in place of file() for content, or source => for the file; allow_pson_serialization = false on the primary makes it an error that names the parameter',
  threshold: 'Content-Type text/pson for a catalog whose request named JSON first',
  page: page('configuration.html#allow_pson_serialization'),
  judge(run) {
    const bodies = run.rows('body');
    const fallen = run.phase('catalog').filter(one => {
      if (one.status !== 200) return false;
      const body = bodies.find(row => row.exchange === one.id && row.side === 'response');
      const accept = body?.format === 'pson' ? fieldOf(run.head(one.id)?.requestFields ?? [], 'accept') : null;
      const wanted = accept?.split(',')[0] ?? '';
      return /json/.test(wanted) && !/pson/.test(wanted);
    });
    if (fallen.length === 0) return [];
    return [
      {
        severity: 'warning',
        summary: 'the catalog came as PSON: something in it is no valid UTF-8',
        evidence: evidence({ exchanges: fallen.map(one => one.id) }),
      },
    ];
  },
};
