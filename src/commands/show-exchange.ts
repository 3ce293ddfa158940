import { explainFailure } from '../analysis/tls-failures.ts';
import { sized } from '../analysis/words.ts';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import { decodedOf } from '../export/decoded.ts';
import type { Fields } from '../model.ts';
import { exchangeJson, idText } from './ids.ts';
import { type Io, printable } from './io.ts';
import { noteJson, noteLines } from './note-text.ts';
import { clock, duration, use } from './present.ts';
import { primaryText } from './primary-text.ts';
import { phaseFacts } from './show-phases.ts';
import { problems, showProblems } from './show-problems.ts';
import { type Page, pageOf } from './show-text.ts';

/** The page of one exchange: what was on the wire, then what it says. */
export function showExchange(
  io: Io,
  store: Store,
  exchange: ExchangeDetail,
  options: { json: boolean; headers: boolean; reveal: boolean },
): void {
  if (options.json) {
    const decoded = decodedOf(store, [exchange.id], options.reveal).get(exchange.id) ?? {};
    const shown = options.headers
      ? exchange
      : { ...exchange, request: bare(exchange.request), response: bare(exchange.response) };
    const told = store.primaryTimes({ exchanges: [exchange.id] }).get(exchange.id);
    const primaryTime = told === undefined ? null : { ...told, exchange: idText('exchange', told.exchange) };
    const notes = store.notes({ exchange: exchange.id }).map(noteJson);
    io.out(JSON.stringify({ ...exchangeJson(shown as ExchangeDetail), primaryTime, notes, decoded }));
    return;
  }
  const page = pageOf(io, 16);
  wire(page, exchange);
  const primary = store.primaryTimes({ exchanges: [exchange.id] }).get(exchange.id);
  if (primary !== undefined) page.pair('at the primary', primaryText(primary, exchange.durationMs));
  for (const body of store.decoded.rows('body', { exchange: exchange.id })) {
    const coding = body.codings.length === 0 ? '' : `, ${body.codings.join(' and ')} undone`;
    page.pair(`${body.side} is`, printable(`${body.format} (${body.mime ?? 'no type'}), ${sized(body.bytes)}${coding}`));
  }
  for (const line of noteLines(store, { exchange: exchange.id })) page.pair('note', line);
  showProblems(page, problems([{ id: `e${exchange.id}`, words: explainFailure(exchange.failure) }]));
  if (options.headers) {
    showFields(page, 'request fields', exchange.request.fields);
    if (exchange.response) showFields(page, 'response fields', exchange.response.fields);
    if (exchange.trailers.length > 0) showFields(page, 'trailers', exchange.trailers);
  }
  page.line();
  phaseFacts(page, store, exchange.phase, [exchange], true);
}

/** Field lines are asked for by --headers. */
function bare<Head extends { fields: Fields }>(head: Head | null): Omit<Head, 'fields'> | null {
  if (head === null) return null;
  const { fields: _, ...rest } = head;
  return rest;
}

function wire(page: Page, exchange: ExchangeDetail): void {
  const { request, timing } = exchange;
  page.pair('exchange', `e${exchange.id}${exchange.run === null ? '' : `, number ${exchange.n} of run r${exchange.run}`}`);
  page.pair('request', printable(`${request.method} ${request.target} HTTP/${request.httpVersion}`));
  page.pair('answer', answerLine(exchange));
  if (exchange.fault !== null) page.pair('FAULT', printable(`on purpose, by --fault '${exchange.fault}'`));
  page.pair('phase', exchange.phase);
  page.pair('certname', exchange.certname ?? '-');
  page.pair('started', `${exchange.startedAt} (${clock(Date.parse(exchange.startedAt))} here)`);
  page.pair('took', duration(exchange.durationMs));
  const since = (mono: number | null): string => (mono === null ? '-' : duration(mono - timing.startMono));
  page.pair(
    'moments',
    `request end ${since(timing.requestEndMono)}, primary ready ${since(timing.primaryReadyMono)}, response head ${since(timing.responseHeadMono)}, first byte ${since(timing.firstByteMono)}, end ${since(timing.endMono)}`,
  );
  page.pair(
    'connections',
    `${use(exchange.agentConnection, exchange.agentOrdinal)} ${use(exchange.primaryConnection, exchange.primaryOrdinal)}`,
  );
  if (exchange.resent > 0) page.pair('resent', `${exchange.resent} time, on another connection`);
  for (const body of exchange.bodies) {
    const cut = body.cut === null ? '' : `, only ${sized(body.kept)} kept`;
    page.pair(body.side, `${sized(body.size)}${cut}, SHA-256 ${body.sha256}`);
  }
}

function answerLine(exchange: ExchangeDetail): string {
  const { response, failure } = exchange;
  const head = response ? printable(`${response.status} ${response.reason}`) : 'none';
  const by = exchange.answeredBy === 'proxy' ? ' by stringtap' : '';
  const differs = exchange.primaryStatus !== null && exchange.primaryStatus !== response?.status;
  const theirs = differs ? ` (the primary said ${exchange.primaryStatus})` : '';
  const why = failure ? `, failed: ${printable(JSON.stringify(failure))}` : '';
  return `${head}${by}${theirs}${exchange.outcome === 'abandoned' ? ', abandoned by the agent' : ''}${why}`;
}

function showFields(page: Page, title: string, fields: Fields): void {
  page.line();
  page.line(title);
  for (const [name, value] of fields) page.text('  ', `${printable(name)}: ${printable(value)}`);
}
