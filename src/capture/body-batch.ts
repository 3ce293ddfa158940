import type { Database } from 'better-sqlite3';
import type { Side } from '../model.ts';
import { createUnpacking, STORED_BODY, type StoredBody } from './body-reader.ts';
import { contentOf } from './gzip-form.ts';

/** A body that was read in one piece. */
export interface WholeBody {
  bytes: Uint8Array;
  /** It passed as gzip, and this is its content: that is what is stored, and gzip would be made of it only to be undone. */
  gunzipped: boolean;
}

/** Bodies of up to this size are read with others. */
export const SMALL_BYTES = 64 << 10;

const COLUMN: Readonly<Record<Side, string>> = {
  request: 'request_body',
  response: 'response_body',
  'primary-request': 'primary_request_body',
  'primary-response': 'primary_response_body',
};

/** Makes the function that reads the small bodies of one side of some exchanges: each body once, however many had it. */
export function createBatchReader(db: Database): (exchanges: readonly number[], side: Side) => Map<number, WholeBody> {
  const unpack = createUnpacking(db);
  const find = (side: Side) =>
    db
      .prepare<[string], [exchange: number, body: number]>(
        `SELECT x.id, x.${COLUMN[side]} FROM json_each(?) j CROSS JOIN exchange_row x ON x.id = j.value WHERE x.${COLUMN[side]} IS NOT NULL`,
      )
      .raw();
  const finds = new Map<Side, ReturnType<typeof find>>();
  const read = db.prepare<[string], StoredBody>(
    `SELECT ${STORED_BODY.columns}, ${STORED_BODY.bytes} AS bytes FROM json_each(?) j CROSS JOIN body b ON b.id = j.value ${STORED_BODY.joins}
     WHERE b.kept <= ${SMALL_BYTES} AND b.coding <> 'chunks'`,
  );

  function whole(stored: StoredBody): WholeBody {
    const form = unpack(stored);
    return stored.gzip === 1 ? { bytes: contentOf(form), gunzipped: true } : { bytes: form, gunzipped: false };
  }

  return (exchanges, side) => {
    const statement = finds.get(side) ?? find(side);
    finds.set(side, statement);
    const pairs = statement.all(JSON.stringify(exchanges));
    const ids = new Set(pairs.map(([, body]) => body));
    const bodies = new Map<number, WholeBody>();
    for (const stored of read.iterate(JSON.stringify([...ids]))) if (stored.bytes !== null) bodies.set(stored.id, whole(stored));
    return new Map(pairs.flatMap(([exchange, body]) => (bodies.has(body) ? [[exchange, bodies.get(body)!] as const] : [])));
  };
}
