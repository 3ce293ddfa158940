import type { Recording, Tape } from '../model.ts';
import type { RunRow } from './store.ts';

/** What was not captured, or not in time, and why. */
export type LossReason =
  /** The writer thread ended: nothing more is captured. */
  | 'writer-dead'
  /** The disk is full. */
  | 'disk-full'
  /** Another program holds a write lock on the file. */
  | 'locked'
  /** The capture file was removed or replaced while it was written. */
  | 'file-removed'
  /** SQLite could not write, for another reason. */
  | 'write-failed'
  /** One row was refused by the schema. */
  | 'row-rejected'
  /** The answer left before the exchange was on disk; it is marked, and not lost. */
  | 'late'
  /** A body was cut because the writer could not keep up. */
  | 'body-cut'
  /** Exchanges were dropped because the writer could not keep up. */
  | 'overflow'
  /** The decoder thread ended; runs are folded when the capture is read. */
  | 'decoder-dead';

export interface Loss {
  reason: LossReason;
  /** How many exchanges (bodies for `body-cut`, 1 for a dead thread) so far. */
  count: number;
  /** The error's own words, of the latest. */
  detail: string;
  /** What to do. */
  hint: string;
}

export interface RecorderOptions {
  file: string;
  recording: Recording;
  /** `commit`: an answer waits for the disk. `async`: it does not. */
  durability: 'commit' | 'async';
  /** Of each body this many bytes are stored, `null` for all. */
  maxBodyBytes: number | null;
  /** How long an answer waits for a slow disk at most; default 250 ms. */
  commitWaitMs?: number;
  /** Called when a kind of loss happens for the first time; {@link Recorder.losses} has the counts. */
  onLoss?(loss: Loss): void;
  /** Called when a run ended. */
  onRun?(run: RunRow): void;
}

/** Writes everything that it is given into a capture. */
export interface Recorder extends Tape {
  readonly file: string;
  readonly losses: readonly Loss[];
  /** Writes what is left, finishes the runs, and closes the file. Never rejects. */
  close(): Promise<void>;
}

/**
 * Opens a capture for writing, makes it when there is none, and goes on with an existing one.
 * @throws CaptureError when it is no capture, newer than this program, or being written by another proxy
 */
export async function openRecorder(_options: RecorderOptions): Promise<Recorder> {
  throw new Error('not written yet');
}
