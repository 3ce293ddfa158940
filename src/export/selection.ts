import { hidingFor } from '../capture/hidden-store.ts';
import type { NoteRow } from '../capture/notes.ts';
import type { ConnectionRow, ExchangeDetail, RecordingRow, RunRow, Store } from '../capture/store.ts';
import { createHiding, type Hiding } from '../decode/secrets.ts';
import type { ExchangeId } from '../model.ts';

/** What is exported, and whether secrets are. */
export interface Selection {
  store: Store;
  reveal: boolean;
  /** Everything in the capture, with what belongs to no run. */
  whole: boolean;
  /** In the order of their ids; read as they are walked through. */
  runs: Iterable<RunRow>;
  /** Of the runs; or of the whole capture, those of no run included. */
  exchanges(): Iterable<ExchangeDetail>;
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

/** @param runs `null`: everything in the capture, of which nothing is held but what is looked at */
export function select(store: Store, runs: readonly RunRow[] | null, reveal: boolean): Selection {
  const some =
    runs === null ? { [Symbol.iterator]: () => store.runs()[Symbol.iterator]() } : [...runs].sort((a, b) => a.id - b.id);
  const hiding = hidingFor(store);
  const known = new Map<number, ConnectionRow | undefined>();
  return {
    store,
    reveal,
    whole: runs === null,
    runs: some,
    exchanges: () => (runs === null ? all(store) : chosen(store, some)),
    connections: () => (runs === null ? store.connections() : connectionsOf(store, some)),
    connection(id) {
      if (known.has(id)) return known.get(id);
      const row = store.connection(id) ?? undefined;
      if (known.size >= REMEMBERED) known.clear();
      known.set(id, row);
      return row;
    },
    recordings: new Map(store.recordings().map(row => [row.id, row])),
    hiding: run => (reveal ? null : hiding(run)),
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

function* all(store: Store): Generator<ExchangeDetail> {
  for (const { id } of store.exchanges()) yield* detail(store, id);
}

/** In the order of ids, so that runs that overlap stay in the order of the wire. */
function* chosen(store: Store, runs: Iterable<RunRow>): Generator<ExchangeDetail> {
  const ids: ExchangeId[] = [];
  for (const run of runs) for (const { id } of store.exchanges({ run: run.id })) ids.push(id);
  for (const id of ids.sort((a, b) => a - b)) yield* detail(store, id);
}

function* detail(store: Store, id: ExchangeId): Generator<ExchangeDetail> {
  const exchange = store.exchange(id);
  if (exchange !== null) yield exchange;
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
