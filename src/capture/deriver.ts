import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { createAnnouncer } from './announce.ts';
import { openForReading } from './database.ts';
import { createBodyDecoding } from './decoded-derivation.ts';
import { createDerivation, type Step } from './derive.ts';
import { createJudging } from './findings-derivation.ts';
import type { DerivedWrite, DeriverData, DeriverToWriter, EndedRuns, ToDeriver } from './messages.ts';
import { runRow } from './run-row.ts';

/*
 * The decoder thread: reads what is committed, derives rows, and sends them to the writer, one step at a time.
 *
 *   idle ──committed──▶ step ──rows──▶ waiting ──applied──▶ step … ──nothing left──▶ idle
 *                                         └──refused──▶ waits a second, sends the same rows again
 *
 * A step folds runs, or, when all are folded, decodes bodies, or, when all are decoded, lets the rules look at a run that has ended. Nothing waits for it. It may fall behind without loss, for what it
 * reads stays in the file. Each step costs the writer a transaction and both threads two messages, however little it holds: under load, runs are folded
 * once in a while, many exchanges at a time, and bodies are decoded in between.
 */

/** How long after one fold the next one follows at the soonest; who looks at a live capture sees its runs so late at worst. */
const FOLD_MS = 50;

/** How often time passes for runs that nothing comes to any more. */
const TICK_MS = 1_000;

/** How long rows that could not be written wait. */
const RETRY_MS = 1_000;

/** How long the end of a recording waits for bodies to be decoded; the next reader does the rest. */
const LAST_BODIES_MS = 3_000;

/** An agent's exchange is served first. On Linux this is the thread's own priority; elsewhere it would be that of the process. */
const NICE = 5;

const port = parentPort;
if (port === null) throw new Error('deriver.ts runs as a worker thread only');
const { file, writer, busy, culprit } = workerData as DeriverData;

const db = openForReading(file);
const derivation = createDerivation(db);
const busyWith = new Float64Array(busy);
const decoding = createBodyDecoding(db, {
  culprit,
  busy: seq => {
    busyWith[0] = seq;
  },
});
const judging = createJudging(db, file);
const announcer = createAnnouncer();
let waiting: Step | null = null;
let finishing = false;
let timeAt = performance.now();
/** Something may have been committed that is not folded. */
let unfolded = true;
let foldedAt = Number.NEGATIVE_INFINITY;
let isFoldDue = false;
let decodesUntil = Number.POSITIVE_INFINITY;

function send(message: DeriverToWriter): void {
  writer.postMessage(message);
}

function announce(): void {
  const runs = announcer.due(performance.now(), finishing && derivation.settled);
  if (runs.length === 0) return;
  const message: EndedRuns = { runs: runs.map(runRow) };
  port!.postMessage(message);
}

function write(step: Step): void {
  waiting = step;
  send({ type: 'rows', derived: step.derived });
}

function work(): void {
  if (waiting !== null) return;
  const step = fold() ?? (finishing && !derivation.settled ? derivation.settle() : null) ?? time() ?? bodies() ?? findings();
  if (step !== null) write(step);
  else if (finishing) finish();
  else if (unfolded) foldSoon();
  else send({ type: 'idle' });
}

function foldSoon(): void {
  if (isFoldDue) return;
  isFoldDue = true;
  setTimeout(
    () => {
      isFoldDue = false;
      work();
    },
    Math.max(1, foldedAt + FOLD_MS - performance.now()),
  );
}

/** The next events, unless the last ones were folded just now. */
function fold(): Step | null {
  const now = performance.now();
  if (!finishing && (!unfolded || now < foldedAt + FOLD_MS)) return null;
  const step = derivation.step();
  // One that took all it may has more behind it, and goes on at once.
  if (step?.full) return step;
  unfolded = false;
  foldedAt = now;
  return step;
}

/** Lets time pass for the runs, once a tick. */
function time(): Step | null {
  const now = performance.now();
  if (finishing || now < timeAt + TICK_MS) return null;
  timeAt = now;
  return derivation.time(Date.now());
}

function bodies(): Step | null {
  if (performance.now() > decodesUntil) return null;
  return stepOf(decoding.step(derivation.seq));
}

function findings(): Step | null {
  if (performance.now() > decodesUntil) return null;
  return stepOf(judging.step(finishing ? Number.POSITIVE_INFINITY : Date.now()));
}

function stepOf(writes: DerivedWrite[] | null): Step | null {
  return writes === null ? null : { derived: { writes, seq: null, settled: false }, touched: [], full: false };
}

function finish(): void {
  announce();
  clearInterval(ticks);
  db.close();
  send({ type: 'finished' });
  writer.close();
}

function applied(ok: boolean): void {
  if (waiting === null) return;
  if (!ok) {
    const { derived } = waiting;
    setTimeout(() => send({ type: 'rows', derived }), RETRY_MS);
    return;
  }
  announcer.changed(waiting.touched, performance.now());
  waiting = null;
  announce();
  work();
}

const ticks = setInterval(() => {
  announce();
  if (waiting !== null) return;
  const step = time() ?? bodies() ?? findings();
  if (step !== null) write(step);
}, TICK_MS);

if (process.platform === 'linux') setPriority(NICE);

writer.on('message', (message: ToDeriver) => {
  switch (message.type) {
    case 'committed':
      unfolded = true;
      work();
      break;
    case 'applied':
      applied(message.ok);
      break;
    case 'finish':
      finishing = true;
      decodesUntil = performance.now() + LAST_BODIES_MS;
      work();
      break;
    default:
      message satisfies never;
  }
});
