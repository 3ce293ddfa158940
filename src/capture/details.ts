import type { Database } from 'better-sqlite3';
import { type Fields, type Sha256, SIDES } from '../model.ts';
import { readFieldLines } from './field-lines.ts';
import { READ_SQL } from './read-sql.ts';
import type { BodyInfo, ExchangeDetail, ExchangeRow } from './shapes.ts';

interface StoredMore {
  id: number;
  indirection: string | null;
  key: string | null;
  environment: string | null;
  httpVersion: string;
  reason: string | null;
  primaryStatus: number | null;
  early: number;
  requestEndMono: number | null;
  responseHeadMono: number | null;
  firstByteMono: number | null;
  requestFields: string | null;
  responseFields: string | null;
  trailers: string | null;
  request: number | null;
  response: number | null;
  primaryRequest: number | null;
  primaryResponse: number | null;
}

type StoredBodyInfo = Omit<BodyInfo, 'side'> & { id: number };

/**
 * Makes the function that adds to rows of exchanges all that is known of them, in two questions for all of them: one by one it takes ten times as long.
 * What is not in the capture any more is left out.
 */
export function createDetails(db: Database): (rows: readonly ExchangeRow[]) => ExchangeDetail[] {
  const moreOf = db.prepare<[string], StoredMore>(READ_SQL.exchangeMore);
  const infosOf = db.prepare<[string], StoredBodyInfo>(READ_SQL.bodies);

  return rows => {
    const more = new Map(moreOf.all(JSON.stringify(rows.map(({ id }) => id))).map(one => [one.id, one]));
    const ids = new Set([...more.values()].flatMap(bodyIds).filter(id => id !== null));
    const infos = new Map(ids.size === 0 ? [] : infosOf.all(JSON.stringify([...ids])).map(({ id, ...info }) => [id, info]));
    return rows.flatMap(row => {
      const found = more.get(row.id);
      return found === undefined ? [] : [detailOf(row, found, infos)];
    });
  };
}

/** In the order of {@link SIDES}. */
function bodyIds({ request, response, primaryRequest, primaryResponse }: StoredMore): Array<number | null> {
  return [request, response, primaryRequest, primaryResponse];
}

function detailOf(row: ExchangeRow, more: StoredMore, infos: ReadonlyMap<number, Omit<BodyInfo, 'side'>>): ExchangeDetail {
  const ids = bodyIds(more);
  return {
    ...row,
    indirection: more.indirection,
    key: more.key,
    environment: more.environment,
    request: { method: row.method, target: row.target, httpVersion: more.httpVersion, fields: fields(more.requestFields) },
    response: row.status === null ? null : { status: row.status, reason: more.reason ?? '', fields: fields(more.responseFields) },
    trailers: fields(more.trailers),
    primaryStatus: more.primaryStatus,
    timing: {
      startMono: row.startMono,
      requestEndMono: more.requestEndMono,
      primaryReadyMono: row.primaryReadyMono,
      responseHeadMono: more.responseHeadMono,
      firstByteMono: more.firstByteMono,
      endMono: row.endMono,
    },
    early: more.early === 1,
    bodies: SIDES.flatMap((side, i) => {
      const info = infos.get(ids[i] ?? 0);
      return info === undefined ? [] : [{ side, ...info, sha256: info.sha256 as Sha256 }];
    }),
  };
}

function fields(lines: string | null): Fields {
  return lines === null ? [] : readFieldLines(lines);
}
