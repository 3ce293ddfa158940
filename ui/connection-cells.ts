import { explainTls } from '../src/analysis/tls-failures.ts';
import { counted, sized } from '../src/analysis/words.ts';
import type { ConnectionRow } from '../src/capture/store.ts';
import { duration } from '../src/commands/present.ts';
import type { Column } from './table.ts';
import { type Span, span } from './text.ts';
import { clockOf, momentOf, shortDuration } from './time.ts';

/** A connection as a row of a list, and in full. */

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
    { title: 'REQS', width: 5, right: true, cell: row => span(`${row.exchanges}${row.closedAt === null ? '+' : ''}`) },
    {
      title: 'OPEN FOR',
      width: 9,
      right: true,
      from: 90,
      cell: row => span(row.closedAt === null ? 'open' : shortDuration(Date.parse(row.closedAt) - Date.parse(row.openedAt))),
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
    ['certname', `${row.certname ?? '-'}${row.peerName === null ? '' : `; the peer is ${row.peerName}`}`],
    ['TLS', `${tls}${row.serverName === null ? '' : `, server name ${row.serverName}`}`],
    [
      'handshake',
      `${row.connectMs === null ? '-' : duration(row.connectMs)} TCP, ${row.handshakeMs === null ? '-' : duration(row.handshakeMs)} TLS`,
    ],
    [
      'traffic',
      row.closedAt === null
        ? `${counted(row.exchanges, 'request')} so far; bytes are counted when it closes`
        : `${counted(row.exchanges, 'request')}, ${sized(row.bytesRead)} read, ${sized(row.bytesWritten)} written`,
    ],
    ['opened', momentOf(row.openedAt)],
    ['ended', row.closedAt === null ? 'still open' : `${momentOf(row.closedAt)}, ${row.cause} by the ${row.closedBy}`],
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
