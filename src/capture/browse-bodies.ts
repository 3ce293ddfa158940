import type { Database } from 'better-sqlite3';
import { createPlainReader } from './body-plain.ts';
import { STORED_BODY, type StoredBody } from './body-reader.ts';
import { STEP_MS, steps } from './browse-steps.ts';

/** Bodies up to this size are read many at a time: a statement of its own takes ten times as long as what it reads of one. */
const SMALL_BYTES = 64 << 10;
const AT_ONCE = 64;

/** Bodies that are put in order together; that takes some milliseconds. */
const SORTED = 1 << 14;

/**
 * The bodies of all exchanges, each once, in an order in which they are quickly read: those that share a dictionary follow each other.
 * Whatever is asked of them, which they are is worked out once. Takes some 30 bytes a body: of a million exchanges 2 MB where only reports and
 * catalogs differ, 60 MB if no two bodies are the same.
 */
export interface BodyList {
  readonly length: number;
  /** Takes in, in steps, the exchanges that came since the last time. Yields the part that is done, 0 to 1. */
  extend(): Generator<number>;
  /**
   * Asks the bodies from a place of the list on, for the time of a step.
   *
   * @returns the ids of those that answered yes, and the place of the next that is to be asked
   * @throws CaptureError when a body is damaged
   */
  ask(place: number, matches: (plain: Buffer) => boolean): { yes: number[]; next: number };
}

type Asked = StoredBody & { lines: string | null };

export function createBodyList(db: Database): BodyList {
  const plain = createPlainReader(db);
  // Bodies do not say how they were coded: the header lines do of the exchange that had them first.
  db.exec('CREATE TEMP TABLE body_seen (id INTEGER PRIMARY KEY, lines INTEGER)');
  const find = db
    .prepare<[number, number], [request: number | null, lines: number | null, response: number | null, lines: number | null]>(
      `SELECT request_body, request_fields, response_body, response_fields FROM exchange_row
       WHERE id BETWEEN ? AND ? AND (request_body NOT IN (SELECT id FROM temp.body_seen) OR response_body NOT IN (SELECT id FROM temp.body_seen))`,
    )
    .raw();
  const see = db
    .prepare<[string], number>(
      `INSERT OR IGNORE INTO temp.body_seen SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE value ->> 0 NOT NULL RETURNING id`,
    )
    .pluck();
  const dictionaryOf = db
    .prepare<[string], number>(
      `SELECT coalesce(p.dictionary, k.dictionary, j.value) FROM json_each(?) j LEFT JOIN packed p ON p.body = j.value
       LEFT JOIN blocked q ON q.body = j.value LEFT JOIN block k ON k.id = q.block`,
    )
    .pluck();
  const read = db.prepare<[string], Asked>(
    `SELECT ${STORED_BODY.columns}, CASE WHEN b.kept <= ${SMALL_BYTES} THEN ${STORED_BODY.bytes} END AS bytes,
       (SELECT CASE WHEN l.lines LIKE '%content-encoding%' THEN l.lines END FROM fields l WHERE l.id = s.lines) AS lines
     FROM json_each(?) j CROSS JOIN temp.body_seen s ON s.id = j.value CROSS JOIN body b ON b.id = s.id ${STORED_BODY.joins}`,
  );
  let list = new Uint32Array(0);
  let length = 0;
  let upTo = 0;
  let fresh: number[] = [];

  /** Bodies that share a dictionary, and that one itself, next to each other. */
  function sortFresh(): void {
    const groups = dictionaryOf.all(JSON.stringify(fresh));
    const places = [...fresh.keys()].sort((a, b) => groups[a]! - groups[b]! || fresh[a]! - fresh[b]!);
    if (length + fresh.length > list.length) {
      const larger = new Uint32Array(Math.max(1_024, 2 * list.length, length + fresh.length));
      larger.set(list);
      list = larger;
    }
    for (const place of places) list[length++] = fresh[place]!;
    fresh = [];
  }

  return {
    get length() {
      return length;
    },
    *extend() {
      const last = db.prepare<[], number | null>('SELECT max(id) FROM exchange_row').pluck().get() ?? 0;
      for (const range of steps(upTo + 1, last, true)) {
        const found = new Map<number, number | null>();
        for (const [request, requestLines, response, responseLines] of find.iterate(range.from, range.to)) {
          if (request !== null && !found.has(request)) found.set(request, requestLines);
          if (response !== null && !found.has(response)) found.set(response, responseLines);
        }
        if (found.size > 0) for (const id of see.all(JSON.stringify([...found]))) fresh.push(id);
        upTo = Math.max(upTo, range.to);
        yield range.to / last;
        if (fresh.length >= SORTED) {
          sortFresh();
          yield range.to / last;
        }
      }
      if (fresh.length > 0) sortFresh();
    },
    ask(place, matches) {
      const began = performance.now();
      const yes: number[] = [];
      let next = place;
      while (next < length && performance.now() - began < STEP_MS) {
        const ids = [...list.subarray(next, Math.min(length, next + AT_ONCE))];
        next += ids.length;
        for (const { lines, ...stored } of read.all(JSON.stringify(ids))) {
          if (performance.now() - began >= STEP_MS) {
            next += ids.indexOf(stored.id) - ids.length;
            break;
          }
          if (matches(plain.of(stored, lines))) yes.push(stored.id);
        }
      }
      return { yes, next };
    },
  };
}
