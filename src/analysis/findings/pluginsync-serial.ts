import { counted, sized } from '../words.ts';
import { evidence, lasting, page, type Rule } from './finding.ts';

/** "Hundreds" of PUP-744. */
const FILES = 100;
/** More than a whole run of an agent that has its plugins (2.7 to 4.4 s). */
const FELT_MS = 5_000;

export const pluginsyncSerial: Rule = {
  id: 'pluginsync-serial',
  severities: ['warning', 'info'],
  title: 'pluginsync fetched many files one after the other',
  meaning:
    'Plugins come one request at a time, so each costs at least a round trip: on a slow line the first run takes minutes (PUP-744). Later runs fetch only what changed.',
  fix: "install what all nodes need with the image (the agent's libdir), keep unused modules out of the environment, or put a compiler near the nodes",
  threshold: `${FILES} or more plugin files in one run; a warning from ${FELT_MS / 1000} s (an agent that has its plugins needs 3 to 4 s for a whole run)`,
  page: page('plugins_in_modules.html'),
  judge(run) {
    const files = run.phase('pluginsync').filter(one => one.target.includes('/file_content/') && one.fault === null);
    if (files.length < FILES) return [];
    const ms = files.reduce((sum, one) => sum + one.durationMs, 0);
    const bytes = files.reduce((sum, one) => sum + one.responseBytes, 0);
    return [
      {
        severity: ms >= FELT_MS ? 'warning' : 'info',
        summary: `${counted(files.length, 'plugin file')} (${sized(bytes)}) came one by one in ${lasting(ms)}, ${Math.round(ms / files.length)} ms each`,
        evidence: evidence({ exchanges: files.map(one => one.id), figures: { files: files.length, bytes, ms: Math.round(ms) } }),
      },
    ];
  },
};
