import type { Database, Statement } from 'better-sqlite3';
import { type Cell, stored } from './decoded-cells.ts';
import { LIST_NAMES, LIST_TABLES, type ListName, N_BITS, N_MASK } from './list-schema.ts';
import type { DerivedWrite } from './messages.ts';
import type { Value } from './statements.ts';

/** A list may differ from its base in this share of its rows; beyond that it is written whole, and is the next one's base. */
const MOST_DIFFERENT = 0.25;

/** Nodes whose last whole lists are remembered. */
const REMEMBERED = 20_000;

/** What was yielded so far has to be in the file before the next row is asked for. */
export const PAUSE: DerivedWrite = ['pause'];

export type Cells = Readonly<Record<string, Cell>>;

/** Writes lists of a kind so that what is the same as in an earlier list is not written again. */
export interface Lists {
  /**
   * The rows of a list, numbered from 1.
   *
   * @param owner the exchange or the body that they belong to
   * @param cells of a row by its index; asked more than once
   */
  rows(name: ListName, owner: number, count: number, cells: (index: number) => Cells): Generator<DerivedWrite>;
}

interface Whole {
  id: number;
  count: number;
}

interface Kind {
  same: Statement<Value[], number>;
  always: Statement<[number], Record<string, Value>>;
  present: Statement<[number, number], number>;
}

/** A row's id. Ids of lists stay far below 2 ** 29, so that this is exact. */
function rowId(list: number, n: number): number {
  return list * 2 ** N_BITS + n;
}

/**
 * The lists of one decoding, which reads only. Bases are remembered by certname and kind, and by kind alone for a node that is new; whoever
 * deletes what is old may delete one meanwhile, so that a list first says which base it has, and then looks at it.
 */
export function createLists(db: Database): { of(certname: string | null): Lists } {
  const kinds = Object.fromEntries(
    LIST_NAMES.map((name): [ListName, Kind] => {
      const { always, columns } = LIST_TABLES[name];
      const equal = [...always, ...columns].map(column => `"${column}" IS ?`).join(' AND ');
      return [
        name,
        {
          same: db.prepare<Value[], number>(`SELECT 1 FROM ${name}_row WHERE id = ? AND ${equal}`).pluck(),
          always: db.prepare(`SELECT ${always.map(column => `"${column}"`).join(', ')} FROM ${name}_row WHERE id = ?`),
          present: db.prepare<[number, number], number>(`SELECT count(*) FROM ${name}_row WHERE id BETWEEN ? AND ?`).pluck(),
        },
      ];
    }),
  ) as Record<ListName, Kind>;
  const lastId = db.prepare<[], number>('SELECT coalesce(max(id), 0) FROM list').pluck();
  const bases = new Map<string, Whole>();
  let last = 0;

  function remember(key: string, whole: Whole): void {
    bases.delete(key);
    bases.set(key, whole);
    if (bases.size > REMEMBERED) bases.delete(bases.keys().next().value ?? '');
  }

  function valuesOf(name: ListName, cells: Cells): Value[] {
    const { always, columns } = LIST_TABLES[name];
    return [...always, ...columns].map(column => stored(cells[column]));
  }

  function isSame(name: ListName, base: number, n: number, values: readonly Value[]): boolean {
    return kinds[name].same.get(rowId(base, n), ...values) === 1;
  }

  /** The first of some whole lists that a list is near enough to. */
  function baseFor(name: ListName, candidates: readonly (Whole | undefined)[], count: number, cells: (i: number) => Cells) {
    const seen = new Set<number>();
    return candidates.find(whole => {
      if (whole === undefined || seen.has(whole.id) || whole.count < count) return false;
      seen.add(whole.id);
      let left = Math.max(1, Math.floor(count * MOST_DIFFERENT));
      for (let i = 0; i < count && left >= 0; i++) if (!isSame(name, whole.id, i + 1, valuesOf(name, cells(i)))) left--;
      return left >= 0;
    });
  }

  /** A row that takes the place of the base's, without what is the same in it. */
  function override(name: ListName, list: number, base: number, n: number, values: readonly Value[]): DerivedWrite {
    const before = kinds[name].always.get(rowId(base, n)) ?? {};
    const { always } = LIST_TABLES[name];
    return [
      name,
      rowId(list, n),
      ...values.map((value, i) => (i < always.length && before[always[i]!] === value ? null : value)),
    ];
  }

  return {
    of: certname => ({
      *rows(name, owner, given, cells) {
        const count = Math.min(given, N_MASK);
        if (count === 0) return;
        const mine = `${name} ${certname}`;
        const any = `${name}`;
        const found = baseFor(name, [bases.get(mine), bases.get(any)], count, cells);
        const id = Math.max(last, lastId.get() ?? 0) + 1;
        last = id;
        const { code } = LIST_TABLES[name];
        const [since, text] = packed(name, count, cells);
        yield ['list', id, owner, code, found?.id ?? id, count, since, text];
        let base = found ?? null;
        if (base !== null) {
          yield PAUSE; // from here on nobody deletes the base
          if (kinds[name].present.get(rowId(base.id, 1), rowId(base.id, count)) !== count) {
            base = null;
            yield ['list is whole', id];
          }
        }
        for (let i = 0; i < count; i++) {
          const values = valuesOf(name, cells(i));
          if (base === null) yield [name, rowId(id, i + 1), ...values];
          else if (!isSame(name, base.id, i + 1, values)) yield override(name, id, base.id, i + 1, values);
        }
        const whole = base ?? { id, count };
        remember(mine, whole);
        remember(any, whole);
      },
    }),
  };
}

/** The values that differ in each run. */
function packed(name: ListName, count: number, cells: (i: number) => Cells): [since: number | null, text: string | null] {
  const columns = LIST_TABLES[name].packed;
  if (columns.length === 0) return [null, null];
  let since: number | null = null;
  const value = (cell: Value, unit: 'ns' | 'ms'): number | string | null => {
    if (typeof cell !== 'number' || !Number.isFinite(cell)) return null;
    if (unit === 'ms') {
      const at = wholeMs(cell);
      if (!Number.isSafeInteger(at)) return null;
      since ??= at;
      return at - since;
    }
    return billionths(cell);
  };
  const entries: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const row = cells(i);
    const values = columns.map(([column, unit]) => value(stored(row[column]), unit));
    entries.push(values.length === 1 ? values[0] : values);
  }
  return [since, JSON.stringify(entries)];
}

/** The millisecond that SQLite's strftime makes of a moment: it rounds the sum of it and the Julian day of 1970. */
function wholeMs(at: number): number {
  const epoch = 210_866_760_000_000;
  return Math.floor((at / 1000) * 1000 + epoch + 0.5) - epoch;
}

/** Seconds as an integer of billionths where that says the same; a number that would then be read as billionths as text. */
function billionths(value: number): number | string {
  const whole = Math.round(value * 1e9);
  if (Number.isSafeInteger(whole) && whole / 1e9 === value) return whole;
  return Number.isInteger(value) ? String(value) : value;
}
