import { expect, test } from 'vitest';
import { type Column, table } from '../../src/commands/present.ts';

interface Row {
  name: string;
  what: string;
  note: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'RESOURCE', value: row => row.name },
  { title: 'WHAT', value: row => row.what },
  { title: 'NOTE', value: row => row.note },
];
const long = `Exec[begin ${'x'.repeat(5_000)} end]`;
const ROWS = [
  { name: 'File[/etc/motd]', what: 'changed', note: 'absent → file' },
  { name: long, what: 'failed', note: 'exit 3' },
];
const lines = (rows: readonly Row[], width: number): string[] => [...table(COLUMNS, rows, width)];

test('a title of pages leaves the other rows of a table as they are, and is whole where no line is cut', () => {
  const [head, first, second] = lines(ROWS, Number.MAX_SAFE_INTEGER);
  expect(head).toBe(`${'RESOURCE'.padEnd(100)}  WHAT     NOTE`);
  expect(first).toBe(`${'File[/etc/motd]'.padEnd(100)}  changed  absent → file`);
  expect(second).toBe(`${long}  failed   exit 3`);
});

test('a terminal shows all columns: the widest is cut in the middle', () => {
  expect(lines(ROWS, 80)).toEqual([
    `${'RESOURCE'.padEnd(56)}  WHAT     NOTE`,
    `${'File[/etc/motd]'.padEnd(56)}  changed  absent → file`,
    `Exec[begin ${'x'.repeat(17)}…${'x'.repeat(22)} end]  failed   exit 3`,
  ]);
});

test('what fits is not cut, and in a terminal too narrow for all the line is', () => {
  expect(lines(ROWS.slice(0, 1), 40)).toEqual(['RESOURCE         WHAT     NOTE', 'File[/etc/motd]  changed  absent → file']);
  expect(lines(ROWS.slice(0, 1), 20)).toEqual(['RESOURCE         WH…', 'File[/etc/motd]  ch…']);
});
