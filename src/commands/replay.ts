import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { counted } from '../analysis/words.ts';
import { openRecorder, type Recorder } from '../capture/recorder.ts';
import { openStore, type Store } from '../capture/store.ts';
import type { Tape } from '../model.ts';
import { ContactError } from '../proxy/contact-error.ts';
import {
  enrolNames,
  openTarget,
  type PreparedReplay,
  performReplay,
  prepareReplay,
  type ReplaySettings,
  type Target,
  unknownNames,
} from '../replay/agents.ts';
import { compareReplay, type ReplayedComparison } from '../replay/agents-compare.ts';
import type { Arrival } from '../replay/agents-load.ts';
import type { AgentResult } from '../replay/agents-run.ts';
import { summarise } from '../replay/agents-summary.ts';
import { countingTape } from '../replay/agents-tape.ts';
import { packageVersion } from '../version.ts';
import { readCa } from './ca-option.ts';
import { requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { openCapture } from './options.ts';
import { address, lossLine } from './proxy.ts';
import { arrivalOf, type ReplayFlags } from './replay-flags.ts';
import { progressOf } from './replay-progress.ts';
import { planJson, planLines, requestLines, resultJson, resultLines } from './replay-text.ts';
import { untilInterrupted } from './signals.ts';

/**
 * `stringtap replay`: captured runs sent again, as the agents, to a primary.
 *
 * @param ids of the runs, in this order
 * @throws {CliError}
 */
export async function runReplay(io: Io, ids: readonly number[], file: string | undefined, flags: ReplayFlags): Promise<void> {
  const arrival = arrivalOf(flags);
  const store = await openCapture(file, flags.dryRun === true ? 'runs' : 'bodies');
  try {
    const settings: ReplaySettings = {
      store,
      runs: ids.map(id => requireRun(store, id)),
      writes: new Set(flags.writes),
      as: flags.as ?? null,
      agents: flags.agents ?? null,
      only: flags.only === undefined ? null : onlyThese(store, flags.only, ids),
    };
    const prepared = prepareReplay(settings);
    if (flags.dryRun === true) {
      if (flags.json === true) io.out(JSON.stringify(planJson(prepared, flags)));
      else for (const line of [...planLines(prepared, flags), '', ...requestLines(prepared, io)]) io.out(line);
      return;
    }
    for (const line of planLines(prepared, flags)) io.err(line);
    if (prepared.requests === 0) throw new CliError('there is nothing to send', '--writes names what else may be sent');
    await perform(flags.progress === true ? { ...io, chatter: io.err } : io, store, prepared, arrival, flags);
  } finally {
    store.close();
  }
}

/** @throws {CliError} for an exchange that is in none of these runs */
function onlyThese(store: Store, exchanges: readonly number[], runs: readonly number[]): ReadonlySet<number> {
  for (const id of exchanges) {
    const run = store.exchange(id)?.run ?? null;
    if (run === null || !runs.includes(run))
      throw new CliError(
        `e${id} is ${run === null ? 'of no run' : `of r${run}`}`,
        '--only names exchanges of the runs that are replayed',
        2,
      );
  }
  return new Set(exchanges);
}

async function perform(io: Io, store: Store, prepared: PreparedReplay, arrival: Arrival, flags: ReplayFlags): Promise<void> {
  const ending = untilInterrupted();
  try {
    const target = await reach(flags);
    await identify(io, prepared, target, flags, ending.signal);
    if (ending.exitCode !== null) {
      io.err('stringtap: interrupted before anything was replayed');
      io.exitCode = ending.exitCode;
      return;
    }
    const recording = await openRecording(prepared, flags);
    let results: AgentResult[];
    let compared: ReplayedComparison[] | null = null;
    try {
      const progress = progressOf(io, prepared, flags.agents === undefined);
      const { tape } = recording;
      const options = { target, pace: flags.timing, arrival, tape, signal: ending.signal };
      try {
        results = await performReplay(store, prepared, { ...options, onSent: progress.sent, onAgent: progress.agent });
      } finally {
        progress.end();
      }
      await recording.recorder?.close();
      for (const loss of recording.recorder?.losses ?? []) io.err(lossLine(loss));
      if (recording.recorder !== null)
        compared = compareAll(store, recording.recorder.file, results, flags.capture !== undefined);
    } finally {
      await recording.recorder?.close();
      recording.discard();
    }
    const outcome = { prepared, results, summary: summarise(results), compared, interrupted: ending.signal.aborted };
    const { same } = resultJson(outcome, flags);
    if (flags.json === true) io.out(JSON.stringify(resultJson(outcome, flags)));
    else for (const line of resultLines(outcome, flags, io)) io.out(line);
    io.exitCode = ending.exitCode ?? (same ? io.exitCode : 3);
  } finally {
    ending.stop();
  }
}

async function reach(flags: ReplayFlags): Promise<Target> {
  try {
    return await openTarget({
      to: flags.to,
      certsDir: flags.certs,
      ssldir: flags.ssldir ?? null,
      caPem: flags.caCert === undefined ? null : await readCa(flags.caCert),
      caFingerprint: flags.caFingerprint ?? null,
    });
  } catch (error) {
    if (!(error instanceof ContactError)) throw error;
    throw new CliError(error.message.replaceAll('the primary at', 'the target'), error.hint.replaceAll('--primary', '--to'));
  }
}

/** Sees to it that there is an identity for every name. @throws {CliError} */
async function identify(
  io: Io,
  prepared: PreparedReplay,
  target: Target,
  flags: ReplayFlags,
  signal: AbortSignal,
): Promise<void> {
  const unknown = unknownNames(prepared, target);
  if (unknown.length === 0) return;
  const names = `${unknown.slice(0, 3).join(', ')}${unknown.length > 3 ? ` and ${unknown.length - 3} more` : ''}`;
  if (flags.agents === undefined && flags.enrol !== true) {
    const hint =
      flags.ssldir === undefined
        ? "stringtap identity import --ssldir DIR takes over an agent's own; --enrol gets one from the target; --as NAME sends it as another"
        : `${flags.ssldir} needs private_keys/${unknown[0]}.pem and certs/${unknown[0]}.pem`;
    throw new CliError(`there is no identity for ${names}`, hint);
  }
  io.err(`enrolling ${counted(unknown.length, 'name')} at ${address(flags.to)}: ${names}`);
  const waiting = await enrolNames(unknown, { target, certsDir: flags.certs, waitMs: flags.waitForCert, signal });
  if (signal.aborted) return;
  if (waiting.length > 0) {
    throw new CliError(
      `${waiting.length} of ${unknown.length} certificate requests are not signed`,
      `on the primary: puppetserver ca sign --certname ${waiting.slice(0, 100).join(',')}${waiting.length > 100 ? ',…' : ''}, or autosign these names; then the same command again`,
    );
  }
}

interface Recording {
  tape: Tape;
  /** `null` for a load that nobody wants recorded. */
  recorder: Recorder | null;
  /** Removes it again, unless it was asked for. */
  discard(): void;
}

async function openRecording(prepared: PreparedReplay, flags: ReplayFlags): Promise<Recording> {
  if (flags.capture === undefined && prepared.cast.length > 1 && flags.agents !== undefined) {
    return { tape: countingTape(), recorder: null, discard: () => undefined };
  }
  const dir = flags.capture === undefined ? mkdtempSync(join(tmpdir(), 'stringtap-replay-')) : null;
  const remove = (): void => {
    if (dir !== null) rmSync(dir, { recursive: true, force: true });
  };
  // A second Ctrl-C ends the process where it is.
  process.once('exit', remove);
  const recorder = await openRecorder({
    file: flags.capture ?? join(dir!, 'replay.db'),
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: packageVersion(),
      pool: 'mirror',
      primaries: [address(flags.to)],
      listen: 'replay',
    },
    durability: 'commit',
    maxBodyBytes: null,
  });
  return {
    tape: recorder,
    recorder,
    discard() {
      process.off('exit', remove);
      remove();
    },
  };
}

function compareAll(recorded: Store, file: string, results: readonly AgentResult[], isKept: boolean): ReplayedComparison[] {
  const replayed = openStore(file, 'bodies');
  try {
    const compared = results.map(result => compareReplay(recorded, replayed, result));
    // A capture that is gone in a moment is no place to look.
    for (const { comparison } of isKept ? [] : compared) comparison.b.capture = null;
    return compared;
  } finally {
    replayed.close();
  }
}
