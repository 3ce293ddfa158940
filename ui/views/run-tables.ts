import type { EventRow, LogLineRow } from '../../src/capture/decoded-shapes.ts';
import type { ConnectionRow } from '../../src/capture/store.ts';
import { change, eventValueText } from '../../src/commands/show-text.ts';
import { connectionColumns, connectionDetails } from '../connection-cells.ts';
import { emptyLines } from '../frame.ts';
import { tablePane } from '../panes/table.ts';
import type { Env, Screen } from '../screen.ts';
import type { Column } from '../table.ts';
import { type Span, span } from '../text.ts';
import type { StyleName } from '../theme.ts';
import { clockOf, momentOf } from '../time.ts';
import { openConnection } from './connection.ts';
import { resourceScreen } from './resource.ts';

/** Events, log lines and connections of a run, as lists. */

const dash = (value: string | number | null): string => (value === null || value === '' ? '-' : String(value));

function eventStatus(row: EventRow): Span {
  const styles: Record<string, StyleName> = { success: 'changed', failure: 'error', noop: 'warning', audit: 'dim' };
  return span(`${row.status ?? '-'}${row.correctiveChange === true ? '*' : ''}`, styles[row.status ?? ''] ?? 'value');
}

export function eventsPane(run: number, env: Env): Screen {
  const read = (at: Env): EventRow[] => at.source.store.decoded.rows('event', { run });
  const columns = (at: Env): Column<EventRow>[] => [
    { title: 'STATUS', width: 9, cell: eventStatus },
    { title: 'RESOURCE', width: Math.max(22, Math.floor(at.size.columns * 0.32)), cell: row => span(row.resource, 'name') },
    { title: 'PROPERTY', width: 12, from: 70, cell: row => span(row.property ?? '-') },
    {
      title: 'CHANGE',
      width: 16,
      grow: true,
      from: 1, // which resource it was comes first
      cell: row => span(row.property === null ? (row.message ?? '') : change(row.previousValue, row.desiredValue, 400)),
    },
  ];
  return tablePane({
    rows: read(env),
    columns,
    reread: read,
    title: row => row.resource,
    isProblem: row => row.status === 'failure',
    open: (row, at) => ({ push: resourceScreen(row.resource, run, at) }),
    opensAll: true,
    details: row => [
      ['resource', row.resource],
      ['property', dash(row.property)],
      ...(row.status === 'failure' ? [['message', dash(row.message)] as const] : []),
      ['was', row.redacted === true ? '(redacted by the agent)' : eventValueText(row.previousValue)],
      // A change that failed, or was only looked at, did not come to be.
      [
        row.status === 'success' ? 'is now' : 'wanted',
        row.redacted === true ? '(redacted by the agent)' : eventValueText(row.desiredValue),
      ],
      ...(row.status === 'failure' ? [] : [['message', dash(row.message)] as const]),
      ['status', `${dash(row.status)}${row.correctiveChange === true ? ', corrective: somebody else had changed it' : ''}`],
      ['at', row.at === null ? '-' : momentOf(row.at)],
    ],
    empty: at => {
      const [report] = at.source.store.decoded.rows('report', { run });
      const why =
        report === undefined
          ? 'they come with the report at the end of a run; there is none'
          : report.status === 'failed'
            ? 'the run failed before it changed anything: 5 has its log lines'
            : 'nothing was out of sync, says its report';
      return emptyLines(at, ['no events in this run', '', why]);
    },
  });
}

const LEVELS: Record<string, StyleName> = {
  err: 'error',
  alert: 'error',
  emerg: 'error',
  crit: 'error',
  warning: 'warning',
  debug: 'dim',
  info: 'dim',
};

/** A message of many lines is a file's diff, mostly, which begins with an empty line. */
function firstLine(message: string): string {
  const lines = message.trim().split('\n');
  return lines.length === 1 ? (lines[0] ?? '') : `${lines[0]}  (${lines.length} lines)`;
}

export function logsPane(run: number, env: Env): Screen {
  const read = (at: Env): LogLineRow[] => at.source.store.decoded.rows('log_line', { run });
  const columns = (): Column<LogLineRow>[] => [
    { title: 'TIME', width: 12, cell: row => span(row.at === null ? '-' : clockOf(row.at), 'dim') },
    { title: 'LEVEL', width: 8, cell: row => span(row.level ?? '-', LEVELS[row.level ?? ''] ?? 'value') },
    { title: 'SOURCE', width: 30, from: 110, cell: row => span(row.source ?? '-', 'name') },
    {
      title: 'MESSAGE',
      width: 20,
      grow: true,
      cell: row => span(firstLine(row.message ?? ''), LEVELS[row.level ?? ''] === 'error' ? 'error' : 'value'),
    },
  ];
  return tablePane({
    rows: read(env),
    columns,
    reread: read,
    title: row => `log ${row.n}`,
    isProblem: row => ['err', 'alert', 'emerg', 'crit'].includes(row.level ?? ''),
    details: row => [
      ['message', dash(row.message).trim()],
      ['source', dash(row.source)],
      ['at', `${row.at === null ? '-' : momentOf(row.at)}, ${dash(row.level)}`],
      ['place', row.file === null ? '-' : `${row.file}${row.line === null ? '' : `:${row.line}`}`],
      ['tags', row.tags.join(', ')],
    ],
    empty: at => emptyLines(at, ['no log lines in this run', '', 'they come with the report at the end of a run']),
  });
}

/** Connections of one run that are shown. */
const MOST = 5000;

export function connectionsPane(run: number, env: Env): Screen {
  const read = (at: Env): ConnectionRow[] => [...at.source.store.connections({ run, limit: MOST })];
  return tablePane({
    rows: read(env),
    most: MOST,
    columns: connectionColumns,
    reread: read,
    title: row => `c${row.id}`,
    isProblem: row => row.error !== null || row.refusal !== null,
    details: connectionDetails,
    open: (row, at) => openConnection(row.id, run, at),
    empty: at => emptyLines(at, ['no connections']),
  });
}
