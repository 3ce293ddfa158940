import type { Database } from 'better-sqlite3';
import { type DecodeInput, decodeExchange } from '../decode/decode.ts';
import { DEFAULT_LIMITS } from '../decode/limits.ts';
import type { Fields, Phase, Side } from '../model.ts';
import { SIDES } from '../model.ts';
import { createBodyReader } from './body-reader.ts';
import { type Place, type Promised, rowsOf, SHARED } from './decoded-rows.ts';
import { clearing, DECODING_SQL, row } from './decoded-statements.ts';
import type { DerivedWrite } from './messages.ts';

/** What one transaction of the writer takes of decoded rows: exchanges that end meanwhile wait for it, some 2 ms. */
const SLICE_ROWS = 32;
const SLICE_BYTES = 32 << 10;

/** Field lines that are remembered. */
const REMEMBERED = 2048;

/**
 * Decodes exchanges in the order in which they ended, one at a time, and gives their rows in slices. It only reads; whoever owns the file writes
 * each slice before it asks for the next. The last slice of an exchange moves the watermark; a decoding that ended before that begins this
 * exchange again.
 */
export interface BodyDecoding {
  /** The next rows, `null` when every exchange up to `seq` is decoded. */
  step(upTo: number): DerivedWrite[] | null;
}

export interface DecodingHooks {
  /** Seq of the exchange whose bodies are read next; 0 after that. */
  busy?(seq: number): void;
  /** Seq of an exchange whose bodies ended an earlier decoder: it is left raw. */
  culprit?: number;
}

interface ExchangeRow {
  seq: number;
  id: number;
  phase: Phase;
  method: string;
  target: string;
  status: number | null;
  indirection: string | null;
  key: string | null;
  environment: string | null;
  transactionUuid: string | null;
  requestFields: number | null;
  responseFields: number | null;
  requestBody: number | null;
  responseBody: number | null;
  primaryRequestBody: number | null;
  primaryResponseBody: number | null;
  run: number | null;
  n: number | null;
}

export function createBodyDecoding(db: Database, hooks: DecodingHooks = {}): BodyDecoding {
  const next = db.prepare<[number, number], ExchangeRow>(`${DECODING_SQL.next} ${DECODING_SQL.after}`);
  const rows = exchangeRows(db);
  let seq = db.prepare<[], number>(DECODING_SQL.mark).pluck().get() ?? 0;
  /** The first exchange may have rows of a decoding that was cut off. */
  let clean = false;
  let current: { seq: number; rows: Iterator<DerivedWrite> } | null = null;
  const busy = hooks.busy ?? (() => undefined);

  function begin(exchange: ExchangeRow): Iterator<DerivedWrite> {
    if (exchange.seq !== hooks.culprit) return rows(exchange);
    const note = row('decode_note', {
      exchange: exchange.id,
      side: 'response',
      error: true,
      text: 'the decoder ended on this body',
    });
    return [note].values();
  }

  return {
    step(upTo) {
      if (current === null) {
        const exchange = next.get(seq, upTo);
        if (exchange === undefined) return null;
        if (!clean) {
          clean = true;
          return clearing(exchange.id, bodyIds(exchange));
        }
        busy(exchange.seq);
        current = { seq: exchange.seq, rows: begin(exchange) };
      }
      busy(current.seq);
      const { writes, done } = slice(current.rows);
      busy(0);
      if (!done) return writes;
      seq = current.seq;
      current = null;
      return [...writes, ['decoded', seq]];
    },
  };
}

/** Whether the bodies of every exchange have been decoded. */
export function isDecoded(db: Database): boolean {
  const mark = db.prepare<[], number>(DECODING_SQL.mark).pluck().get() ?? 0;
  return mark >= (db.prepare<[], number>(DECODING_SQL.last).pluck().get() ?? 0);
}

/** Decodes the exchanges of one run again; for whoever owns the file. @returns how many there are */
export function redecodeRun(db: Database, run: number, apply: (writes: DerivedWrite[]) => void): number {
  const ids = db.prepare<[number], number>(DECODING_SQL.ofRun).pluck().all(run);
  const one = db.prepare<[number], ExchangeRow>(`${DECODING_SQL.next} ${DECODING_SQL.one}`);
  const rows = exchangeRows(db);
  const exchanges = ids.map(id => one.get(id)).filter(exchange => exchange !== undefined);
  for (const exchange of exchanges) apply(clearing(exchange.id, bodyIds(exchange)));
  for (const exchange of exchanges) {
    const written = rows(exchange);
    for (let done = false; !done; ) {
      const part = slice(written);
      apply(part.writes);
      done = part.done;
    }
  }
  return exchanges.length;
}

function slice(rows: Iterator<DerivedWrite>): { writes: DerivedWrite[]; done: boolean } {
  const writes: DerivedWrite[] = [];
  for (let bytes = 0; writes.length < SLICE_ROWS && bytes < SLICE_BYTES; ) {
    const next = rows.next();
    if (next.done === true) return { writes, done: true };
    writes.push(next.value);
    for (const cell of next.value) if (typeof cell === 'string') bytes += cell.length;
  }
  return { writes, done: false };
}

