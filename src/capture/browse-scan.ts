import type { Database } from 'better-sqlite3';
import type { TimesGroup } from '../analysis/times.ts';
import type { Learned } from './browse-known.ts';
import type { BrowsedList, Cursor, Listed, PageRequest } from './browse-shapes.ts';
import { steps } from './browse-steps.ts';
import { MOMENT_COLUMNS, ROUTE_COLUMNS } from './exchange-schema.ts';
import type { Condition } from './filter-pattern-sql.ts';
import { ALIASES, conditionOf, type Known, NOTHING_KNOWN } from './filter-sql.ts';

/** With the last step and the rows themselves, a page is there within 100 ms. */
export const PAGE_BUDGET_MS = 60;

/** The condition of a request on its table. */
export function conditionFor({ list, filter, run, groups = [] }: Omit<Listed<BrowsedList>, 'sort'>, known: Known): Condition {
  const conditions = filter === null || filter === undefined ? [] : [conditionOf(filter, list, known)];
  if (run !== undefined) conditions.push({ sql: OF_RUN[list], values: [run] });
  for (const group of groups) conditions.push(inGroup(group));
  if (conditions.length === 0) return { sql: '1', values: [] };
  return { sql: conditions.map(({ sql }) => sql).join(' AND '), values: conditions.flatMap(({ values }) => values) };
}

const OF_RUN: Readonly<Record<BrowsedList, string>> = {
  exchange: 'e.id IN (SELECT exchange FROM run_exchange WHERE run = ?)',
  run: 'r.id = ?',
  connection: 'c.id IN (SELECT connection FROM run_connection WHERE run = ?)',
};

/** Exchanges of a group, as `groupOf` puts them together. */
function inGroup({ by, name }: TimesGroup): Condition {
  switch (by) {
    case 'phase':
    case 'certname':
    case 'environment':
      return isValue(`e.${by}`, name);
    case 'status':
      return isValue('e.status', name === null ? null : Number(name));
    case 'run':
      return name === null
        ? { sql: 'NOT EXISTS (SELECT 1 FROM run_exchange m WHERE m.exchange = e.id)', values: [] }
        : { sql: OF_RUN.exchange, values: [Number(name.slice(1))] };
    case 'request':
      return {
        sql: 'e.method = ? AND request_name(e.method, e.target, e.phase) = ?',
        values: [(name ?? '').split(' ', 1)[0] ?? '', name ?? ''],
      };
  }
}

function isValue(column: string, value: string | number | null): Condition {
  return value === null ? { sql: `${column} IS NULL`, values: [] } : { sql: `${column} = ?`, values: [value] };
}

/** Columns that the view `exchange` looks up in another table, or works out. */
const OF_VIEW = new RegExp(`\\be\\.(${[...ROUTE_COLUMNS, ...MOMENT_COLUMNS, 'start_mono'].join('|')})\\b`);

/** Where rows are read: of exchanges only what is stored with each, where that is enough for what is asked. */
function tableOf(list: BrowsedList, asked: string): string {
  return list === 'exchange' && !OF_VIEW.test(asked) ? 'exchange_row' : list;
}

/** The ids that a list has now. */
export function extent(db: Database, list: BrowsedList): { first: number; last: number } {
  const row = db
    .prepare<[], { first: number | null; last: number | null }>(
      `SELECT (SELECT id FROM ${list} ORDER BY id LIMIT 1) AS first, (SELECT id FROM ${list} ORDER BY id DESC LIMIT 1) AS last`,
    )
    .get();
  return { first: row?.first ?? 1, last: row?.last ?? 0 };
}

/** Ids of a page in the order of the list, and where to go on. */
export interface Found {
  ids: number[];
  first: Cursor | null;
  last: Cursor | null;
  reached: Cursor | null;
}

/** How far is looked: not at exchanges of which nothing was learned. */
export function extentOf(db: Database, list: BrowsedList, learned: Learned | null): { first: number; last: number } {
  const { first, last } = extent(db, list);
  return { first, last: list === 'exchange' && learned !== null ? Math.min(last, learned.upTo) : last };
}

