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

test('letters of two columns, and accents of none, leave the columns in their places', () => {
  const wide = [
    { name: 'File[/設定/漢字.conf]', what: 'changed', note: '日本語の説明' },
    { name: `File[/${'設'.repeat(40)}/end]`, what: 'cafe\u0301', note: 'absent → file' },
  ];
  expect(lines(wide, 80)).toEqual([
    `${'RESOURCE'.padEnd(56)}  WHAT     NOTE`,
    `File[/設定/漢字.conf]${' '.repeat(56 - 21)}  changed  日本語の説明`,
    `File[/${'設'.repeat(11)}…${'設'.repeat(11)}/end]  cafe\u0301     absent → file`,
  ]);
});

test('a cell of megabytes costs what is shown of it', () => {
  const name = '漢'.repeat(2_000_000);
  const [, row] = lines([{ name, what: 'changed', note: 'absent → file' }], 80);
  expect(row).toMatch(/^漢+…漢+ {1,3}changed {2}absent → file$/);
});
