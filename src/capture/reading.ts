import type { Database, Statement } from 'better-sqlite3';
import { SIDES, type Side } from '../model.ts';
import { createBatchReader } from './body-batch.ts';
import { createBodyReader, createPartReader } from './body-reader.ts';
import { openBrowser } from './browse.ts';
import { readingError } from './database.ts';
import { createDecodedStore } from './decoded-read.ts';
import { createDetails } from './details.ts';
import { CaptureError, sqliteCode } from './errors.ts';
import { registerFilterFunctions } from './filter-functions.ts';
import { readNotes } from './notes.ts';
import { createPrimaryTimes } from './primary-time.ts';
import {
  connectionListing,
  DETAILS_PAGE,
  exchangeListing,
  findingListing,
  type Listing,
  PAGE,
  READ_SQL,
  runListing,
} from './read-sql.ts';
import type { ConnectionRow, ExchangeRow, FindingRow, LossRow, MomentsRow, QueryResult, RecordingRow, RunRow } from './shapes.ts';
import type { Store } from './store-shape.ts';

export type StoredExchange = Omit<ExchangeRow, 'failure'> & { failure: string | null };
type StoredFinding = Omit<FindingRow, 'evidence'> & { id: number; evidence: string };
export type StoredConnection = Omit<ConnectionRow, 'resumed'> & { resumed: number | null };

type BodyIds = readonly [
  request: number | null,
  response: number | null,
  primaryRequest: number | null,
  primaryResponse: number | null,
];

/** Statements of lists that are kept: a screen uses a few, filters make new ones. */
const MAX_PREPARED = 64;

/** The store over an open read-only connection, which it closes in the end. */
export function createStore(db: Database, file: string): Store {
  const run = db.prepare<[number], RunRow>(READ_SQL.run);
  const judged = db.prepare<[number], number>(READ_SQL.judged).pluck();
  const exchange = db.prepare<[number], StoredExchange>(READ_SQL.exchange);
  const details = createDetails(db);
  const connection = db.prepare<[number], StoredConnection>(READ_SQL.connection);
  const bodyIds = db.prepare<[number], BodyIds>(READ_SQL.bodyIds).raw();
  const readBody = createBodyReader(db);
  const readPart = createPartReader(db);
  const readBatch = createBatchReader(db);
  const moments = db.prepare<[number], MomentsRow>(READ_SQL.moments);
  const primaryTimes = createPrimaryTimes(db);
  const version = db.prepare<[], number>('PRAGMA data_version').pluck();
  const closeFilters = registerFilterFunctions(db);

  function reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw readingError(error, file);
    }
  }

  const prepared = new Map<string, Statement<unknown[], unknown>>();

  /** A list is asked for with every frame of a screen, and again and again with the same SQL: to prepare it takes longer than to run it. */
  function statementOf(sql: string): Statement<unknown[], unknown> {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    const made = db.prepare<unknown[], unknown>(sql);
    if (prepared.size >= MAX_PREPARED) prepared.clear();
    prepared.set(sql, made);
    return made;
  }

  /** Walks through a list page by page. */
  function* pages<Stored extends object, Row>(
    listing: Listing,
    toRows: (page: readonly Stored[]) => Iterable<Row>,
    size = PAGE,
  ): Generator<Row> {
    const { sql, cursor, values, reverse } = listing;
    let left = listing.limit;
    if (left <= 0) return;
    const statement = reading(() =>
      statementOf(`${sql} AND ${cursor} ${reverse ? '<' : '>'} +? ORDER BY ${cursor} ${reverse ? 'DESC' : 'ASC'} LIMIT +?`),
    );
    let place: unknown = reverse ? Number.MAX_SAFE_INTEGER : 0;
    while (left > 0) {
      const page = reading(() => statement.all(...values, place, Math.min(size, left))) as (Stored & Record<string, unknown>)[];
      yield* reading(() => toRows(page));
      if (page.length < size) return;
      left -= page.length;
      place = page.at(-1)![cursor];
    }
  }

  function* bytes(id: number, side: Side): Generator<Uint8Array> {
    const bodyId = reading(() => bodyIds.get(id))?.[SIDES.indexOf(side)] ?? null;
    if (bodyId === null) return;
    try {
      yield* readBody(bodyId);
    } catch (error) {
      throw readingError(error, file);
    }
  }

  /** Queries that were not read to their end. */
  const unread = new Set<Iterator<unknown[]>>();

  return {
    file,
    runs: (filter = {}) => pages<RunRow, RunRow>(runListing(filter), page => page),
    run: id => reading(() => run.get(id)) ?? null,
    exchanges: (filter = {}) => pages(exchangeListing(filter), exchangeRows),
    exchange: id =>
      reading(() => {
        const stored = exchange.get(id);
        return stored === undefined ? null : (details([exchangeRow(stored)])[0] ?? null);
      }),
    details: (filter = {}) =>
      pages(exchangeListing(filter), (page: readonly StoredExchange[]) => details(exchangeRows(page)), DETAILS_PAGE),
    body: bytes,
    bodies: (exchanges, side) => reading(() => readBatch(exchanges, side)),
    bodyPart: (id, side, at, length) =>
      reading(() => {
        const bodyId = bodyIds.get(id)?.[SIDES.indexOf(side)] ?? null;
        return bodyId === null ? new Uint8Array(0) : readPart(bodyId, at, length);
      }),
    moments: id => reading(() => moments.all(id)),
    connections: (filter = {}) =>
      pages(connectionListing(filter), (page: readonly StoredConnection[]) => page.map(connectionRow)),
    connection(id) {
      const stored = reading(() => connection.get(id));
      return stored === undefined ? null : connectionRow(stored);
    },
    recordings: () =>
      reading(() =>
        db
          .prepare<[], Omit<RecordingRow, 'primaries' | 'imported'> & { primaries: string; imported: number }>(
            READ_SQL.recordings,
          )
          .all()
          .map(row => ({ ...row, primaries: JSON.parse(row.primaries) as string[], imported: row.imported === 1 })),
      ),
    findings: (filter = {}) => pages(findingListing(filter), (page: readonly StoredFinding[]) => page.map(findingRow)),
    isJudged: id => reading(() => judged.get(id)) === 1,
    losses: () => reading(() => db.prepare<[], LossRow>(READ_SQL.losses).all()),
    notes: (filter = {}) => reading(() => readNotes(db, filter)),
    primaryTimes: filter => reading(() => primaryTimes(filter)),
    decoded: createDecodedStore(db, reading),
    query: (sql, limit) => query(db, file, unread, sql, limit),
    browse: () => openBrowser(db.name),
    version: () => reading(() => version.get() ?? 0),
    close() {
      for (const rows of unread) rows.return?.();
      closeFilters();
      db.close();
    },
  };
}

