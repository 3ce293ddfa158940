import { explainTls } from '../../src/analysis/tls-failures.ts';
import type { EventRow, LogLineRow } from '../../src/capture/decoded-shapes.ts';
import type { ConnectionRow } from '../../src/capture/store.ts';
import { bytes, duration } from '../../src/commands/present.ts';
import { change, eventValueText, plural } from '../../src/commands/show-text.ts';
import { emptyLines } from '../frame.ts';
import { tablePane } from '../panes/table.ts';
import type { Env, Screen } from '../screen.ts';
import type { Column } from '../table.ts';
import { type Span, span } from '../text.ts';
import type { StyleName } from '../theme.ts';
import { clockOf } from '../time.ts';

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
      ['at', dash(row.at)],
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
      ['at', `${dash(row.at)}, ${dash(row.level)}`],
      ['place', row.file === null ? '-' : `${row.file}${row.line === null ? '' : `:${row.line}`}`],
      ['tags', row.tags.join(', ')],
    ],
    empty: at => emptyLines(at, ['no log lines in this run', '', 'they come with the report at the end of a run']),
  });
}

export function connectionsPane(run: number, env: Env): Screen {
  const read = (at: Env): ConnectionRow[] => [...at.source.store.connections({ run, limit: 5000 })];
  return tablePane({
    rows: read(env),
    columns: connectionColumns,
    reread: read,
    title: row => `c${row.id}`,
    isProblem: row => row.error !== null || row.refusal !== null,
    details: connectionDetails,
    empty: at => emptyLines(at, ['no connections']),
  });
}

export function connectionColumns(): Column<ConnectionRow>[] {
  return [
    { title: 'ID', width: 6, cell: row => span(`c${row.id}`, 'dim') },
    { title: 'LEG', width: 8, cell: row => span(row.leg, row.leg === 'agent' ? 'name' : 'value') },
    { title: 'OPENED', width: 12, from: 70, cell: row => span(clockOf(row.openedAt), 'dim') },
    { title: 'PEER', width: 21, from: 120, cell: row => span(row.peer) },
    { title: 'CERTNAME', width: 20, from: 100, cell: row => span(row.certname ?? '-', 'name') },
    {
      title: 'TLS',
      width: 12,
      from: 2,
      cell: row => span(row.tlsVersion === null ? '-' : `${row.tlsVersion.replace('TLSv', '')}${row.resumed ? ' resumed' : ''}`),
    },
    {
      title: 'HANDSHAKE',
      width: 9,
      right: true,
      from: 1,
      cell: row => span(row.handshakeMs === null ? '-' : duration(row.handshakeMs)),
    },
    { title: 'REQS', width: 5, right: true, cell: row => span(String(row.exchanges)) },
    {
      title: 'OPEN FOR',
      width: 9,
      right: true,
      from: 90,
      cell: row => span(row.closedAt === null ? 'open' : duration(Date.parse(row.closedAt) - Date.parse(row.openedAt))),
    },
    { title: 'END', width: 16, grow: true, cell: row => endOf(row) },
  ];
}

function endOf(row: ConnectionRow): Span {
  const words = row.closedBy === null ? 'open' : `${row.cause} by the ${row.closedBy}`;
  const why = row.refusal ?? row.error;
  return why === null ? span(words, row.closedBy === null ? 'live' : 'value') : span(`${words}: ${why}`, 'error');
}

export function connectionDetails(row: ConnectionRow): [string, string][] {
  const words = explainTls(row);
  const tls =
    row.tlsVersion === null ? 'none' : `${row.tlsVersion}, ${row.cipher}${row.resumed ? ', resumed' : ', full handshake'}`;
  return [
    ['connection', `c${row.id}, ${row.leg} leg, ${row.via}, ${row.peer}${row.target === null ? '' : ` for ${row.target}`}`],
    ['certname', `${dash(row.certname)}${row.peerName === null ? '' : `; the peer is ${row.peerName}`}`],
    ['TLS', `${tls}${row.serverName === null ? '' : `, server name ${row.serverName}`}`],
    [
      'handshake',
      `${row.connectMs === null ? '-' : duration(row.connectMs)} TCP, ${row.handshakeMs === null ? '-' : duration(row.handshakeMs)} TLS`,
    ],
    ['traffic', `${plural(row.exchanges, 'request')}, ${bytes(row.bytesRead)} read, ${bytes(row.bytesWritten)} written`],
    ['ended', row.closedBy === null ? 'still open' : `${row.closedAt}, ${row.cause} by the ${row.closedBy}`],
    ...(row.refusal === null ? [] : [['refused', row.refusal] as [string, string]]),
    ...(row.error === null ? [] : [['error', row.error] as [string, string]]),
    ...(words === null
      ? []
      : ([
          ['what it is', words.what],
          ['to do', words.remedy],
        ] as [string, string][])),
  ];
}
