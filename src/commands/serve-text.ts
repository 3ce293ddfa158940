import { counted } from '../analysis/words.ts';
import type { Difference, NearMiss } from '../replay/match.ts';
import type { Miss, ServedAnswer, ServedAs, ServeSummary } from '../replay/serve-shapes.ts';
import { idText } from './ids.ts';
import { printable } from './io.ts';
import { clip, clock, duration } from './present.ts';

/** One line an answer. */
export function answerLine({ at, certname, phase, method, target, status, tookMs, as }: ServedAnswer): string {
  const parts = [
    clock(at),
    (certname ?? '-').padEnd(20),
    phase.padEnd(11),
    method.padEnd(4),
    String(status ?? 'cut').padEnd(4),
    duration(tookMs).padStart(8),
    wordOf(as).padEnd(8),
    printable(clip(target.split('?', 1)[0]!, 100)),
  ];
  return [parts.join(' '), ...moreOf(as)].join('\n');
}

/** Where the answer is from: `e14`, `=e14` for a content that another request carried. */
function wordOf(as: ServedAs): string {
  switch (as.type) {
    case 'recorded':
      return idText('exchange', as.exchange);
    case 'content':
      return as.exchange === null ? 'empty' : `=${idText('exchange', as.exchange)}`;
    case 'own':
    case 'refused':
    case 'missed':
      return as.type;
    default:
      return as satisfies never;
  }
}

function moreOf(as: ServedAs): string[] {
  switch (as.type) {
    case 'refused':
      return [`  ${printable(as.why)}`];
    case 'missed':
      return nearLines(as.near);
    case 'recorded':
    case 'content':
    case 'own':
      return [];
    default:
      return as satisfies never;
  }
}

/** The recorded requests that came closest, a line each. */
function nearLines(near: readonly NearMiss[]): string[] {
  return near.map(({ exchange, method, target, differs }) => {
    const what = `${idText('exchange', exchange).padEnd(5)} ${method} ${printable(clip(target, 100))}`;
    return `  near ${what}: ${differs.map(difference).join('; ')}`;
  });
}

function difference({ field, asked, recorded }: Difference): string {
  const shown = (value: string | null): string => (value === null ? 'none' : printable(clip(value === '' ? "''" : value, 60)));
  return `${field} ${shown(asked)}, recorded ${shown(recorded)}`;
}

/** The end: what was used, what was not, what was missed. */
export function summaryLines({ requests, used, unused, unusable, missed, answers }: ServeSummary): string[] {
  const ids = (list: readonly number[]): string => {
    const shown = list.slice(0, 20).map(id => idText('exchange', id));
    return list.length > shown.length ? `${shown.join(' ')} and ${list.length - shown.length} more` : shown.join(' ');
  };
  const kinds = [
    `${answers.recorded} as recorded`,
    `${answers.content} by checksum`,
    `${answers.own} of our own`,
    `${answers.refused} refused`,
    `${answers.missed} missed`,
  ];
  return [
    `${counted(requests, 'request')}: ${kinds.join(', ')}`,
    `used    ${used.length} of ${used.length + unused.length} recorded answers`,
    ...(unused.length > 0 ? [`unused  ${unused.length}: ${ids(unused)}`] : []),
    ...unusable.map(({ exchange, why }) => `no answer in ${idText('exchange', exchange)}: ${why}`),
    ...missed.flatMap(missLines),
  ];
}

function missLines({ certname, method, target, times, near }: Miss): string[] {
  const often = times > 1 ? ` (${times} times)` : '';
  return [`missed  ${certname ?? 'no certificate'}: ${method} ${printable(target)}${often}`, ...nearLines(near)];
}

/** The summary as `--json` gives it. */
export function summaryJson(summary: ServeSummary): object {
  const exchange = (id: number): string => idText('exchange', id);
  return {
    requests: summary.requests,
    answers: summary.answers,
    certnames: summary.certnames,
    used: summary.used.map(exchange),
    unused: summary.unused.map(exchange),
    unusable: summary.unusable.map(({ exchange: id, why }) => ({ exchange: exchange(id), why })),
    missed: summary.missed.map(({ near, ...miss }) => ({
      ...miss,
      near: near.map(one => ({ ...one, exchange: exchange(one.exchange), run: idText('run', one.run) })),
    })),
  };
}
