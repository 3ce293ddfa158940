import type { Database } from 'better-sqlite3';
import type { Filter, Pattern } from '../analysis/filter.ts';
import { bodyMatcher } from '../analysis/filter-match.ts';
import { type BodyList, createBodyList } from './browse-bodies.ts';
import type { Listed } from './browse-shapes.ts';
import { steps } from './browse-steps.ts';
import { type Condition, lineIn, textInOneOf, typeIn } from './filter-pattern-sql.ts';
import { type Asked, type Known, NOTHING_KNOWN } from './filter-sql.ts';

/*
 * Equal header lines are stored once, and so are equal bodies; a connection carries many exchanges. What a filter asks of these is worked out
 * for each of them once, and an exchange is then only asked whether its own are among those that answered yes: a million questions become
 * some ten thousand.
 */

/** What was learned: true of all exchanges up to one. Later ones may have lines, bodies and connections that nobody was asked about. */
export interface Learned {
  readonly known: Known;
  readonly upTo: number;
}

export interface KnownAnswers {
  /**
   * Works out, in steps, what a filter asks and is not known yet. Stopped in between, it goes on where it was. Yields the part that is done,
   * 0 to 1.
   *
   * @param withBodies `false`: not of bodies, which have to be unpacked for it; what is known of them is used
   */
  learn(filter: Filter | null, withBodies: boolean): Generator<number, Learned>;
  /** What a filter asks was worked out before: only what is new has to be asked. */
  knows(filter: Filter): boolean;
}

/** Answers to one question: a table of the ids that answered yes. */
interface Answers {
  readonly table: string;
  /** The last id that was asked of lines, which never change; of bodies the place in their list. */
  upTo: number;
  /** Of the file when the last was asked. */
  version: number;
}

/** Of the time that bodies take, about how much goes into finding out which there are. */
const EXTENDING = 0.2;

/** Questions whose answers are kept: those of a filter that is being typed, and of some before. */
const KEPT = 12;

export function createKnownAnswers(db: Database): KnownAnswers {
  db.pragma('temp_store = MEMORY');
  const all = new Map<string, Answers>();
  let bodies: BodyList | null = null;
  let made = 0;
  const versionNow = (): number => Number(db.pragma('data_version', { simple: true }));

  function answersTo(asked: Asked, pattern: Pattern): Answers {
    const name = nameOf(asked, pattern);
    const before = all.get(name);
    const answers = before ?? { table: `known_${++made}`, upTo: 0, version: -1 };
    if (before === undefined) db.exec(`CREATE TEMP TABLE ${answers.table} (id INTEGER PRIMARY KEY)`);
    all.delete(name);
    all.set(name, answers);
    for (const [oldest, { table }] of all) {
      if (all.size <= KEPT) break;
      db.exec(`DROP TABLE temp.${table}`);
      all.delete(oldest);
    }
    return answers;
  }

  function* learnOne(asked: Asked, pattern: Pattern, version: number): Generator<number, string> {
    const answers = answersTo(asked, pattern);
    if (answers.version !== version) {
      if (asked === 'body') yield* askBodies(answers, pattern);
      else if (asked === 'connection' || asked === 'peer') yield* askConnections(answers, asked, pattern);
      else yield* askLines(answers, asked, pattern);
      answers.version = version;
    }
    return `temp.${answers.table}`;
  }

  function* askLines(answers: Answers, asked: 'line' | 'type', pattern: Pattern): Generator<number> {
    const { sql, values } = asked === 'line' ? lineIn('l.lines', pattern) : typeIn('l.lines', pattern);
    yield* collect(answers, `fields l`, 'l.id', { sql, values }, answers.upTo + 1);
  }

  /** All of them again: one without a name may have got it since. No name changes. */
  function* askConnections(answers: Answers, asked: 'connection' | 'peer', pattern: Pattern): Generator<number> {
    yield* collect(answers, 'connection c', 'c.id', connectionQuestion(asked, pattern), 0);
  }

  function* collect(answers: Answers, from: string, id: string, { sql, values }: Condition, first: number): Generator<number> {
    const last = db.prepare<[], number | null>(`SELECT max(${id}) FROM ${from}`).pluck().get() ?? 0;
    const insert = db.prepare(
      `INSERT OR IGNORE INTO temp.${answers.table} SELECT ${id} FROM ${from} WHERE ${id} BETWEEN ? AND ? AND ${sql}`,
    );
    for (const range of steps(first, last, true)) {
      insert.run(range.from, range.to, ...values);
      answers.upTo = range.to;
      yield range.to / last;
    }
  }

  function* askBodies(answers: Answers, pattern: Pattern): Generator<number> {
    bodies ??= createBodyList(db);
    for (const part of bodies.extend()) yield part * EXTENDING;
    const matches = bodyMatcher(pattern);
    const insert = db.prepare(`INSERT OR IGNORE INTO temp.${answers.table} SELECT value FROM json_each(?)`);
    while (answers.upTo < bodies.length) {
      const { yes, next } = bodies.ask(answers.upTo, matches);
      if (yes.length > 0) insert.run(JSON.stringify(yes));
      answers.upTo = next;
      yield EXTENDING + ((1 - EXTENDING) * next) / bodies.length;
    }
  }

  const isKnown = (asked: Asked, pattern: Pattern): boolean => (all.get(nameOf(asked, pattern))?.version ?? -1) !== -1;

  return {
    knows: filter => questionsOf(filter).every(([asked, pattern]) => isKnown(asked, pattern)),
    *learn(filter, withBodies) {
      const upTo = db.prepare<[], number | null>('SELECT max(id) FROM exchange_row').pluck().get() ?? 0;
      if (filter === null) return { known: NOTHING_KNOWN, upTo };
      const version = versionNow();
      const tables = new Map<string, string>();
      const questions = questionsOf(filter)
        .filter(([asked, pattern]) => withBodies || asked !== 'body' || isKnown(asked, pattern))
        .slice(0, KEPT);
      for (const [i, [asked, pattern]] of questions.entries()) {
        const learning = learnOne(asked, pattern, version);
        let step = learning.next();
        for (; step.done !== true; step = learning.next()) yield (i + step.value) / questions.length;
        tables.set(nameOf(asked, pattern), step.value);
      }
      return { known: (asked, pattern) => tables.get(nameOf(asked, pattern)) ?? null, upTo };
    },
  };
}

