import type { Database, Statement } from 'better-sqlite3';
import { type Cell, stored } from './decoded-cells.ts';
import { LIST_NAMES, LIST_TABLES, type ListName, N_BITS, N_MASK } from './list-schema.ts';
import type { DerivedWrite } from './messages.ts';
import type { Value } from './statements.ts';

/** A list may differ from its base in this share of its rows; beyond that it is written whole, and is the next one's base. */
const MOST_DIFFERENT = 0.25;

/** Nodes whose last whole lists are remembered, and how many of each: what a node says comes and goes. */
const REMEMBERED = 20_000;
const WHOLES = 3;

/** One that does not differ by more than this factor from the best one is good enough to look at no other one. */
const NEAR = 1.25;

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

/** What is remembered of a node's lists of a kind. */
interface Known {
  /** The last first. */
  wholes: readonly Whole[];
  /** How many rows differ from the base that is nearest. */
  usual: number;
  /** The last list, and rows that differed from the same base in the same way as those of the list before: written again and again. */
  last: { id: number; base: number } | null;
  again: number;
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
  const known = new Map<string, Known>();
  let last = 0;

  function remember(key: string, what: Known): void {
    known.delete(key);
    known.set(key, what);
    if (known.size > REMEMBERED) known.delete(known.keys().next().value ?? '');
  }

  function valuesOf(name: ListName, cells: Cells): Value[] {
    const { always, columns } = LIST_TABLES[name];
    return [...always, ...columns].map(column => stored(cells[column]));
  }

  function isSame(name: ListName, base: number, n: number, values: readonly Value[]): boolean {
    return kinds[name].same.get(rowId(base, n), ...values) === 1;
  }

  /** In how many rows a list differs from a whole one; more than `most` are not counted. */
  function differences(name: ListName, whole: Whole, most: number, count: number, cells: (i: number) => Cells): number {
    if (whole.count < count) return Number.POSITIVE_INFINITY;
    let found = 0;
    for (let i = 0; i < count && found <= most; i++) if (!isSame(name, whole.id, i + 1, valuesOf(name, cells(i)))) found++;
    return found;
  }

  /** The whole list that a list is nearest to, if it is near enough. */
  function baseFor(name: ListName, mine: Known | undefined, any: Known | undefined, count: number, cells: (i: number) => Cells) {
    const most = Math.max(1, Math.floor(count * MOST_DIFFERENT));
    const candidates = new Map([...(mine?.wholes ?? []), ...(any?.wholes ?? [])].map(whole => [whole.id, whole]));
    let best: { whole: Whole; differs: number } | null = null;
    for (const whole of candidates.values()) {
      const differs = differences(name, whole, best === null ? most : best.differs - 1, count, cells);
      if (differs <= (best === null ? most : best.differs - 1)) best = { whole, differs };
      if (mine !== undefined && best !== null && best.differs <= NEAR * mine.usual)
        return { whole: best.whole, usual: mine.usual };
    }
    return best === null ? null : { whole: best.whole, usual: best.differs };
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

  function latestFirst(whole: Whole, before: Known | undefined): readonly Whole[] {
    return [whole, ...(before?.wholes ?? []).filter(({ id }) => id !== whole.id)].slice(0, WHOLES);
  }

  return {
    of: certname => ({
      *rows(name, owner, given, cells) {
        const count = Math.min(given, N_MASK);
        if (count === 0) return;
        const keys = { mine: `${name} ${certname}`, any: `${name}` };
        const [mine, any] = [known.get(keys.mine), known.get(keys.any)];
        // what was written again and again would by now have been a whole list
        const found = (mine?.again ?? 0) >= count ? null : baseFor(name, mine, any, count, cells);
        const id = Math.max(last, lastId.get() ?? 0) + 1;
        last = id;
        const { code } = LIST_TABLES[name];
        const [since, text] = packed(name, count, cells);
        yield ['list', id, owner, code, found?.whole.id ?? id, count, since, text];
        let base = found?.whole ?? null;
        if (base !== null) {
          yield PAUSE; // from here on nobody deletes the base
          if (kinds[name].present.get(rowId(base.id, 1), rowId(base.id, count)) !== count) {
            base = null;
            yield ['list is whole', id];
          }
        }
        const before = mine?.last?.base === base?.id ? mine?.last : null;
        let again = before ? (mine?.again ?? 0) : 0;
        for (let i = 0; i < count; i++) {
          const values = valuesOf(name, cells(i));
          if (base === null) yield [name, rowId(id, i + 1), ...values];
          else if (!isSame(name, base.id, i + 1, values)) {
            const row = override(name, id, base.id, i + 1, values);
            if (before && kinds[name].same.get(rowId(before.id, i + 1), ...row.slice(2)) === 1) again++;
            yield row;
          }
        }
        const whole = base ?? { id, count };
        const usual = base === null ? 0 : found?.usual;
        remember(keys.mine, { wholes: latestFirst(whole, mine), usual: usual ?? 0, last: { id, base: whole.id }, again });
        remember(keys.any, { wholes: latestFirst(whole, known.get(keys.any)), usual: 0, last: null, again: 0 });
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
