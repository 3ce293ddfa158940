import { sized } from '../words.ts';
import { fieldOf } from './facts.ts';
import { evidence, page, type Rule } from './finding.ts';

/** A small answer is one TCP segment, compressed or not. */
const BODY_BYTES = 10_000;
/** Less of them in a run is not worth a look. */
const RUN_BYTES = 100_000;

const TEXT: ReadonlySet<string> = new Set(['json', 'rich-json', 'pson', 'yaml', 'text', 'pem', 'html']);

export const uncompressed: Rule = {
  id: 'uncompressed',
  severities: ['info'],
  title: 'large answers came uncompressed, though the agent takes gzip',
  meaning:
    "Puppet Server compresses every answer of 32 bytes and more to a GET or POST. Text that comes without gzip has passed something that takes the compression, or the agent's Accept-Encoding, away: JSON then takes several times the bytes.",
  fix: 'look at the load balancer or web server in front of the primary: it must pass Accept-Encoding on, and leave Content-Encoding alone',
  threshold: `text answers of over ${BODY_BYTES / 1000} kB without a content coding, together over ${RUN_BYTES / 1000} kB in the run, to requests that accept gzip; not in a capture made of a HAR, whose bodies are decoded`,
  page: page('http_api/http_api_index.html'),
  judge(run) {
    if (run.imported) return [];
    const bodies = run
      .rows('body')
      .filter(row => row.side === 'response' && row.codings.length === 0 && row.bytes > BODY_BYTES && TEXT.has(row.format));
    const plain = run.exchanges.filter(
      one =>
        one.answeredBy === 'primary' &&
        one.status === 200 &&
        (one.method === 'GET' || one.method === 'POST') &&
        bodies.some(row => row.exchange === one.id),
    );
    const bytes = plain.reduce((sum, one) => sum + one.responseBytes, 0);
    const [first] = plain;
    if (first === undefined || bytes <= RUN_BYTES) return [];
    if (!/\bgzip\b/.test(fieldOf(run.head(first.id)?.requestFields ?? [], 'accept-encoding') ?? '')) return [];
    return [
      {
        severity: 'info',
        summary: `${sized(bytes)} of text in ${plain.length} answers came uncompressed`,
        evidence: evidence({ exchanges: plain.map(one => one.id), figures: { bytes, answers: plain.length } }),
      },
    ];
  },
};
