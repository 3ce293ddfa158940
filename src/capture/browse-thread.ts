import { parentPort, workerData } from 'node:worker_threads';
import { asksBodies, createKnownAnswers, isSettled, type Learned } from './browse-known.ts';
import { type Found, PAGE_BUDGET_MS, scanCount, scanPage, type Tally } from './browse-scan.ts';
import {
  type BrowsedList,
  type BrowsedRows,
  type BrowserData,
  type CountSoFar,
  type FromBrowser,
  type Listed,
  type PageRequest,
  SORTS,
  type SortBy,
  stopSlot,
  type TimesRequest,
  type ToBrowser,
} from './browse-shapes.ts';
import { createSortedLists } from './browse-sorted.ts';
import { createTimesLists } from './browse-times.ts';
import { openForReading, readingError } from './database.ts';
import { CaptureError } from './errors.ts';
import { registerFilterFunctions, Stopped } from './filter-functions.ts';
import { READ_SQL } from './read-sql.ts';
import { connectionRow, exchangeRow, type StoredConnection, type StoredExchange } from './reading.ts';
import type { RunRow } from './shapes.ts';

/*
 * The thread behind browse.ts. Each request is a generator that does a step of some milliseconds at a time; pages go before counts, and
 * between steps messages are taken, so that nothing waits for a long count and everything can be cancelled.
 */

/** Progress is told this often at most. */
const PROGRESS_MS = 33;
const MAX_LIMIT = 1_000;

interface Job {
  type: ToBrowser['type'];
  work: Generator<CountSoFar | undefined, FromBrowser>;
  toldAt: number;
}

const { file, slots } = workerData as BrowserData;
const stops = new Int32Array(slots);
const port = parentPort!;
const jobs = new Map<number, Job>();
let current = 0;
let running = false;

const db = openForReading(file);
registerFilterFunctions(db, () => Atomics.load(stops, stopSlot(current)) === current);
const answers = createKnownAnswers(db);
const sortedLists = createSortedLists(db, answers);
const timesLists = createTimesLists(db, answers);
const rows = {
  exchange: db.prepare<[number], StoredExchange>(READ_SQL.exchange),
  run: db.prepare<[number], RunRow>(READ_SQL.run),
  connection: db.prepare<[number], StoredConnection>(READ_SQL.connection),
};

port.on('message', (message: ToBrowser) => {
  if (message.type === 'cancel') {
    jobs.delete(message.job);
    return;
  }
  const { job } = message;
  jobs.set(job, { type: message.type, work: workOf(message), toldAt: performance.now() });
  if (!running) void run();
});

function workOf(message: Exclude<ToBrowser, { type: 'cancel' }>): Job['work'] {
  switch (message.type) {
    case 'page':
      return page(message.job, message.request);
    case 'count':
      return count(message.job, message.request);
    case 'times':
      return times(message.job, message.request);
  }
}

async function run(): Promise<void> {
  running = true;
  for (let next = chosenJob(); next !== null; next = chosenJob()) {
    step(...next);
    await new Promise(resolve => setImmediate(resolve));
  }
  running = false;
}

function chosenJob(): [number, Job] | null {
  let first: [number, Job] | null = null;
  for (const entry of jobs) {
    if (entry[1].type === 'page') return entry;
    first ??= entry;
  }
  return first;
}

function step(id: number, job: Job): void {
  current = id;
  try {
    const { done, value } = job.work.next();
    if (done === true) {
      jobs.delete(id);
      port.postMessage(value);
    } else if (value !== undefined && performance.now() - job.toldAt >= PROGRESS_MS) {
      job.toldAt = performance.now();
      port.postMessage({ type: 'counting', job: id, soFar: value } satisfies FromBrowser);
    }
  } catch (thrown) {
    jobs.delete(id);
    if (thrown instanceof Stopped) return;
    const error = readingError(thrown, file);
    const { message, hint } =
      error instanceof CaptureError ? error : { message: error instanceof Error ? error.message : 'no page', hint: null };
    port.postMessage({ type: 'failed', job: id, message, hint } satisfies FromBrowser);
  }
}

function* page(job: number, asked: PageRequest<BrowsedList>): Generator<undefined, FromBrowser> {
  const { list, limit, sort, fromRow } = checked(asked);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) throw new RangeError(`a page has 1 to ${MAX_LIMIT} rows`);
  const by = sort?.by ?? 'time';
  if (!(SORTS[list] as readonly SortBy[]).includes(by)) throw new RangeError(`a list of ${list}s is not sorted by ${String(by)}`);
  const place = fromRow === undefined ? null : sortedLists.placeOf(asked, by, fromRow.id);
  const request = fromRow === undefined || place === null ? asked : { ...asked, [fromRow.to]: place };
  const found: Found = yield* by === 'time' ? pageByTime(request) : sortedLists.page(request, by);
  const { ids, ...places } = found;
  return { type: 'page', job, page: { ...places, rows: rowsOf(list, ids) } };
}

