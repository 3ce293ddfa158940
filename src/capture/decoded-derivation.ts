import type { Database } from 'better-sqlite3';
import { needsContent } from '../decode/checksum.ts';
import { type DecodeInput, decodeExchange } from '../decode/decode.ts';
import type { FileContent } from '../decode/file-content.ts';
import { DEFAULT_LIMITS } from '../decode/limits.ts';
import type { Fields, Outcome, Phase, Side } from '../model.ts';
import { SIDES } from '../model.ts';
import { createBodyReader } from './body-reader.ts';
import { knownContentRows, type Place, type Promised, rowsOf, SHARED } from './decoded-rows.ts';
import { clearing, DECODING_SQL, row } from './decoded-statements.ts';
import { readFieldLines } from './field-lines.ts';
import { createLists, PAUSE } from './lists.ts';
import type { DerivedWrite } from './messages.ts';
import { createPacking } from './packing.ts';

/** What one transaction of the writer takes of decoded rows: exchanges that end meanwhile wait for it, some 2 ms. */
const SLICE_ROWS = 32;
const SLICE_BYTES = 32 << 10;

/** Exchanges with few rows, or none, that share one transaction. */
const STEP_EXCHANGES = 64;

/** Field lines, contents of files, and answers of a run with metadata that are remembered. */
const REMEMBERED = 2048;

/** Runs whose metadata is remembered: more are hardly decoded at a time. */
const REMEMBERED_RUNS = 64;

/**
 * Decodes exchanges in the order in which they ended, and gives their rows in slices. It only reads; whoever owns the file writes each slice before
 * it asks for the next. The last slice of an exchange moves the watermark; a decoding that ended before that begins this exchange again. Exchanges
 * share a slice while none of them looks for rows of another one in it.
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
  certname: string | null;
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
  outcome: Outcome['type'];
  requestEndMono: number | null;
  run: number | null;
  n: number | null;
}

/** An answer that promises what files are. */
interface Promising {
  n: number;
  id: number;
  indirection: string;
  key: string | null;
  body: number;
}

export function createBodyDecoding(db: Database, hooks: DecodingHooks = {}): BodyDecoding {
  const next = db.prepare<[number, number], ExchangeRow>(`${DECODING_SQL.next} ${DECODING_SQL.after}`);
  const rows = exchangeRows(db);
  let seq = db.prepare<[], number>(DECODING_SQL.mark).pluck().get() ?? 0;
  /** The first exchange may have rows of a decoding that was cut off. */
  let clean = false;
  let current: { seq: number; rows: Iterator<DerivedWrite>; bodies: readonly number[]; shares: boolean } | null = null;
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
      const part = emptySlice();
      /** Bodies that have rows in it. */
      const inSlice = new Set<number>();
      let done = false;
      for (let n = 0; n < STEP_EXCHANGES; n += 1) {
        if (current === null) {
          const exchange = next.get(seq, upTo);
          if (exchange === undefined) break;
          const own = bodyIds(exchange);
          if (!clean) {
            clean = true;
            return clearing(exchange.id, own);
          }
          if (own.some(id => inSlice.has(id))) break;
          busy(exchange.seq);
          const shares = isContent(exchange) && exchange.seq !== hooks.culprit;
          current = { seq: exchange.seq, rows: begin(exchange), bodies: own, shares };
        }
        busy(current.seq);
        const before = part.writes.length;
        const whole = fill(part, current.rows);
        busy(0);
        if (!whole) break;
        done = true;
        seq = current.seq;
        const { bodies, shares } = current;
        current = null;
        if (part.writes.length === before) continue;
        // Nothing looks for rows of a file's content; what was promised of one must be in the file before it is decoded. And that a body
        // was passed over must be in the file before the next one is read, which may end the thread too.
        if (!shares) break;
        for (const id of bodies) inSlice.add(id);
      }
      if (done) part.writes.push(['decoded', seq]);
      return part.writes.length === 0 ? null : part.writes;
    },
  };
}

function isContent({ indirection }: ExchangeRow): boolean {
  return indirection === 'file_content' || indirection === 'static_file_content';
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
    for (let whole = false; !whole; ) {
      const part = emptySlice();
      whole = fill(part, written);
      apply(part.writes);
    }
  }
  return exchanges.length;
}

interface Slice {
  writes: DerivedWrite[];
  bytes: number;
}

function emptySlice(): Slice {
  return { writes: [], bytes: 0 };
}

