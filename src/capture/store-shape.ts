import type { Side } from '../model.ts';
import type { WholeBody } from './body-batch.ts';
import type { Browser } from './browse.ts';
import type { DecodedStore } from './decoded-shapes.ts';
import type { NoteRow } from './notes.ts';
import type { PrimaryTime } from './primary-time.ts';
import type {
  ConnectionFilter,
  ConnectionRow,
  ExchangeDetail,
  ExchangeFilter,
  ExchangeRow,
  FindingFilter,
  FindingRow,
  LossRow,
  MomentsRow,
  QueryResult,
  RecordingRow,
  RunFilter,
  RunRow,
} from './shapes.ts';

/**
 * Reads a capture, also while a proxy writes it. Lists are read in pages as they are walked through: take what you need and
 * stop. Every method throws {@link CaptureError} when the file cannot be read.
 */
export interface Store {
  readonly file: string;
  runs(filter?: RunFilter): Iterable<RunRow>;
  run(id: number): RunRow | null;
  exchanges(filter?: ExchangeFilter): Iterable<ExchangeRow>;
  exchange(id: number): ExchangeDetail | null;
  /** As {@link exchanges}, each with all that is known of it, read a page at a time: one by one takes ten times as long. */
  details(filter?: ExchangeFilter): Iterable<ExchangeDetail>;
  /** The stored bytes of a body in pieces, content coding kept; nothing when the exchange has no such body. */
  body(exchange: number, side: Side): Iterable<Uint8Array>;
  /** The bodies of one side of some exchanges, by exchange; those of over 64 KiB are left to {@link body}. */
  bodies(exchanges: readonly number[], side: Side): ReadonlyMap<number, WholeBody>;
  /** Some bytes of a body, from `at`: a reader of a large one holds no more than it shows. */
  bodyPart(exchange: number, side: Side, at: number, length: number): Uint8Array;
  /** The moments of each exchange of a run that its row has not. */
  moments(run: number): MomentsRow[];
  connections(filter?: ConnectionFilter): Iterable<ConnectionRow>;
  connection(id: number): ConnectionRow | null;
  recordings(): RecordingRow[];
  /** What is missing from the capture. */
  losses(): LossRow[];
  /** What rules found, run by run, the most severe of each first; complete when the store was opened for `bodies`. */
  findings(filter?: FindingFilter): Iterable<FindingRow>;
  /** Whether the rules have looked at a run as it is now. */
  isJudged(run: number): boolean;
  /** What people noted, the oldest first; of a run also what was noted of its exchanges. */
  notes(filter?: { run?: number; exchange?: number }): NoteRow[];
  /** What the primary's own log says, by exchange, of a run or some exchanges; empty unless a log was joined. */
  primaryTimes(filter: { run: number } | { exchanges: readonly number[] }): ReadonlyMap<number, PrimaryTime>;
  /** What was decoded of the bodies; complete when the store was opened for `bodies`, or the deriver has come that far. */
  readonly decoded: DecodedStore;
  /** Runs one statement that reads. @throws CaptureError when it would write, or is no SQL. */
  query(sql: string, limit?: number): QueryResult;
  /** Reads long lists in a thread of its own; closed by whoever asked for it, before the store. */
  browse(): Browser;
  /** Changes whenever something was committed since the last call: lets a reader poll cheaply. */
  version(): number;
  close(): void;
}
