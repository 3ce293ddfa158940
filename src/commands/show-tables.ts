import type { DecodedKind, DecodedRows, OfExchange } from '../capture/decoded-shapes.ts';
import type { Store } from '../capture/store.ts';
import { idText } from './ids.ts';
import { type Io, printable } from './io.ts';
import { type Column, table } from './present.ts';
import { placeOf, resourceName } from './show-catalog.ts';
import { change, day, valueText } from './show-text.ts';
import { lineWidth } from './terminal.ts';

/** What `show RUN …` lists: the kind of rows, and their columns for a person. */
interface Listed<K extends DecodedKind> {
  kind: K;
  columns(width: number): Column<DecodedRows[K]>[];
}

const id = <Row extends OfExchange>(): Column<Row> => ({ title: 'EXCH', value: row => idText('exchange', row.exchange) });
const listed = <K extends DecodedKind>(kind: K, columns: Listed<K>['columns']): Listed<K> => ({ kind, columns });

const TABLES = {
  resources: listed('resource', () => [
    { title: 'RESOURCE', value: resourceName },
    {
      title: 'PLACE',
      value: row =>
        placeOf(row)
          .trim()
          .replace(/^.*\/(modules|manifests)\//, '$1/'),
    },
    {
      title: 'PARAMETERS',
      value: row =>
        Object.entries(row.parameters)
          .map(([name, value]) => `${name} => ${valueText(value)}`)
          .join(', '),
    },
  ]),
  facts: listed('fact', () => [
    { title: 'FACT', value: row => row.path },
    { title: 'TYPE', value: row => row.type },
    { title: 'VALUE', value: row => row.value },
  ]),
  events: listed('event', width => [
    { title: 'STATUS', value: row => `${row.status ?? '-'}${row.correctiveChange === true ? '*' : ''}` },
    { title: 'RESOURCE', value: row => row.resource },
    { title: 'PROPERTY', value: row => row.property ?? '-' },
    {
      title: 'CHANGE',
      value: row =>
        row.property === null ? (row.message ?? '') : change(row.previousValue, row.desiredValue, Math.max(24, width - 50)),
    },
  ]),
  logs: listed('log_line', () => [
    { title: 'TIME', value: row => row.at?.slice(11, 23) ?? '-' },
    { title: 'LEVEL', value: row => row.level ?? '-' },
    { title: 'SOURCE', value: row => row.source ?? '-' },
    { title: 'MESSAGE', value: row => row.message ?? '' },
  ]),
  metadata: listed('file_metadata', () => [
    id(),
    { title: 'TYPE', value: row => row.type ?? '-' },
    { title: 'MODE', value: row => row.mode ?? '-' },
    { title: 'OWNER', value: row => `${row.owner ?? '-'}:${row.group ?? '-'}` },
    { title: 'PATH', value: row => row.resource ?? row.relativePath ?? row.path ?? '' },
    { title: 'CHECKSUM', value: row => (row.checksum === null ? '-' : `{${row.checksumType}}${row.checksum}`) },
  ]),
  metrics: listed('metric', () => [
    { title: 'CATEGORY', value: row => row.category },
    { title: 'NAME', value: row => row.label || row.name },
    { title: 'VALUE', right: true, value: row => String(row.value ?? '-') },
  ]),
  certificates: listed('certificate', () => [
    id(),
    { title: 'LEG', value: row => (row.side === 'response' ? 'agent' : 'primary') },
    { title: 'UNTIL', value: row => day(row.notAfter) },
    { title: 'SUBJECT', value: row => row.subject },
    { title: 'ISSUER', value: row => row.issuer },
    { title: 'SERIAL', value: row => row.serial },
    { title: 'SHA-256', value: row => row.fingerprint },
  ]),
};

export type TableName = keyof typeof TABLES;
export const TABLE_NAMES = Object.keys(TABLES) as TableName[];

/**
 * Lists one kind of rows of a run or an exchange.
 *
 * @param filter only rows with this text in a cell, whatever its case
 */
export function showTable(
  io: Io,
  store: Store,
  which: { run?: number; exchange?: number },
  name: TableName,
  filter: string | null,
  options: { json: boolean; reveal: boolean },
): void {
  print(io, store, which, TABLES[name] as Listed<DecodedKind>, filter, options);
}

function print<K extends DecodedKind>(
  io: Io,
  store: Store,
  which: { run?: number; exchange?: number },
  { kind, columns }: Listed<K>,
  filter: string | null,
  { json, reveal }: { json: boolean; reveal: boolean },
): void {
  const width = lineWidth(io);
  const shown = columns(width);
  const wanted = filter?.toLowerCase() ?? null;
  const rows = store.decoded
    .rows(kind, { ...which, reveal })
    .filter(row => wanted === null || shown.some(column => column.value(row).toLowerCase().includes(wanted)));
  if (json) {
    for (const row of rows)
      io.out(JSON.stringify({ ...row, exchange: idText('exchange', row.exchange), run: idText('run', row.run) }));
    return;
  }
  if (rows.length === 0) io.chatter(printable(filter === null ? 'none' : `none with ${filter}`));
  else for (const line of table(shown, rows, width)) io.out(line);
}
