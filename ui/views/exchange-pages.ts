import { sized } from '../../src/analysis/words.ts';
import type { ExchangeDetail } from '../../src/capture/store.ts';
import { clip, clock, duration, use } from '../../src/commands/present.ts';
import { phaseFacts } from '../../src/commands/show-phases.ts';
import type { Page } from '../../src/commands/show-text.ts';
import { connectionDetails } from '../connection-cells.ts';
import { detailLines } from '../panes/table.ts';
import type { Env } from '../screen.ts';
import { EMPTY, type Line, line, pad, span, wrapText } from '../text.ts';
import type { Signs, StyleName } from '../theme.ts';

/** The pages of an exchange that are text: summary, timing, connections. */

/** What was on the wire, then what it says: the page of `stringtap show`. */
export function summaryLines(exchange: ExchangeDetail, env: Env, columns: number): Line[] {
  const { request, response, failure } = exchange;
  const by = exchange.answeredBy === 'proxy' ? ' by stringtap' : '';
  const theirs =
    exchange.primaryStatus !== null && exchange.primaryStatus !== response?.status
      ? ` (the primary said ${exchange.primaryStatus})`
      : '';
  const wire: [string, string][] = [
    ['request', `${request.method} ${request.target} HTTP/${request.httpVersion}`],
    [
      'answer',
      `${response === null ? 'none' : `${response.status} ${response.reason}`}${by}${theirs}${exchange.outcome === 'abandoned' ? ', abandoned by the agent' : ''}`,
    ],
    ...(failure === null ? [] : [['failed', JSON.stringify(failure)] as [string, string]]),
    ...(exchange.fault === null ? [] : [['FAULT', `on purpose, by --fault '${exchange.fault}'`] as [string, string]]),
    ['phase', `${exchange.phase}${exchange.run === null ? ', of no run' : `, number ${exchange.n} of run r${exchange.run}`}`],
    ['certname', exchange.certname ?? 'none: the agent showed no certificate'],
    ['started', `${exchange.startedAt} (${clock(Date.parse(exchange.startedAt))} here), took ${duration(exchange.durationMs)}`],
    [
      'connections',
      `${use(exchange.agentConnection, exchange.agentOrdinal)} of the agent, ${use(exchange.primaryConnection, exchange.primaryOrdinal)} to the primary`,
    ],
    ...exchange.bodies.map((body): [string, string] => [
      body.side,
      `${sized(body.size)}${body.cut === null ? '' : `, only ${sized(body.kept)} kept`}, SHA-256 ${body.sha256}`,
    ]),
  ];
  const said: Line[] = [];
  phaseFacts(pageOf(said, columns), env.source.store, exchange.phase, [exchange], true);
  return [
    ...detailLines(wire, columns),
    EMPTY,
    ...(said.length === 0 ? [line(' nothing in its bodies was decoded', 'dim')] : said),
  ];
}

/** A page that makes lines of what `show` prints. */
function pageOf(lines: Line[], columns: number): Page {
  const add = (text: string): void => void lines.push(line(` ${text}`));
  return {
    width: columns - 1,
    line: (text = '') => add(clip(text, columns * 4)),
    pair(name, value) {
      wrapText(value, columns - 18).forEach(
        (part, i) => void lines.push([span(` ${pad(i === 0 ? name : '', 16)}`, 'dim'), span(part)]),
      );
    },
    text(indent, text) {
      for (const part of wrapText(text, columns - indent.length - 1)) add(`${indent}${part}`);
    },
  };
}

interface Stretch {
  name: string;
  from: number;
  to: number;
  style: StyleName;
  sign: keyof Signs;
  words: string;
}