function* times(job: number, request: TimesRequest): Generator<CountSoFar, FromBrowser> {
  const timing = timesLists.times(request);
  for (let step = timing.next(); ; step = timing.next()) {
    if (step.done === true) return { type: 'timed', job, times: step.value };
    yield { count: 0, part: step.value };
  }
}

/** Filters whose pages were not full when their time was over: with answers worked out before, going on is many times as fast. */
const rare = new Set<string>();
const MAX_RARE = 100;

function* pageByTime(request: PageRequest<BrowsedList>): Generator<undefined, Found> {
  const { filter = null, after, before, budgetMs = PAGE_BUDGET_MS } = request;
  const place = before === 'end' ? null : (before ?? after ?? null);
  const name = JSON.stringify([request.list, filter, request.groups]);
  let learned: Learned | null = null;
  if (filter !== null && place !== null && rare.has(name)) {
    const began = performance.now();
    const learning = answers.learn(filter, false);
    for (let step = learning.next(); ; step = learning.next()) {
      if (step.done === true) {
        learned = step.value;
        break;
      }
      // Nothing found in this time, and to be gone on with at the same place.
      if (performance.now() - began > budgetMs) return { ids: [], first: null, last: null, reached: place };
      yield;
    }
  }
  const found = yield* scanPage(db, request, learned);
  if (filter !== null && found.ids.length < request.limit && found.reached !== null) {
    if (rare.size >= MAX_RARE) rare.clear();
    rare.add(name);
  }
  return found;
}

/** When a count has gone on for so long, it is known about how long it will take. */
const TRIAL_MS = 150;
/** What takes longer is learned for first; the more so where bodies would have to be unpacked that the rest of a filter does not want. */
const LONG_MS = 600;
const LONG_FOR_BODIES_MS = 2_000;
/** What takes so many times as long as that is seen much sooner. */
const FAR_TOO_LONG = 10;

function* count(job: number, request: Listed<BrowsedList>): Generator<CountSoFar, FromBrowser> {
  const { filter = null } = checked(request);
  const tally = tallyOf(request);
  let part = 0;
  if (filter !== null && !answers.knows(filter)) {
    const limit = asksBodies(filter) ? LONG_FOR_BODIES_MS : LONG_MS;
    const began = performance.now();
    const trial = scanCount(db, request, null, tally);
    for (let step = trial.next(); ; step = trial.next()) {
      if (step.done === true) return { type: 'counted', job, count: step.value };
      part = step.value;
      const passed = performance.now() - began;
      const expected = passed / part;
      if (expected > limit && (passed > TRIAL_MS || expected > FAR_TOO_LONG * limit)) break;
      yield { count: tally.count, part };
    }
  }
  // Of the way that is left, learning is a half.
  const learning = answers.learn(filter, true);
  let half = part;
  let learned = learning.next();
  for (; learned.done !== true; learned = learning.next()) {
    half = (1 + part) / 2;
    yield { count: tally.count, part: part + (half - part) * learned.value };
  }
  const counting = scanCount(db, request, learned.value, tally);
  for (let step = counting.next(); ; step = counting.next()) {
    if (step.done === true) return { type: 'counted', job, count: step.value };
    yield { count: tally.count, part: half + ((step.value - part) / (1 - part)) * (1 - half) };
  }
}

/** Counts that are gone on with when the capture has grown, or after they were stopped. */
const tallies = new Map<string, Tally>();
const MAX_TALLIES = 20;

/** Of exchanges that never answer otherwise again; all others are counted from the start. */
function tallyOf(request: Listed<BrowsedList>): Tally {
  const { list, filter = null, groups = [] } = request;
  const fresh = { first: -1, upTo: -1, count: 0 };
  if (list !== 'exchange' || !isSettled(request)) return fresh;
  const name = JSON.stringify([filter, groups]);
  const known = tallies.get(name) ?? fresh;
  if (tallies.size >= MAX_TALLIES) tallies.clear();
  tallies.set(name, known);
  return known;
}

/** The list names a table: nothing else may come through. */
function checked<Request extends Listed<BrowsedList>>(request: Request): Request {
  if (!Object.hasOwn(SORTS, request.list)) throw new RangeError('there is no such list');
  return request;
}

/** Rows that retention has taken since are left out. */
function rowsOf(list: BrowsedList, ids: readonly number[]): BrowsedRows[BrowsedList][] {
  const found: BrowsedRows[BrowsedList][] = [];
  for (const id of ids) {
    if (list === 'run') {
      const run = rows.run.get(id);
      if (run !== undefined) found.push(run);
    } else if (list === 'exchange') {
      const exchange = rows.exchange.get(id);
      if (exchange !== undefined) found.push(exchangeRow(exchange));
    } else {
      const connection = rows.connection.get(id);
      if (connection !== undefined) found.push(connectionRow(connection));
    }
  }
  return found;
}