/** What may come later than the exchange: its run, what was decoded and found, the end of its connection. */
const LATER: ReadonlySet<string> = new Set(['run', 'find', 'res', 'fact', 'd', 'conn']);

/** An exchange answers once and for all: the filter asks only of what is written with it. */
function isFixed(filter: Filter): boolean {
  switch (filter.type) {
    case 'and':
    case 'or':
      return filter.terms.every(isFixed);
    case 'not':
      return isFixed(filter.term);
    case 'text':
      return !LATER.has(filter.on);
    case 'ids':
      return filter.of === 'conn';
    default:
      return true;
  }
}

/** Exchanges that are there answer a request once and for all. */
export function isSettled({ filter, run, groups = [] }: Pick<Listed<'exchange'>, 'filter' | 'run' | 'groups'>): boolean {
  return (
    run === undefined && groups.every(({ by }) => by !== 'run') && (filter === null || filter === undefined || isFixed(filter))
  );
}

/** Bodies would have to be unpacked. */
export function asksBodies(filter: Filter): boolean {
  return questionsOf(filter).some(([asked]) => asked === 'body');
}

function nameOf(asked: Asked, pattern: Pattern): string {
  return JSON.stringify([asked, pattern]);
}

function connectionQuestion(asked: 'connection' | 'peer', pattern: Pattern): Condition {
  return textInOneOf(asked === 'peer' ? ['c.peer'] : ['c.server_name', 'c.target'], pattern);
}

function questionsOf(filter: Filter): [Asked, Pattern][] {
  switch (filter.type) {
    case 'and':
    case 'or':
      return filter.terms.flatMap(questionsOf);
    case 'not':
      return questionsOf(filter.term);
    case 'text': {
      const asked = ASKED[filter.on];
      return asked === undefined ? [] : [[asked, filter.pattern]];
    }
    default:
      return [];
  }
}

/** What the terms of the language ask about. */
const ASKED: Readonly<Partial<Record<string, Asked>>> = {
  h: 'line',
  hq: 'line',
  hs: 'line',
  t: 'type',
  tq: 'type',
  ts: 'type',
  b: 'body',
  bq: 'body',
  bs: 'body',
  d: 'connection',
  conn: 'peer',
};