function bodyIds(exchange: ExchangeRow): number[] {
  return Object.values(bodiesOf(exchange)).filter(id => id !== null);
}

function bodiesOf(exchange: ExchangeRow): Record<Side, number | null> {
  return {
    request: exchange.requestBody,
    response: exchange.responseBody,
    'primary-request': exchange.primaryRequestBody,
    'primary-response': exchange.primaryResponseBody,
  };
}

/** Makes the function that reads an exchange's bodies and decodes them; what cannot be read is a note. */
function exchangeRows(db: Database): (exchange: ExchangeRow) => Iterator<DerivedWrite> {
  const lines = db.prepare<[number], string>(DECODING_SQL.fields).pluck();
  const info = db.prepare<[number], { size: number; kept: number; cut: string | null }>(DECODING_SQL.body);
  const decodedBody = db.prepare<[number], number>(DECODING_SQL.decodedBody).pluck();
  const promises = db.prepare<[number, number], { id: number; indirection: string; key: string | null; body: number }>(
    DECODING_SQL.promises,
  );
  const promise = db.prepare<[number, string], { type: string; value: string }>(DECODING_SQL.promise);
  const readBody = createBodyReader(db);
  const remembered = new Map<number, Fields>();

  function fieldsOf(id: number | null): Fields {
    if (id === null) return [];
    const known = remembered.get(id);
    if (known !== undefined) return known;
    const text = lines.get(id);
    const fields = text === undefined ? [] : (JSON.parse(text) as Fields);
    if (remembered.size >= REMEMBERED) remembered.clear();
    remembered.set(id, fields);
    return fields;
  }

  function bytesOf(id: number | null, side: Side, notes: Place['notes'][number][]): Uint8Array | null {
    if (id === null) return null;
    const { size, kept, cut } = info.get(id) ?? { size: 0, kept: 0, cut: null };
    if (cut !== null) notes.push({ side, error: false, text: `only ${kept} of ${size} bytes were kept` });
    if (kept > DEFAULT_LIMITS.bodyBytes) {
      notes.push({ side, error: true, text: `a body of ${size} bytes; those over ${DEFAULT_LIMITS.bodyBytes} are not decoded` });
      return null;
    }
    try {
      return Buffer.concat([...readBody(id)]);
    } catch {
      notes.push({ side, error: true, text: 'the stored body cannot be read' });
      return null;
    }
  }

  /** Looks for the latest metadata of a key before an exchange in its run. */
  function promisedIn(exchange: ExchangeRow): (key: string) => Promised | null {
    return key => {
      if (exchange.run === null || exchange.n === null) return null;
      for (const { id, indirection, key: of, body } of promises.all(exchange.run, exchange.n)) {
        const place = placeIn(indirection, of, key);
        const found = place === null ? undefined : promise.get(body, place);
        if (found !== undefined) return { by: id, checksum: found };
      }
      return null;
    };
  }

  return exchange => {
    const bodies = bodiesOf(exchange);
    const shared = SHARED.has(exchange.phase) && exchange.status === 200;
    const answers = [exchange.responseBody, exchange.primaryResponseBody].filter(id => id !== null);
    if (shared && answers.length > 0 && exchange.requestBody === null && answers.every(id => decodedBody.get(id) === 1)) {
      // Rows of metadata, a bundle: they are there. A file's content is looked at again, for what was promised of it.
      if (exchange.indirection !== 'file_content' && exchange.indirection !== 'static_file_content') return [].values();
    }
    const notes: Place['notes'][number][] = [];
    const [request, response, primaryRequest, primaryResponse] = SIDES.map(side => bytesOf(bodies[side], side, notes));
    const input: DecodeInput = {
      method: exchange.method,
      target: exchange.target,
      route: {
        phase: exchange.phase,
        indirection: exchange.indirection,
        key: exchange.key,
        environment: exchange.environment,
        transactionUuid: exchange.transactionUuid,
      },
      status: exchange.status,
      requestFields: fieldsOf(exchange.requestFields),
      request: request ?? null,
      responseFields: fieldsOf(exchange.responseFields),
      response: response ?? null,
      primaryRequest: primaryRequest ?? null,
      primaryResponse: primaryResponse ?? null,
    };
    const place: Place = {
      exchange: exchange.id,
      input,
      bodies,
      notes,
      known: body => decodedBody.get(body) !== undefined,
      promise: promisedIn(exchange),
    };
    return rowsOf(place, decodeExchange(input));
  };
}

/** Where in an answer with metadata the entry for a key is, `null` when it cannot be in that answer. */
function placeIn(indirection: string, of: string | null, key: string): string | null {
  if (indirection === 'file_metadata') return of === key ? '.' : null;
  if (indirection === 'file_metadatas') return of !== null && key.startsWith(`${of}/`) ? key.slice(of.length + 1) : null;
  return key;
}
