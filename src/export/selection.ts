import { SMALL_BYTES, type WholeBody } from '../capture/body-batch.ts';
import { hidingFor } from '../capture/hidden-store.ts';
import type { NoteRow } from '../capture/notes.ts';
import type { ConnectionRow, ExchangeDetail, RecordingRow, RunRow, Store } from '../capture/store.ts';
import { createHiding, type Hiding } from '../decode/secrets.ts';
import type { ExchangeId, Side } from '../model.ts';

/** What is exported, and whether secrets are. */
export interface Selection {
  store: Store;
  reveal: boolean;
  /** Everything in the capture, with what belongs to no run. */
  whole: boolean;
  /** In the order of their ids; read as they are walked through. */
  runs: Iterable<RunRow>;
  /**
   * The exchanges of the runs in the order of the wire, or of the whole capture, those of no run included; of one run in its order. In batches, for what is
   * asked of each is asked of all of them at once: {@link body} and {@link hiding} are for those of the last one.
   */
  batches(of?: RunRow): Iterable<readonly ExchangeDetail[]>;
  /** The same, one by one. */
  exchanges(of?: RunRow): Iterable<ExchangeDetail>;
  /** A body that is not large; of others `undefined`. */
  body(exchange: ExchangeDetail, side: Side): WholeBody | undefined;
  /** Of the runs, or of the whole capture, in the order of their ids. */
  connections(): Iterable<ConnectionRow>;
  /** Any one of the capture, `undefined` when it has none of this id. */
  connection(id: number): ConnectionRow | undefined;
  recordings: ReadonlyMap<number, RecordingRow>;
  /** `null` when nothing is to be hidden. */
  hiding(run: number | null): (Hiding & { count: number }) | null;
}

/** Connections that are remembered: exchanges that follow one another share them. */
const REMEMBERED = 2048;

/** A batch has no more exchanges, nor bytes of small bodies: they are held together. */
const BATCH = 100;
const BATCH_BYTES = 1 << 20;

/** @param runs `null`: everything in the capture, of which nothing is held but what is looked at */
export function select(store: Store, runs: readonly RunRow[] | null, reveal: boolean): Selection {
  const some =
    runs === null ? { [Symbol.iterator]: () => store.runs()[Symbol.iterator]() } : [...runs].sort((a, b) => a.id - b.id);
  const hidingNow = hidingFor(store);
  const known = new Map<number, ConnectionRow | undefined>();
  const batch = {
    ids: [] as readonly number[],
    bodies: new Map<Side, ReadonlyMap<number, WholeBody>>(),
    secrets: new Map<number | null, RegExp | null>(),
  };

  function* batches(of?: RunRow): Generator<readonly ExchangeDetail[]> {
    for (const exchanges of batched(detailsOf(store, of ?? (runs === null ? null : some)))) {
      batch.ids = exchanges.map(({ id }) => id);
      batch.bodies.clear();
      batch.secrets.clear();
      yield exchanges;
    }
  }

  function* exchanges(of?: RunRow): Generator<ExchangeDetail> {
    for (const batch of batches(of)) yield* batch;
  }

  return {
    store,
    reveal,
    whole: runs === null,
    runs: some,
    batches,
    exchanges,
    body({ id }, side) {
      const read = batch.bodies.get(side) ?? store.bodies(batch.ids, side);
      batch.bodies.set(side, read);
      return read.get(id);
    },
    connections: () => (runs === null ? store.connections() : connectionsOf(store, some)),
    connection(id) {
      if (known.has(id)) return known.get(id);
      const row = store.connection(id) ?? undefined;
      if (known.size >= REMEMBERED) known.clear();
      known.set(id, row);
      return row;
    },
    recordings: new Map(store.recordings().map(row => [row.id, row])),
    hiding(run) {
      if (reveal) return null;
      if (batch.ids.length === 0) return hidingNow(run);
      const secrets = batch.secrets.get(run);
      if (secrets !== undefined) return createHiding(secrets);
      const hiding = hidingNow(run);
      batch.secrets.set(run, hiding.known);
      return hiding;
    },
  };
}

function* connectionsOf(store: Store, runs: Iterable<RunRow>): Generator<ConnectionRow> {
  const ids = new Set<number>();
  for (const run of runs) for (const { id } of store.connections({ run: run.id })) ids.add(id);
  for (const id of [...ids].sort((a, b) => a - b)) {
    const row = store.connection(id);
    if (row !== null) yield row;
  }
}

function* detailsOf(store: Store, of: Iterable<RunRow> | RunRow | null): Generator<ExchangeDetail> {
  if (of === null) yield* store.details();
  else if ('id' in of) yield* store.details({ run: of.id });
  else {
    // In the order of ids, so that runs that overlap stay in the order of the wire.
    const ids: ExchangeId[] = [];
    for (const run of of) for (const { id } of store.exchanges({ run: run.id })) ids.push(id);
    ids.sort((a, b) => a - b);
    for (let at = 0; at < ids.length; at += BATCH) yield* store.details({ ids: ids.slice(at, at + BATCH) });
  }
}

function* batched(exchanges: Iterable<ExchangeDetail>): Generator<readonly ExchangeDetail[]> {
  let batch: ExchangeDetail[] = [];
  let bytes = 0;
  for (const exchange of exchanges) {
    batch.push(exchange);
    for (const { kept } of exchange.bodies) if (kept <= SMALL_BYTES) bytes += kept;
    if (batch.length < BATCH && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** What was noted of the runs that are exported, and of their exchanges; of no run, when all is exported. */
export function notesOf({ store, runs, whole }: Selection): NoteRow[] {
  return whole ? store.notes() : [...runs].flatMap(run => store.notes({ run: run.id }));
}

/** What hides in texts that belong to no body; without secrets to hide it changes nothing. */
export function hidingOr(selection: Selection, run: number | null): Hiding {
  return selection.hiding(run) ?? REVEALING;
}

const REVEALING: Hiding = { known: null, replace: secret => secret };

/** A hiding for texts outside of a run. */
export const plainHiding = (selection: Selection): Hiding => (selection.reveal ? REVEALING : createHiding());
