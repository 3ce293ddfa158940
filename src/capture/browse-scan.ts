import type { Database, Statement } from 'better-sqlite3';
import type { BrowsedList, CountSoFar, Cursor, Listed, PageRequest } from './browse-shapes.ts';
import type { Condition } from './filter-pattern-sql.ts';
import { ALIASES, conditionOf } from './filter-sql.ts';

/** What a step of a scan may take: requests that come meanwhile, and cancellations, wait for so long at most. */
const STEP_MS = 15;

/** Ids of the first step; later ones are as long as STEP_MS allows. */
const FIRST_STEP = 100;
const LONGEST_STEP = 2 ** 40;

const DEFAULT_BUDGET_MS = 80;

/** The condition of a request on its table. */
export function conditionFor({ list, filter, run }: Listed<BrowsedList>): Condition {
  const conditions = filter === null || filter === undefined ? [] : [conditionOf(filter, list)];
  if (run !== undefined) conditions.push({ sql: OF_RUN[list], values: [run] });
  if (conditions.length === 0) return { sql: '1', values: [] };
  return { sql: conditions.map(({ sql }) => sql).join(' AND '), values: conditions.flatMap(({ values }) => values) };
}

const OF_RUN: Readonly<Record<BrowsedList, string>> = {
  exchange: 'e.id IN (SELECT exchange FROM run_exchange WHERE run = ?)',
  run: 'r.id = ?',
  connection: 'c.id IN (SELECT connection FROM run_connection WHERE run = ?)',
};

/** The ids that a list has now. */
export function extent(db: Database, list: BrowsedList): { first: number; last: number } {
  const row = db
    .prepare<[], { first: number | null; last: number | null }>(
      `SELECT (SELECT id FROM ${list} ORDER BY id LIMIT 1) AS first, (SELECT id FROM ${list} ORDER BY id DESC LIMIT 1) AS last`,
    )
    .get();
  return { first: row?.first ?? 1, last: row?.last ?? 0 };
}

/** A range of ids, walked through in steps that are as long as their time allows. */
function* steps(first: number, last: number, up: boolean): Generator<{ from: number; to: number }> {
  let length = FIRST_STEP;
  let place = up ? first : last;
  while (up ? place <= last : place >= first) {
    const began = performance.now();
    const range = up
      ? { from: place, to: Math.min(last, place + length - 1) }
      : { from: Math.max(first, place - length + 1), to: place };
    yield range;
    const factor = STEP_MS / Math.max(0.1, performance.now() - began);
    length = Math.ceil(Math.min(LONGEST_STEP, Math.max(1, length * Math.min(4, Math.max(0.1, factor)))));
    place = up ? range.to + 1 : range.from - 1;
  }
}

/** Ids of a page in the order of the list, and where to go on. */
export interface Found {
  ids: number[];
  first: Cursor | null;
  last: Cursor | null;
  reached: Cursor | null;
}

/** Looks for the rows of a page in the order of ids. Yields after each step, so that the caller can do something else or stop. */
export function* scanPage(db: Database, request: PageRequest<BrowsedList>): Generator<undefined, Found> {
  const { list, limit, after, before, budgetMs = DEFAULT_BUDGET_MS } = request;
  const descending = request.sort?.descending === true;
  const backwards = before !== undefined;
  const up = descending === backwards;
  const bounds = extent(db, list);
  const place = backwards ? (before === 'end' ? null : before.id) : (after?.id ?? null);
  if (place !== null && up) bounds.first = Math.max(bounds.first, place + 1);
  if (place !== null && !up) bounds.last = Math.min(bounds.last, place - 1);
  const { sql, values } = conditionFor(request);
  const alias = ALIASES[list];
  const statement = db
    .prepare<unknown[], number>(
      `SELECT ${alias}.id FROM ${list} ${alias} WHERE ${alias}.id BETWEEN ? AND ? AND ${sql} ORDER BY ${alias}.id ${up ? 'ASC' : 'DESC'} LIMIT ?`,
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

/** Counts the rows of a list, in steps; yields how far it is. */
export function* scanCount(db: Database, request: Listed<BrowsedList>): Generator<CountSoFar, number> {
  const { list } = request;
  const { first, last } = extent(db, list);
  const { sql, values } = conditionFor(request);
  const alias = ALIASES[list];
  const statement = db
    .prepare<unknown[], number>(`SELECT count(*) FROM ${list} ${alias} WHERE ${alias}.id BETWEEN ? AND ? AND ${sql}`)
    .pluck();
  let count = 0;
  for (const { from, to } of steps(first, last, false)) {
    count += statement.get(from, to, ...values) ?? 0;
    yield { count, part: (last - from + 1) / (last - first + 1) };
  }
  return count;
}

/** Walks over all rows from an id on, in steps. */
export function* scanKeys(
  db: Database,
  request: Listed<BrowsedList>,
  key: string,
  from: number,
  take: (id: number, key: number) => void,
): Generator<undefined> {
  const { list } = request;
  const { sql, values } = conditionFor(request);
  const alias = ALIASES[list];
  const statement: Statement<unknown[], [number, number]> = db
    .prepare<unknown[], [number, number]>(
      `SELECT ${alias}.id, ${key} FROM ${list} ${alias} WHERE ${alias}.id BETWEEN ? AND ? AND ${sql}`,
    )
    .raw();
  const bounds = extent(db, list);
  for (const range of steps(Math.max(from, bounds.first), bounds.last, true)) {
    for (const [id, value] of statement.all(range.from, range.to, ...values)) take(id, value);
    yield;
  }
}