/** Looks for the rows of a page in the order of ids. Yields after each step, so that the caller can do something else or stop. */
export function* scanPage(db: Database, request: PageRequest<BrowsedList>, learned: Learned | null): Generator<undefined, Found> {
  const { list, limit, after, before, budgetMs = PAGE_BUDGET_MS } = request;
  const descending = request.sort?.descending === true;
  const backwards = before !== undefined;
  const up = descending === backwards;
  const bounds = extentOf(db, list, learned);
  const place = backwards ? (before === 'end' ? null : before.id) : (after?.id ?? null);
  if (place !== null && up) bounds.first = Math.max(bounds.first, place + 1);
  if (place !== null && !up) bounds.last = Math.min(bounds.last, place - 1);
  const { sql, values } = conditionFor(request, learned?.known ?? NOTHING_KNOWN);
  const alias = ALIASES[list];
  const statement = db
    .prepare<unknown[], number>(
      `SELECT ${alias}.id FROM ${tableOf(list, sql)} ${alias} WHERE ${alias}.id BETWEEN ? AND ? AND ${sql} ORDER BY ${alias}.id ${up ? 'ASC' : 'DESC'} LIMIT ?`,
    )
    .pluck();
  const began = performance.now();
  const ids: number[] = [];
  let reached: Cursor | null = null;
  for (const { from, to } of steps(bounds.first, bounds.last, up)) {
    for (const id of statement.all(from, to, ...values, limit - ids.length)) ids.push(id);
    const edge = ids.length >= limit ? ids.at(-1)! : up ? to : from;
    if (ids.length >= limit || performance.now() - began > budgetMs) {
      reached = (up ? edge < bounds.last : edge > bounds.first) ? { key: edge, id: edge } : null;
      break;
    }
    yield;
  }
  if (backwards) ids.reverse();
  const cursor = (id: number | undefined): Cursor | null => (id === undefined ? null : { key: id, id });
  return { ids, first: cursor(ids[0]), last: cursor(ids.at(-1)), reached };
}

/** A count that can be gone on with: `count` rows from the id `first` up to `upTo`. */
export interface Tally {
  first: number;
  upTo: number;
  count: number;
}

/** Goes on with a count to the end of the list, in steps; yields the part of the list that was looked at. */
export function* scanCount(
  db: Database,
  request: Listed<BrowsedList>,
  learned: Learned | null,
  tally: Tally,
): Generator<number, number> {
  const { list } = request;
  const { first, last } = extentOf(db, list, learned);
  // Retention has taken rows that were counted.
  if (tally.first !== first) Object.assign(tally, { first, upTo: first - 1, count: 0 });
  const { sql, values } = conditionFor(request, learned?.known ?? NOTHING_KNOWN);
  const alias = ALIASES[list];
  const statement = db
    .prepare<unknown[], number>(
      `SELECT count(*) FROM ${tableOf(list, sql)} ${alias} WHERE ${alias}.id BETWEEN ? AND ? AND ${sql}`,
    )
    .pluck();
  for (const { from, to } of steps(tally.upTo + 1, last, true)) {
    tally.count += statement.get(from, to, ...values) ?? 0;
    tally.upTo = to;
    yield (to - first + 1) / (last - first + 1);
  }
  return tally.count;
}

/** A stretch of a list that is sorted by a key, of equal keys by id: the first rows after a place, in one of both directions. */
export interface Top {
  ascending: boolean;
  after: Cursor | null;
  limit: number;
  /** Only rows from this id on are looked at; `known` are the first of those before. */
  from: number;
  known: readonly Cursor[];
}

/**
 * Looks at every row once, in steps, and takes only what is among the first so far: at most twice `limit` rows, and those of a step, are in memory.
 *
 * @returns up to `limit` rows, in the direction of the stretch
 */
export function* scanTop(
  db: Database,
  request: Listed<BrowsedList>,
  key: string,
  { ascending, after, limit, from, known }: Top,
  learned: Learned,
): Generator<undefined, Cursor[]> {
  const { list } = request;
  const { sql, values } = conditionFor(request, learned.known);
  const alias = ALIASES[list];
  const order = ascending ? 'ASC' : 'DESC';
  const [beyond, within] = ascending ? ['>', '<'] : ['<', '>'];
  // The key alone decides of most rows, before it is worked out a second time.
  const statement = db
    .prepare<unknown[], [key: number, id: number]>(
      `SELECT ${key}, ${alias}.id FROM ${tableOf(list, `${key} ${sql}`)} ${alias} WHERE ${alias}.id BETWEEN ? AND ?
       AND ${key} ${within}= ? AND (${key}, ${alias}.id) ${within} (?, ?)
       ${after === null ? '' : `AND ${key} ${beyond}= ? AND (${key}, ${alias}.id) ${beyond} (?, ?)`} AND ${sql}
       ORDER BY 1 ${order}, 2 ${order} LIMIT ?`,
    )
    .raw();
  const sign = ascending ? 1 : -1;
  const place = after === null ? [] : [after.key, after.key, after.id];
  const bounds = extentOf(db, list, learned);
  const rows: Cursor[] = [...known];
  let worst: Cursor = { key: sign * Number.POSITIVE_INFINITY, id: 0 };
  const cut = (): void => {
    rows.sort((a, b) => sign * (a.key - b.key || a.id - b.id));
    rows.length = Math.min(rows.length, limit);
    if (rows.length === limit) worst = rows.at(-1)!;
  };
  cut();
  // In the direction of the ids: of equal keys the first come first, and the others do not get past them.
  for (const range of steps(Math.max(from, bounds.first), bounds.last, ascending)) {
    const isFull = rows.length >= limit;
    const between = [worst.key, worst.key, worst.id, ...place];
    for (const [value, id] of statement.all(range.from, range.to, ...between, ...values, limit)) rows.push({ key: value, id });
    if (rows.length >= 2 * limit || !isFull) cut();
    yield;
  }
  cut();
  return rows;
}