/** Adds rows as far as there is room. @returns whether these were all */
function fill(part: Slice, rows: Iterator<DerivedWrite>): boolean {
  while (part.writes.length < SLICE_ROWS && part.bytes < SLICE_BYTES) {
    const next = rows.next();
    if (next.done === true) return true;
    if (next.value === PAUSE) {
      if (part.writes.length > 0) return false;
      continue; // what was before it is in the file
    }
    part.writes.push(next.value);
    for (const cell of next.value) if (typeof cell === 'string') part.bytes += cell.length;
  }
  return false;
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
  const promises = db.prepare<[run: number, from: number, to: number, limit: number], Promising>(DECODING_SQL.promises);
  const promising = new Map<number, { upTo: number; answers: Promising[] }>();
  const promiseAt = db.prepare<[{ body: number; place: string }], { type: string; value: string }>(DECODING_SQL.promise);
  const readBody = createBodyReader(db);
  const lists = createLists(db);
  const packing = createPacking(db);
  const remembered = new Map<number, Fields>();
  /** What a file's content is, by its body and the codings that the answer named: agents fetch the same files. */
  const contents = new Map<string, FileContent>();

  function fieldsOf(id: number | null): Fields {
    if (id === null) return [];
    const known = remembered.get(id);
    if (known !== undefined) return known;
    const text = lines.get(id);
    const fields = text === undefined ? [] : readFieldLines(text);
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

  /** Answers of a run that promise what files are, oldest first, up to its n-th exchange at least. */
  function promisingIn(run: number, n: number): readonly Promising[] {
    const known = promising.get(run) ?? { upTo: 0, answers: [] };
    promising.delete(run);
    if (promising.size >= REMEMBERED_RUNS) promising.delete(promising.keys().next().value ?? 0);
    promising.set(run, known);
    if (n > known.upTo) {
      known.answers.push(...promises.all(run, known.upTo, n, REMEMBERED).reverse());
      known.answers.splice(0, known.answers.length - REMEMBERED);
      known.upTo = n;
    }
    return known.answers;
  }

  /** Looks for the latest metadata of what an exchange asked for, before it in its run; once. */
  function promisedIn({ run, n, key }: ExchangeRow): () => Promised | null {
    let known: Promised | null | undefined;
    return () => {
      if (known === undefined) known = look();
      return known;
    };
    function look(): Promised | null {
      if (run === null || n === null || key === null) return null;
      const answers = promisingIn(run, n);
      for (let i = answers.length - 1; i >= 0; i -= 1) {
        const { n: at, id, indirection, key: of, body } = answers[i]!;
        const place = at < n ? placeIn(indirection, of, key) : null;
        const found = place === null ? undefined : promiseAt.get({ body, place });
        if (found !== undefined) return { by: id, checksum: found };
      }
      return null;
    }
  }

  return exchange => {
    const bodies = bodiesOf(exchange);
    const shared = SHARED.has(exchange.phase) && exchange.status === 200;
    const answers = [exchange.responseBody, exchange.primaryResponseBody].filter(id => id !== null);
    const isKnown =
      shared && answers.length > 0 && exchange.requestBody === null && answers.every(id => decodedBody.get(id) === 1);
    // Rows of metadata, a bundle: they are there. What was promised of a file's content is another question each time.
    if (isKnown && !isContent(exchange)) return [].values();
    const responseFields = fieldsOf(exchange.responseFields);
    const contentKey = `${exchange.responseBody} ${codingsOf(responseFields)}`;
    const promise = promisedIn(exchange);
    const known = isKnown ? contents.get(contentKey) : undefined;
    const content = known !== undefined && isEnough(known, promise()) ? known : undefined;
    const notes = brokenOff(exchange);
    const [request, response, primaryRequest, primaryResponse] = content
      ? []
      : SIDES.map(side => bytesOf(bodies[side], side, notes));
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
      responseFields,
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
      promise,
      lists: lists.of(exchange.certname),
    };
    if (content) return knownContentRows(place, content);
    const decoded = decodeExchange(input);
    if (decoded.phase === 'file' || decoded.phase === 'pluginsync') {
      const answer = decoded.response;
      if (answer !== null && 'value' in answer && answer.value.type === 'content') {
        if (contents.size >= REMEMBERED) contents.clear();
        contents.set(contentKey, answer.value);
      }
    }
    return rowsAnd(rowsOf(place, decoded), packing({ ...exchange, bodies }));
  };
}

/** Whether what is remembered of a content is all that a promise asks. */
function isEnough({ digests }: FileContent, promised: Promised | null): boolean {
  return promised === null || !needsContent(digests, promised.checksum);
}

/** Remarks on bodies that did not come to their end: what they are is not to be held against what was promised. */
function brokenOff({ outcome, status, requestEndMono, responseBody, requestBody }: ExchangeRow): Place['notes'][number][] {
  const notes: Place['notes'][number][] = [];
  const note = (side: Side, text: string): unknown => notes.push({ side, error: false, text, passing: true });
  if (outcome === 'abandoned' && requestEndMono === null && requestBody !== null) note('request', 'the request was broken off');
  // an answer that refuses may be our own, to an exchange that failed
  const given = responseBody !== null && status !== null && status < 400;
  if (outcome !== 'answered' && given) note('response', 'the answer was broken off');
  return notes;
}

function codingsOf(fields: Fields): string {
  return fields.flatMap(([name, value]) => (name.toLowerCase() === 'content-encoding' ? value : [])).join();
}

function* rowsAnd(rows: Iterable<DerivedWrite>, more: Iterable<DerivedWrite>): Generator<DerivedWrite> {
  yield* rows;
  yield* more;
}

/** Where in an answer with metadata the entry for a key is, `null` when it cannot be in that answer. */
function placeIn(indirection: string, of: string | null, key: string): string | null {
  if (indirection === 'file_metadata') return of === key ? '.' : null;
  if (indirection === 'file_metadatas') return of !== null && key.startsWith(`${of}/`) ? key.slice(of.length + 1) : null;
  return key;
}
