import { highlighted } from './paint.ts';
import { type Line, pad, type Span, span } from './text.ts';

/** A column of a list. Widths are fixed, so that nothing jumps when rows come. */
export interface Column<Row> {
  readonly title: string;
  /** Columns of the terminal; of the one that grows, the least. */
  readonly width: number;
  readonly right?: boolean;
  /** Takes what is left of the line. */
  readonly grow?: true;
  /** Shown from this width of the terminal on. */
  readonly from?: number;
  cell(row: Row): Span;
}

export interface Layout<Row> {
  readonly columns: readonly Column<Row>[];
  readonly widths: readonly number[];
  readonly total: number;
}

/** Which columns there is room for, and how wide they are. Two columns stay free at the left for cursor and mark. */
export function layoutOf<Row>(all: readonly Column<Row>[], total: number): Layout<Row> {
  let columns = all.filter(column => (column.from ?? 0) <= total);
  const widthOf = (some: readonly Column<Row>[]): number => some.reduce((sum, column) => sum + column.width + 1, 1);
  // What is wanted on wide terminals only goes first, when all of it together is too much.
  while (widthOf(columns) > total && columns.length > 1) {
    const last = columns.reduce((a, b) => ((b.from ?? 0) > (a.from ?? 0) ? b : a));
    columns = columns.filter(column => column !== last);
  }
  const fixed = widthOf(columns);
  const growing = columns.filter(column => column.grow).length;
  const more = growing === 0 ? 0 : Math.max(0, Math.floor((total - fixed) / growing));
  return { columns, widths: columns.map(column => column.width + (column.grow ? more : 0)), total };
}

/** @param sorted title of the column that the rows are in the order of, with its direction */
export function headOf<Row>(layout: Layout<Row>, sorted?: { title: string; sign: string }): Line {
  return [
    span('  '),
    ...layout.columns.flatMap((column, i): Span[] => {
      const title = sorted?.title === column.title ? `${column.title}${sorted.sign}` : column.title;
      return [span(pad(title, layout.widths[i]!, column.right ? 'right' : 'left'), 'head'), span(gap(layout, i))];
    }),
  ];
}

function gap(layout: { columns: readonly unknown[] }, i: number): string {
  return i < layout.columns.length - 1 ? ' ' : '';
}

export interface RowLook {
  cursor: boolean;
  /** One column: a mark, or the letter of the row. */
  sign?: string;
  /** Of the theme. */
  signs: { cursor: string };
}

/** One row of a list; the cursor's is inverse from edge to edge, and has a sign. */
export function rowOf<Row>(layout: Layout<Row>, row: Row, look: RowLook): Line {
  const left = `${look.cursor ? look.signs.cursor : ' '}${look.sign || ' '}`;
  const cells = layout.columns.flatMap((column, i): Span[] => {
    const { text, style } = column.cell(row);
    const shown = pad(text, layout.widths[i]!, column.right ? 'right' : 'left');
    return [style === undefined ? { text: shown } : { text: shown, style }, span(gap(layout, i))];
  });
  const line: Line = [span(left, look.sign ? 'marked' : 'bold'), ...cells];
  return look.cursor ? highlighted(line, layout.total, 'selected') : line;
}

/** Counts as bars of one character each, in `columns` columns. */
export function sparkline(values: readonly number[], signs: readonly string[]): string {
  const most = Math.max(1, ...values);
  return values
    .map(value => (value === 0 ? ' ' : signs[Math.min(signs.length - 1, Math.ceil((value / most) * signs.length) - 1)]))
    .join('');
}
