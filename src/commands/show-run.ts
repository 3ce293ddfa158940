import { explainFailure, explainTls } from '../analysis/tls-failures.ts';
import { counted, sized } from '../analysis/words.ts';
import { resultOf as outcomeOf } from '../capture/run-result.ts';
import type { ExchangeRow, RunRow, Store } from '../capture/store.ts';
import { PHASES } from '../model.ts';
import { findingJson, findingLines } from './findings-text.ts';
import { connectionJson, exchangeJson, idText, runJson } from './ids.ts';
import { type Io, printable } from './io.ts';
import { noteJson, noteLines } from './note-text.ts';
import { clock, day, duration, remarkOn } from './present.ts';
import { primaryRemark } from './primary-text.ts';
import { reportSummary } from './show-catalog.ts';
import { phaseFacts } from './show-phases.ts';
import { problems, showProblems } from './show-problems.ts';
import { type Page, pageOf } from './show-text.ts';

/** Requests of a phase that the page lists; `stringtap exchanges` has the rest. */
const LISTED = 8;

/** The page of a run: who, how it went, then phase by phase. */
export function showRun(io: Io, store: Store, run: RunRow, json: boolean): void {
  const exchanges = [...store.exchanges({ run: run.id })];
  const connections = [...store.connections({ run: run.id })];
  if (json) {
    const lists = { exchangeList: exchanges.map(exchangeJson), connectionList: connections.map(connectionJson) };
    const findings = Array.from(store.findings({ run: run.id }), findingJson);
    const notes = store.notes({ run: run.id }).map(noteJson);
    const primaryTimes = Array.from(store.primaryTimes({ run: run.id }).values(), row => ({
      ...row,
      exchange: idText('exchange', row.exchange),
    }));
    io.out(
      JSON.stringify({
        ...runJson(run),
        outcome: outcomeOf(store, run),
        result: resultOf(store, run),
        findings,
        notes,
        primaryTimes,
        ...lists,
      }),
    );
    return;
  }
  const page = pageOf(io);
  const version = run.puppetVersion === null ? '' : `, Puppet ${run.puppetVersion}`;
  page.pair(`run ${idText('run', run.id)}`, printable(`${run.certname}${version}`));
  page.pair('environment', printable(run.environment ?? '-'));
  page.pair('result', resultOf(store, run));
  const took = run.endedAt === null ? 'still open' : duration(Date.parse(run.endedAt) - Date.parse(run.startedAt));
  const end = {
    report: ', ended by its report',
    'connections-closed': ', ended with its connections',
    idle: ', ended by silence',
  };
  page.pair(
    'time',
    `${day(Date.parse(run.startedAt))} ${clock(Date.parse(run.startedAt))}, ${took}${run.end === null ? '' : end[run.end]}`,
  );
  const resumed = connections.filter(row => row.resumed === true).length;
  const tls = resumed === 0 ? '' : ` (${resumed} with a resumed TLS session)`;
  page.pair('connections', `${run.agentConnections} of the agent, ${run.primaryConnections} to the primary${tls}`);
  const failed = run.failed === 0 ? '' : `, ${run.failed} failed`;
  page.pair(
    'traffic',
    `${counted(run.exchanges, 'request')}${failed}, ${sized(run.requestBytes)} up, ${sized(run.responseBytes)} down`,
  );
  if (run.transactionUuid !== null) page.pair('transaction', printable(run.transactionUuid));
  const behind = store.decoded.behind();
  if (behind > 0) page.pair('note', `${counted(behind, 'exchange')} of this capture not decoded yet: the proxy is at it`);
  findingLines(store, run.id).forEach((line, n) => {
    page.pair(n === 0 ? 'findings' : '', line);
  });
  noteLines(store, { run: run.id }).forEach((line, n) => {
    page.pair(n === 0 ? 'notes' : '', line);
  });
  // A cause is told once: by its exchanges, or by a connection that never carried one.
  const failures = problems([
    ...exchanges.map(row => ({ id: idText('exchange', row.id), words: explainFailure(row.failure) })),
    ...connections.map(row => ({ id: idText('connection', row.id), words: explainTls(row) })),
  ]);
  if (failures.length > 0) page.line();
  showProblems(page, failures);
  const primary = store.primaryTimes({ run: run.id });
  for (const phase of PHASES) {
    const some = exchanges.filter(row => row.phase === phase);
    if (some.length === 0) continue;
    page.line();
    phaseHead(page, phase, some);
    for (const row of some.slice(0, LISTED)) page.line(`${requestLine(row)}${primaryRemark(primary.get(row.id))}`);
    if (some.length > LISTED) {
      const all = `stringtap exchanges --run ${idText('run', run.id)} --phase ${phase}`;
      page.text('  ', `… ${some.length - LISTED} more: ${all}`);
    }
    phaseFacts(page, store, phase, some, false);
  }
}

/** How it went: by its report, or why there is none. */
function resultOf(store: Store, run: RunRow): string {
  const refusal = store.decoded.rows('refusal', { run: run.id }).find(row => row.error !== null);
  const summary = reportSummary(store, { run: run.id });
  if (refusal !== undefined) return printable(`${summary ?? 'failed'}: ${refusal.error}`);
  if (summary !== null) return summary;
  if (run.end === null) return 'no report yet';
  return outcomeOf(store, run) === 'partial' ? 'partial: no catalog was asked for' : 'no report';
}

function phaseHead(page: Page, phase: string, rows: readonly ExchangeRow[]): void {
  const sum = (of: (row: ExchangeRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const up = sum(row => row.requestBytes);
  const down = sum(row => row.responseBytes);
  const failed = rows.filter(row => row.outcome !== 'answered' || (row.status ?? 0) >= 500).length;
  const parts = [
    counted(rows.length, 'request'),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(up > 0 ? [`${sized(up)} up`] : []),
    `${sized(down)} down`,
    duration(sum(row => row.durationMs)),
  ];
  page.line(`${phase.toUpperCase()}  ${parts.join(', ')}`);
}

/** One exchange, without what is the same for all of its run. */
function requestLine(row: ExchangeRow): string {
  const status = row.outcome === 'abandoned' ? 'gone' : String(row.status ?? 'none');
  const why = remarkOn(row.failure, row.fault);
  const target = (row.target.split('?', 1)[0] ?? '').replace(/^\/puppet(?:-ca)?\/v\d\//, '');
  return printable(
    `  ${idText('exchange', row.id).padEnd(5)} ${status.padEnd(4)} ${duration(row.durationMs).padStart(8)} ${sized(
      row.requestBytes + row.responseBytes,
    ).padStart(7)}  ${row.method.padEnd(4)} ${target}${why}`,
  );
}