/** Where the time went, each part as a bar over the whole. */
export function timingLines(exchange: ExchangeDetail, env: Env, columns: number): Line[] {
  const { timing } = exchange;
  const { startMono: start, endMono: end } = timing;
  const stretches = stretchesOf(exchange);
  const label = 22;
  const width = Math.max(10, columns - label - 14);
  const scale = width / Math.max(1e-3, end - start);
  const bar = ({ from, to, style, sign }: Stretch): Line => {
    if (env.theme.reader) return [];
    const first = Math.min(width - 1, Math.floor((from - start) * scale));
    const last = Math.max(first, Math.min(width - 1, Math.ceil((to - start) * scale) - 1));
    return [
      span(' '.repeat(first)),
      span((env.theme.signs[sign] as string).repeat(last - first + 1), style),
      span(' '.repeat(width - 1 - last)),
    ];
  };
  const moments: [string, number | null][] = [
    ['request complete', timing.requestEndMono],
    ['primary ready', timing.primaryReadyMono],
    ['answer head', timing.responseHeadMono],
    ['first byte', timing.firstByteMono],
    ['end', end],
  ];
  return [
    ...stretches.map(
      (part): Line => [
        span(` ${pad(part.name, label - 1)}`, 'name'),
        ...bar(part),
        span(` ${duration(part.to - part.from).padStart(10)}`),
      ],
    ),
    [
      span(` ${pad('all of it', label - 1)}`, 'bold'),
      span(env.theme.reader ? '' : ' '.repeat(width)),
      span(` ${duration(end - start).padStart(10)}`, 'bold'),
    ],
    EMPTY,
    ...detailLines(
      stretches.map(part => [part.name, part.words] as const),
      columns,
    ),
    EMPTY,
    line(' Moments since the request head arrived', 'bold'),
    ...moments.map(
      ([name, at]): Line => [
        span(` ${pad(name, label - 1)}`, 'name'),
        span(at === null ? 'not reached' : `+${duration(at - start)}`),
      ],
    ),
    EMPTY,
    ...(exchange.resent > 0
      ? [line(` sent again ${exchange.resent} times: a pooled connection had been closed meanwhile`, 'warning')]
      : []),
    ...(exchange.early
      ? [line(' the answer left before it was on disk: the disk was slower than stringtap waits', 'warning')]
      : []),
  ];
}

function stretchesOf({ timing, answeredBy }: ExchangeDetail): Stretch[] {
  const { startMono, requestEndMono, primaryReadyMono, responseHeadMono, firstByteMono, endMono } = timing;
  const requestEnd = requestEndMono ?? startMono;
  const ready = primaryReadyMono ?? (answeredBy === 'proxy' ? endMono : startMono);
  const answer = Math.max(ready, firstByteMono ?? responseHeadMono ?? endMono);
  const parts: Stretch[] = [
    {
      name: 'agent sends',
      from: startMono,
      to: requestEnd,
      style: 'changed',
      sign: 'full',
      words: 'the request body arrives from the agent',
    },
    {
      name: 'stringtap',
      from: startMono,
      to: ready,
      style: 'own',
      sign: 'own',
      words: 'checks, identity, a connection to the primary; all of it when we answer ourselves',
    },
    {
      name: 'waiting for primary',
      from: ready,
      to: answer,
      style: 'warning',
      sign: 'wait',
      words: 'until the first byte of the answer: the primary compiles, reads, stores',
    },
    { name: 'transfer', from: answer, to: endMono, style: 'ok', sign: 'full', words: 'the answer passes to the agent' },
  ];
  return parts.filter(part => part.to > part.from);
}

/** Both connections, and where on them the exchange was. */
export function connectionLines(exchange: ExchangeDetail, env: Env, columns: number): Line[] {
  const { store } = env.source;
  const block = (title: string, id: number | null, ordinal: number | null): Line[] => {
    const row = id === null ? null : store.connection(id);
    if (row === null) return [line(` ${title}`, 'bold'), line(' nothing went to the primary', 'dim'), EMPTY];
    const reused = ordinal !== null && ordinal > 1;
    const words = reused ? `request ${ordinal} on it: reused, no handshake` : 'first request on it: it cost a handshake';
    return [line(` ${title}`, 'bold'), ...detailLines([['place', words], ...connectionDetails(row)], columns), EMPTY];
  };
  return [
    ...block('Agent leg', exchange.agentConnection, exchange.agentOrdinal),
    ...block('Primary leg', exchange.primaryConnection, exchange.primaryOrdinal),
  ];
}
