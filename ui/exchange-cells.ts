import { sized } from '../src/analysis/words.ts';
import type { ExchangeRow } from '../src/capture/store.ts';
import { remarkOn, use } from '../src/commands/present.ts';
import type { Column } from './table.ts';
import { type Span, span } from './text.ts';
import { shortDuration, type TimeColumn, timeText } from './time.ts';

/** An exchange that somebody who looks for trouble wants to stop at. A 404 of a file is how Puppet learns that there is none. */
export function isProblem(row: Pick<ExchangeRow, 'outcome' | 'status' | 'phase'>): boolean {
  if (row.outcome !== 'answered') return true;
  const status = row.status ?? 0;
  if (status < 400) return false;
  return (
    status !== 404 ||
    (row.phase !== 'file' && row.phase !== 'filebucket' && row.phase !== 'pluginsync' && row.phase !== 'certificate')
  );
}

/** The answer in a few characters: `200`, `gone` (the agent left), `502!` (failed), `none`. */
export function statusCell(row: ExchangeRow): Span {
  if (row.outcome === 'abandoned') return span('gone', 'error');
  if (row.outcome === 'failed') return span(`${row.status ?? 'none'}!`, 'error');
  const status = row.status ?? 0;
  const text = String(row.status ?? 'none');
  if (isProblem(row)) return span(text, 'error');
  return span(text, status >= 400 ? 'warning' : status >= 300 ? 'dim' : 'ok');
}

/** What is the same in every target says nothing: `catalog/agent.example`. */
export function shortTarget(target: string): string {
  return (target.split('?', 1)[0] ?? '').replace(/^\/puppet(?:-ca)?\/v\d\//, '');
}

export const TIME_TITLES: Readonly<Record<TimeColumn, string>> = { clock: 'TIME', start: 'AT', before: 'SINCE' };

/**
 * Columns of a list of exchanges.
 *
 * @param of `run`: all of one run, so that neither run nor certname need be said
 * @param from where times count from
 */
export function exchangeColumns(
  of: 'run' | 'capture',
  time: TimeColumn,
  before: (row: ExchangeRow) => ExchangeRow | null,
  from: number | null,
): Column<ExchangeRow>[] {
  const inRun = of === 'run';
  const run: Column<ExchangeRow>[] = [
    { title: 'RUN', width: 6, from: 70, cell: row => span(row.run === null ? '-' : `r${row.run}`, 'dim') },
    { title: 'CERTNAME', width: 18, from: 110, cell: row => span(row.certname ?? '-', 'name') },
  ];
  return [
    { title: 'ID', width: inRun ? 7 : 8, cell: row => span(`e${row.id}`, 'dim') },
    ...(inRun ? [] : run),
    {
      title: TIME_TITLES[time],
      width: time === 'clock' ? 12 : 9,
      right: true,
      from: 60,
      cell: row => span(timeText(row, time, before(row), from), 'dim'),
    },
    { title: 'PHASE', width: 11, cell: row => span(row.phase, `phase-${row.phase}`) },
    { title: 'METHOD', width: 6, from: 90, cell: row => span(row.method) },
    { title: 'STAT', width: 5, cell: statusCell },
    { title: 'TOOK', width: 9, right: true, from: 1, cell: row => span(shortDuration(row.durationMs)) },
    { title: 'UP', width: 7, right: true, from: 130, cell: row => span(row.requestBytes === 0 ? '-' : sized(row.requestBytes)) },
    {
      title: 'DOWN',
      width: 7,
      from: 90,
      right: true,
      cell: row => span(row.responseBytes === 0 ? '-' : sized(row.responseBytes)),
    },
    {
      title: 'AGENT',
      width: 9,
      from: 130,
      cell: row => span(use(row.agentConnection, row.agentOrdinal), row.agentOrdinal > 1 ? 'dim' : 'value'),
    },
    {
      title: 'PRIMARY',
      width: 9,
      from: 150,
      cell: row => span(use(row.primaryConnection, row.primaryOrdinal), (row.primaryOrdinal ?? 0) > 1 ? 'dim' : 'value'),
    },
    {
      title: 'REQUEST',
      width: 10,
      grow: true,
      // In front: the end of a line is cut, and the page has the rule.
      cell: row => span(`${row.fault === null ? '' : 'FAULT '}${shortTarget(row.target)}${remarkOn(row.failure, null)}`),
    },
  ];
}