/** One statement that reads. The connection is read-only anyway; ATTACH and PRAGMA could still reach beyond the capture. */
function query(
  db: Database,
  file: string,
  unread: Set<Iterator<unknown[]>>,
  sql: string,
  limit = Number.POSITIVE_INFINITY,
): QueryResult {
  const refuse = (message: string): CaptureError =>
    new CaptureError(
      message,
      'one SELECT (or WITH … SELECT) reads; the views (v_run, v_exchange, v_resource, …) are in docs/capture.md',
    );
  let statement: Statement<unknown[], unknown[]>;
  try {
    statement = db.prepare<unknown[], unknown[]>(sql);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : 'not a statement');
  }
  if (!statement.reader || !statement.readonly || /^\s*(pragma|attach|detach)\b/i.test(sql)) {
    throw refuse('this statement does not only read');
  }
  statement.raw();
  return { columns: statement.columns().map(column => column.name), rows: rows(statement, file, unread, limit) };
}

function* rows(
  statement: Statement<unknown[], unknown[]>,
  file: string,
  unread: Set<Iterator<unknown[]>>,
  limit: number,
): Generator<unknown[]> {
  let left = limit;
  if (left <= 0) return;
  const found = statement.iterate();
  unread.add(found);
  try {
    for (const row of found) {
      yield row;
      if (--left <= 0) return;
    }
  } catch (error) {
    const code = sqliteCode(error);
    if (code === 'SQLITE_ERROR' && error instanceof Error) throw new CaptureError(error.message);
    throw readingError(error, file);
  } finally {
    unread.delete(found);
  }
}

/** A row of READ_SQL.exchange as it is shown. */
export function exchangeRow(stored: StoredExchange): ExchangeRow {
  return { ...stored, failure: stored.failure === null ? null : (JSON.parse(stored.failure) as ExchangeRow['failure']) };
}

function exchangeRows(page: readonly StoredExchange[]): ExchangeRow[] {
  return page.map(exchangeRow);
}

/** A row of READ_SQL.connection as it is shown. */
export function connectionRow(stored: StoredConnection): ConnectionRow {
  return { ...stored, resumed: stored.resumed === null ? null : stored.resumed === 1 };
}

function findingRow({ id: _, evidence, ...row }: StoredFinding): FindingRow {
  return { ...row, evidence: JSON.parse(evidence) as FindingRow['evidence'] };
}
