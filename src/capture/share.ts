import { createHash, hash, randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { counted } from '../analysis/words.ts';
import { createPseudonyms, type Level, type Pseudonyms } from '../decode/pseudonyms.ts';
import { routeOf } from '../decode/route.ts';
import { hideInFields, hideInTarget, hideInText } from '../decode/secrets.ts';
import { shareBody, shareFields, shareTarget } from '../decode/share-body.ts';
import { VOCABULARY } from '../decode/vocabulary.ts';
import type { Fields } from '../model.ts';
import { createBodyReader } from './body-reader.ts';
import { withCompressed } from './compress.ts';
import { openForReading, openForWriting } from './database.ts';
import { CaptureError } from './errors.ts';
import { createExchangeRows, GIVEN_COLUMNS } from './exchange-rows.ts';
import { readFieldLines } from './field-lines.ts';
import { CHUNK_BYTES } from './holding.ts';
import { catchUp } from './rederive.ts';
import { secretPseudonyms } from './share-secrets.ts';
import { SHARE_SQL } from './share-sql.ts';
import { BODY_COLUMNS, BODY_SQL, type Value } from './statements.ts';
import type { Store } from './store-shape.ts';

/** What became of a capture that was shared. */
export interface Shared {
  file: string;
  level: Level;
  /** Runs and what they are called in the new file. */
  runs: ReadonlyArray<{ from: number; to: number | null }>;
  exchanges: number;
  connections: number;
  bodies: { rewritten: number; kept: number };
  files: number;
  secrets: number;
  words: number;
  names: number;
  addresses: number;
  /** Bodies of which only the length could be kept, and why. */
  unreadable: ReadonlyArray<{ exchange: number; reason: string }>;
  /** Certnames that are a word of Puppet's own, and so stay. */
  stayed: readonly string[];
}

type Row = Record<string, Value>;

/** A body larger than this is not held: the shared capture says that it was cut. */
const MAX_BODY_BYTES = 64 << 20;

/** Of bodies that could not be read, so many are named. */
const NAMED = 1000;

/**
 * Writes a new capture with other names and values in it. The key by which they were chosen is forgotten.
 *
 * @param store the capture, opened for `bodies`
 * @param runs `null` for all, with what belongs to no run
 * @throws CaptureError when the file exists or cannot be written, and when not all of the runs is decoded
 */
export function shareCapture(store: Store, runs: readonly number[] | null, file: string, level: Level): Shared {
  if (existsSync(file)) throw new CaptureError(`${file} exists`, 'give another name with -o, or remove it');
  const late = runs === null ? store.decoded.behind() : runs.reduce((sum, run) => sum + store.decoded.behind({ run }), 0);
  if (late > 0) {
    throw new CaptureError(
      `${counted(late, 'exchange')} of ${store.file} not decoded yet: not all secrets and names in it are known`,
      'try again in a moment; share runs that have ended; what a proxy left that was killed is decoded where it can be written',
    );
  }
  const from = openForReading(store.file);
  try {
    from.exec('BEGIN'); // one snapshot, also of a capture that is being written
    return written(from, store, runs, file, level);
  } catch (error) {
    for (const name of [file, `${file}-wal`, `${file}-shm`, `${file}-journal`]) rmSync(name, { force: true });
    throw error;
  } finally {
    from.close();
  }
}

function written(from: Database, store: Store, runs: readonly number[] | null, file: string, level: Level): Shared {
  const wanted = { runs: runs === null ? null : JSON.stringify(runs) };
  const known = knownNames(from);
  const names = createPseudonyms(level, known.names, randomBytes(32));
  const hiding = secretPseudonyms(store, runs, () => names);
  const result = { exchanges: 0, connections: 0, bodies: { rewritten: 0, kept: 0 }, files: 0 };
  const unreadable: { exchange: number; reason: string }[] = [];
  const owned = openForWriting(file, 0);
  try {
    owned.db
      .transaction(() => {
        const to = writerOf(owned.db);
        for (const row of from.prepare<[], Row>(SHARE_SQL.recordings).all()) to.recording(sharedRecording(row, names));
        for (const row of from.prepare<[typeof wanted], Row>(SHARE_SQL.connections).iterate(wanted)) {
          to.connection(sharedConnection(row, names));
          result.connections += 1;
        }
        const ids = from.prepare<[typeof wanted], number>(SHARE_SQL.exchangeIds).pluck().all(wanted);
        const bodies = createSharing(from, to);
        // files first: what others say of their checksums depends on them
        for (const files of [true, false]) {
          for (const id of ids) {
            const row = bodies.exchange(id);
            if (row !== null) shareBodies(row, files);
          }
        }
        function shareBodies(row: Row, files: boolean): void {
          const phase = String(row.phase);
          const fields = { request: bodies.fields(row.request_fields), response: bodies.fields(row.response_fields) };
          for (const column of BODY_COLUMNS) {
            const id = row[column];
            if (typeof id !== 'number' || bodies.known(id)) continue;
            const of = column.endsWith('request_body') ? fields.request : fields.response;
            const isFile = holdsFile(row, column);
            if (isFile !== files) continue;
            const made = bodies.rewrite(id, raw => shareBody(raw, { fields: of, phase, file: isFile }, names, hiding));
            if (made === null) continue;
            if (made.replaced !== null && unreadable.length < NAMED) {
              unreadable.push({ exchange: Number(row.id), reason: made.replaced });
            }
            result.bodies[made.changed ? 'rewritten' : 'kept'] += 1;
            if (isFile) result.files += 1;
            if (isFile && made.plain !== null && made.changed) learn(names, made.plain);
          }
        }
        for (const id of ids) {
          const row = bodies.exchange(id);
          if (row === null) continue;
          const lines = (column: string, mime: string | null): Value => {
            if (row[column] === null) return null;
            return to.fields(shareFields(hideInFields(bodies.fields(row[column]), hiding), mime, names));
          };
          const shared = sharedExchange(row, names, target => hideInTarget(target, hiding));
          shared.request_fields = lines('request_fields', bodies.mime(row.request_body));
          shared.response_fields = lines('response_fields', bodies.mime(row.response_body));
          shared.trailers = lines('trailers', null);
          for (const column of BODY_COLUMNS) shared[column] = bodies.idOf(row[column]);
          to.exchange(shared);
          result.exchanges += 1;
        }
        for (const row of from.prepare<[typeof wanted], Row>(SHARE_SQL.notes).all(wanted)) {
          // what people wrote has no words of Puppet's own to be known by: of it the marks stay
          const text = level === 'full' ? '' : names.names(hideInText(String(row.text), hiding));
          if (text !== '' || row.mark === 1) to.note({ ...row, text });
        }
        for (const row of from.prepare<[typeof wanted], Row>(SHARE_SQL.primaryTimes).iterate(wanted)) to.primaryTime(row);
        for (const row of from.prepare<[typeof wanted], Row>(SHARE_SQL.faults).iterate(wanted)) to.fault(row);
        for (const row of from.prepare<[], Row>(SHARE_SQL.losses).all()) {
          to.loss([row.recording!, row.at!, row.reason!, row.count!, names.text(hideInText(String(row.detail), hiding))]);
        }
      })
      .immediate();
  } finally {
    owned.close();
  }
  catchUp(file, true);
  return {
    file,
    level,
    runs: numbered(from.prepare<[typeof wanted], number>(SHARE_SQL.runs).pluck().all(wanted), file),
    ...result,
    secrets: hiding.count,
    ...names.counts,
    unreadable,
    stayed: level === 'low' ? [] : known.stayed,
  };
}

/** Runs are numbered anew, in the same order. */
function numbered(before: readonly number[], file: string): Shared['runs'] {
  const db = openForReading(file);
  try {
    const after = db.prepare<[], number>(SHARE_SQL.newRuns).pluck().all();
    return before.map((from, at) => ({ from, to: after.length === before.length ? after[at]! : null }));
  } finally {
    db.close();
  }
}

const FILES: ReadonlySet<Value> = new Set(['file_content', 'static_file_content', 'file_bucket_file']);

function holdsFile(row: Row, column: string): boolean {
  return FILES.has(row.indirection ?? null) && (column === 'request_body' || (column === 'response_body' && row.status === 200));
}

/** Algorithms that Puppet names a file's content by. */
const ALGORITHMS = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'] as const;

/** The checksums of a file that was rewritten, for where they are told; the `…lite` ones are of the first 512 bytes. */
function learn(names: Pseudonyms, { before, after }: { before: Uint8Array; after: Uint8Array }): void {
  for (const bytes of [512, Number.POSITIVE_INFINITY]) {
    for (const algorithm of ALGORITHMS) {
      const digest = (content: Uint8Array): string => hash(algorithm, content.subarray(0, Math.min(bytes, content.length)));
      names.checksums.set(digest(before), digest(after));
    }
  }
}

function sharedRecording(row: Row, names: Pseudonyms): Row {
  return {
    ...row,
    primaries: names.names(String(row.primaries)),
    listen: names.names(String(row.listen)),
    version: names.text(String(row.version)),
  };
}

function mapped(value: Value | undefined, map: (text: string) => string): Value {
  return typeof value === 'string' ? map(value) : (value ?? null);
}

function sharedConnection(row: Row, names: Pseudonyms): Row {
  const shared: Row = { ...row };
  for (const column of ['peer_name', 'certname', 'server_name']) shared[column] = mapped(row[column], names.text);
  // ports, and words of TLS libraries and of stringtap, by which failures are explained, stay
  for (const column of ['peer', 'target', 'error', 'refusal']) shared[column] = mapped(row[column], names.names);
  return shared;
}

function sharedExchange(row: Row, names: Pseudonyms, hide: (target: string) => string): Row {
  const target = shareTarget(hide(String(row.target)), names);
  const route = routeOf(String(row.method), target);
  return {
    ...row,
    target,
    certname: mapped(row.certname, names.text),
    key: row.key === null ? null : route.key,
    environment: row.environment === null ? null : route.environment,
    transaction_uuid: row.transaction_uuid === null ? null : (route.transactionUuid ?? mapped(row.transaction_uuid, names.text)),
    reason: mapped(row.reason, names.names),
    failure: mapped(row.failure, names.names),
  };
}

/** Names of hosts and domains, lower-case. */
function knownNames(db: Database): { names: ReadonlySet<string>; stayed: string[] } {
  const names = new Set<string>();
  const stayed = new Set<string>();
  const texts = [SHARE_SQL.names, SHARE_SQL.hostFields].flatMap(sql => db.prepare<[], Value>(sql).pluck().all());
  for (const text of texts) {
    if (typeof text !== 'string' || text.length > 4096) continue;
    for (const part of text.toLowerCase().split(/[^a-z0-9._-]+/)) addName(part, names, stayed);
  }
  return { names, stayed: [...stayed] };
}

function addName(text: string, names: Set<string>, stayed: Set<string>): void {
  const name = text.replace(/^[._-]+|[._-]+$/g, '');
  if (name.length < 2 || /^[\d.]+$/.test(name)) return;
  if (VOCABULARY.has(name)) {
    if (name !== 'puppet' && name !== 'ca' && name !== 'localhost' && !PREFIXES.has(name)) stayed.add(name);
    return;
  }
  if (PREFIXES.has(name)) return;
  names.add(name);
  const labels = name.split('.');
  if (labels.length < 2) return;
  if (labels[0]!.length > 2 && !/^\d+$/.test(labels[0]!)) names.add(labels[0]!);
  for (let at = 1; at < labels.length - 1; at++) names.add(labels.slice(at).join('.'));
  if (labels.length === 2 && labels[1]!.length > 2) names.add(labels[1]!);
}

/** Words that stand before a name where one is told: `DNS:a.example`, `Puppet CA: a.example`. */
const PREFIXES: ReadonlySet<string> = new Set([
  'dns',
  'ip',
  'uri',
  'email',
  'dirname',
  'rid',
  'other',
  'puppet',
  'ca',
  'cn',
  'root',
  'stringtap',
]);

interface Writer {
  recording(row: Row): void;
  connection(row: Row): void;
  exchange(row: Row): void;
  fields(lines: Fields): number;
  /** @returns the id that it has: another one's when there is the same already */
  body(id: number, bytes: Uint8Array, size: number, cut: Value): number;
  loss(values: Value[]): void;
  note(row: Row): void;
  primaryTime(row: Row): void;
  fault(row: Row): void;
}

function writerOf(db: Database): Writer {
  const recording = db.prepare<[Row]>(SHARE_SQL.insertRecording);
  const connection = db.prepare<[Row]>(SHARE_SQL.insertConnection);
  const rows = createExchangeRows(db);
  const find = db.prepare<[{ sha256: Uint8Array; size: number }], number>(BODY_SQL.find).pluck();
  const insertBody = db.prepare<Value[]>(BODY_SQL.insert);
  const insertBytes = db.prepare<[number, Uint8Array]>(BODY_SQL.bytes);
  const chunk = db.prepare<Value[]>(SHARE_SQL.insertChunk);
  const loss = db.prepare<Value[]>(SHARE_SQL.insertLoss);
  const note = db.prepare<[Row]>(SHARE_SQL.insertNote);
  const primaryTime = db.prepare<[Row]>(SHARE_SQL.insertPrimaryTime);
  const fault = db.prepare<[Row]>(SHARE_SQL.insertFault);
  return {
    fault: row => void fault.run(row),
    note: row => void note.run(row),
    primaryTime: row => void primaryTime.run(row),
    recording: row => void recording.run(row),
    connection: row => void connection.run(row),
    exchange: row => rows.exchange(GIVEN_COLUMNS.map(column => row[column] ?? null)),
    fields: lines => rows.fields(JSON.stringify(lines)),
    body(id, bytes, size, cut) {
      const digest = createHash('sha256').update(bytes).digest();
      const same = find.get({ sha256: digest, size });
      if (same !== undefined) return same;
      if (bytes.length <= CHUNK_BYTES) {
        withCompressed(bytes, (stored, coding) => {
          insertBody.run(id, digest, size, bytes.length, stored.length, coding, cut);
          insertBytes.run(id, stored);
        });
        return id;
      }
      let stored = 0;
      for (let at = 0, n = 0; at < bytes.length; at += CHUNK_BYTES, n++) {
        withCompressed(bytes.subarray(at, at + CHUNK_BYTES), (part, coding) => {
          chunk.run(id, n, coding, part);
          stored += part.length;
        });
      }
      insertBody.run(id, digest, size, bytes.length, stored, 'chunks', cut);
      return id;
    },
    loss: values => void loss.run(...values),
  };
}

interface Made {
  plain: { before: Uint8Array; after: Uint8Array } | null;
  replaced: string | null;
  changed: boolean;
}

interface Sharing {
  exchange(id: number): Row | null;
  fields(id: Value | undefined): Fields;
  known(id: number): boolean;
  rewrite(id: number, by: (raw: Uint8Array) => ReturnType<typeof shareBody>): Made | null;
  idOf(id: Value | undefined): Value;
  mime(id: Value | undefined): string | null;
}

/** Reads the old capture, and remembers what became of its bodies. */
function createSharing(db: Database, to: Writer): Sharing {
  const exchange = db.prepare<[number], Row>(SHARE_SQL.exchange);
  const lines = db.prepare<[number], string>(SHARE_SQL.fields).pluck();
  const info = db.prepare<[number], { size: number; kept: number; cut: Value }>(SHARE_SQL.body);
  const read = createBodyReader(db);
  const done = new Map<number, { id: number | null; mime: string | null }>();
  return {
    exchange: id => exchange.get(id) ?? null,
    fields: id => (typeof id === 'number' ? readFieldLines(lines.get(id) ?? '[]') : []),
    known: id => done.has(id),
    rewrite(id, by) {
      const body = info.get(id);
      if (body === undefined) {
        done.set(id, { id: null, mime: null });
        return null;
      }
      if (body.kept > MAX_BODY_BYTES) {
        done.set(id, { id: to.body(id, new Uint8Array(0), body.size, 'shared'), mime: null });
        return { plain: null, replaced: `a body of ${body.kept} bytes is left out`, changed: true };
      }
      const raw = Buffer.concat([...read(id)]);
      const made = by(raw);
      // bytes that were not kept stay as many
      const size = made.bytes.length + (body.size - body.kept);
      done.set(id, { id: to.body(id, made.bytes, size, body.cut), mime: made.mime });
      return { plain: made.plain, replaced: made.replaced, changed: Buffer.compare(raw, made.bytes) !== 0 };
    },
    idOf: id => (typeof id === 'number' ? (done.get(id)?.id ?? null) : null),
    mime: id => (typeof id === 'number' ? (done.get(id)?.mime ?? null) : null),
  };
}
