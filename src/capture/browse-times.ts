import type { Database } from 'better-sqlite3';
import { createTimesFold, type GroupTimes, requestName, sortTimes, type TimesBy, type TimesFold } from '../analysis/times.ts';
import { isSettled, type KnownAnswers } from './browse-known.ts';
import { conditionFor, extentOf } from './browse-scan.ts';
import type { TimesAnswer, TimesRequest } from './browse-shapes.ts';
import { steps } from './browse-steps.ts';

/** Folds that are kept, of 8 bytes an exchange: who changes the order, or comes back to a grouping, waits for nothing. */
const KEPT = 6;
/** Requests whose name is remembered, of those that are not longer than this. */
const MAX_NAMES = 20_000;
const NAMED_CHARACTERS = 512;

/** Times of all exchanges from the id `first` up to `upTo` that a request wants. */
interface Folded {
  name: string;
  fold: TimesFold;
  first: number;
  upTo: number;
  /** Of the file when it was made. */
  version: number;
}

export interface TimesLists {
  /** Yields the part of the way that is done, 0 to 1. */
  times(request: TimesRequest): Generator<number, TimesAnswer>;
}

type Read = [
  group: string | number | null,
  status: number | null,
  outcome: string,
  durationMs: number,
  requestBytes: number,
  responseBytes: number,
  method: string | null,
  target: string | null,
];

/** What SQLite has of the name of a group, as `groupOf` gives it; of a kind of request only the phase. */
const GROUP: Readonly<Record<TimesBy, string>> = {
  phase: 'e.phase',
  certname: 'e.certname',
  environment: 'e.environment',
  request: 'e.phase',
  status: 'CAST(e.status AS TEXT)',
  run: "(SELECT 'r' || m.run FROM run_exchange m WHERE m.exchange = e.id)",
};

/** The duration as `v_exchange` has it. */
function selectOf(by: TimesBy, condition: string): string {
  const more = by === 'request' ? 'e.method, e.target' : 'NULL, NULL';
  return `SELECT ${GROUP[by]}, e.status, e.outcome, round(e.end_mono - e.start_mono, 3), e.request_bytes, e.response_bytes, ${more}
    FROM exchange e WHERE e.id BETWEEN ? AND ? AND ${condition}`;
}

/**
 * Percentiles by group. Every exchange is looked at once; when the capture has grown, only what is new, if what was asked of the others cannot be
 * answered otherwise by now.
 */
export function createTimesLists(db: Database, answers: KnownAnswers): TimesLists {
  let kept: Folded[] = [];
  const versionNow = (): number => Number(db.pragma('data_version', { simple: true }));

  function* folded(request: TimesRequest): Generator<number, Folded> {
    const { by, filter = null, run = null, groups = [] } = request;
    const name = JSON.stringify([by, filter, run, groups]);
    const version = versionNow();
    const before = kept.find(known => known.name === name);
    if (before?.version === version) return before;
    const learning = answers.learn(filter, true);
    let learned = learning.next();
    for (; learned.done !== true; learned = learning.next()) yield learned.value / 2;
    const { first, last } = extentOf(db, 'exchange', learned.value);
    const isExtended = by !== 'run' && isSettled(request) && before?.first === first;
    const fold: Folded =
      isExtended && before !== undefined ? before : { name, fold: createTimesFold(), first, upTo: first - 1, version: -1 };
    const condition = conditionFor({ ...request, list: 'exchange' }, learned.value.known);
    const nameOf = by === 'request' ? requestNames() : ([name]: Read) => (name === null ? null : String(name));
    const statement = db.prepare<unknown[], Read>(selectOf(by, condition.sql)).raw();
    for (const range of steps(fold.upTo + 1, last, true)) {
      // All of a step or nothing: a statement that is stopped has added none.
      for (const row of statement.all(range.from, range.to, ...condition.values)) {
        const [, status, outcome, durationMs, requestBytes, responseBytes] = row;
        fold.fold.add(nameOf(row), { status, outcome, durationMs, requestBytes, responseBytes });
      }
      fold.upTo = range.to;
      yield (1 + (range.to - first + 1) / (last - first + 1)) / 2;
    }
    fold.version = version;
    kept = [fold, ...kept.filter(known => known.name !== name)].slice(0, KEPT);
    return fold;
  }

  return {
    *times(request) {
      const { by, sort, limit } = request;
      const { fold } = yield* folded(request);
      const groups: GroupTimes[] = [];
      let began = performance.now();
      for (const group of fold.groups()) {
        groups.push(group);
        if (performance.now() - began < GROUPS_MS) continue;
        yield 1;
        began = performance.now();
      }
      const totalMs = groups.reduce((sum, group) => sum + group.totalMs, 0);
      const requests = groups.reduce((sum, group) => sum + group.requests, 0);
      return { rows: sortTimes(groups, by, sort).slice(0, limit), groups: groups.length, requests, totalMs };
    },
  };
}

/** Percentiles are worked out for so long at a time. */
const GROUPS_MS = 10;

/** Agents ask for the same things in the same words. */
function requestNames(): (row: Read) => string {
  const names = new Map<string, string>();
  return ([phase, , , , , , method, target]) => {
    const asked = `${method} ${phase} ${target}`;
    const known = names.get(asked);
    if (known !== undefined) return known;
    const name = requestName(method ?? '', target ?? '', String(phase));
    if (names.size >= MAX_NAMES) names.clear();
    if (asked.length <= NAMED_CHARACTERS) names.set(asked, name);
    return name;
  };
}
