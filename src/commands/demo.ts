import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareRuns } from '../analysis/compare.ts';
import { counted } from '../analysis/words.ts';
import { openRecorder, type Recorder } from '../capture/recorder.ts';
import { runData } from '../capture/run-data.ts';
import { openStore, type RunRow, type Store } from '../capture/store.ts';
import { packageVersion } from '../version.ts';
import { type DemoStage, openStage } from './demo-stage.ts';
import { painter } from './diff.ts';
import { runLines } from './diff-lines.ts';
import { idText } from './ids.ts';
import { CliError, type Io, printable } from './io.ts';
import { listRuns } from './lists.ts';
import { clip } from './present.ts';
import { defaultCapture } from './proxy.ts';
import { untilInterrupted } from './signals.ts';
import { loadUi } from './ui.ts';

/** Pauses and slow answers are cut to this: short for lines, long enough on the screens to be followed. */
const MAX_GAP_MS = 40;
const SCREEN_GAP_MS = 2000;

/** Options of `stringtap demo`, read. */
export interface DemoFlags {
  capture?: string;
  lines?: boolean;
}

/** `stringtap demo`: the whole chain on this machine, without Puppet: real runs, sent again over real TLS. @throws {CliError} */
export async function runDemo(io: Io, flags: DemoFlags): Promise<void> {
  const file = flags.capture ?? defaultCapture('demo-');
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-demo-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  // Also at a second Ctrl-C, which ends the process where it is.
  process.once('exit', remove);
  const sample = join(dir, 'sample.db');
  copyFileSync(sampleFile(), sample); // reading may have to bring it up to date
  const ending = untilInterrupted();
  try {
    const screens = io.stdoutIsTerminal && process.stdin.isTTY === true && flags.lines !== true;
    await (screens ? playOnScreen : playInLines)(io, { file, dir, sample, given: flags.capture ?? null, ending: ending.signal });
    io.exitCode = ending.exitCode ?? io.exitCode;
  } finally {
    ending.stop();
    process.off('exit', remove);
    remove();
  }
}

interface Setting {
  /** What the proxy captures into. */
  file: string;
  /** Removed at the end. */
  dir: string;
  /** A copy of the sample. */
  sample: string;
  /** What `--capture` named. */
  given: string | null;
  ending: AbortSignal;
}

/** Opens the stage, and closes it after `act`. */
async function staged(
  { file, dir, sample, ending }: Setting,
  maxGapMs: number,
  act: (stage: DemoStage, store: Store) => Promise<void>,
): Promise<void> {
  const store = openStore(sample, 'bodies');
  try {
    const openTape = (primary: string): Promise<Recorder> =>
      openRecorder({
        file,
        recording: {
          startedAt: Date.now(),
          startedMono: performance.now(),
          version: packageVersion(),
          pool: 'pooled',
          primaries: [primary],
          listen: '127.0.0.1:0',
        },
        durability: 'commit',
        maxBodyBytes: null,
      });
    const stage = await openStage({ store, dir, openTape, maxGapMs, signal: ending });
    try {
      await act(stage, store);
    } finally {
      await stage.close();
    }
  } finally {
    store.close();
  }
}

/** What was replayed. */
interface Played {
  runs: number;
  /** Places of two runs of one agent between which the site was changed. */
  changed: [number, number] | null;
}

async function playInLines(io: Io, setting: Setting): Promise<void> {
  const { file, given, ending } = setting;
  const wrong: string[] = [];
  let played: Played = { runs: 0, changed: null };
  await staged(setting, MAX_GAP_MS, async (stage, store) => {
    const runs = [...store.runs()];
    io.out('stringtap stands between Puppet agents and their primary, and captures what they say over TLS.');
    io.out('This demo needs no Puppet: runs of real agents were captured before, and are sent again.');
    io.out('');
    io.out(`  primary  ${stage.primary}, with the answers of those runs (stringtap serve)`);
    io.out(`  proxy    ${stage.proxy}, between the two (stringtap proxy)`);
    io.out(`  agents   ${runs.length} runs, with their requests (stringtap replay)`);
    io.out('');
    for (const run of runs) {
      if (ending.aborted) break;
      const { requests, differing } = await stage.replay(run);
      io.out(`  ${run.certname.padEnd(10)} ${clip(wordsOf(store, run), 80).padEnd(46)} ${String(requests).padStart(2)} requests`);
      if (differing.length > 0) wrong.push(`${run.certname}: ${differing.join(', ')}`);
    }
    wrong.push(...stage.missed());
    played = { runs: runs.length, changed: plantedPair(store, runs) };
  });
  if (ending.aborted) return;
  conclude(io, file, given, played);
  if (wrong.length > 0) throw new CliError(`the demo did not go as it should: ${wrong.join('; ')}`, 'please report this');
}

/** What became of it: the list of runs, and the difference that the last one shows. */
function conclude(io: Io, file: string, given: string | null, played: Played): void {
  const store = openStore(file, 'bodies');
  try {
    const runs = [...store.runs()];
    io.out('');
    io.out(`The runs in ${printable(file)}:`);
    io.out('');
    listRuns(io, runs, store);
    const where = given === null ? '' : ` ${given}`;
    // Of a capture that was appended to, the demo's runs are the last ones.
    const offset = runs.length - played.runs;
    const [a, b] = (played.changed ?? []).map(n => runs[offset + n]);
    if (a !== undefined && b !== undefined) {
      const names = `${idText('run', a.id)} ${idText('run', b.id)}`;
      io.out('');
      io.out(`Between the second and the last run the site was changed. stringtap diff ${names}${where}:`);
      io.out('');
      const paint = painter(io);
      const options = { ignore: [], tags: false, allFacts: false, reveal: false };
      for (const line of runLines(compareRuns(runData(store, a), runData(store, b), options))) {
        for (const text of paint(line)) io.out(text);
      }
    }
    io.out('');
    io.out('Go on with (in a checkout: npx stringtap …):');
    io.out(`  stringtap ui${where}`);
    io.out(`  stringtap show ${idText('run', runs[offset]?.id ?? 1)}${where}`);
    io.out(`  stringtap exchanges${where} --run ${idText('run', runs[offset]?.id ?? 1)}`);
    io.out(`  stringtap reuse${given === null ? '' : ` --capture ${given}`}`);
    io.out('  stringtap proxy --primary YOUR.PRIMARY');
  } finally {
    store.close();
  }
}

/** At a terminal: the screens follow what the proxy captures, and stay until the user leaves them. */
async function playOnScreen(io: Io, setting: Setting): Promise<void> {
  const { file } = setting;
  const left = new AbortController();
  const ending = AbortSignal.any([setting.ending, left.signal]);
  await staged({ ...setting, ending }, SCREEN_GAP_MS, async (stage, recorded) => {
    const { startUi } = await loadUi();
    const store = openStore(file);
    const shown = startUi({ store, env: io.env, ascii: false, signal: ending }).finally(() => left.abort());
    try {
      for (const run of recorded.runs()) if (!ending.aborted) await stage.replay(run);
    } finally {
      await shown;
      store.close();
    }
  });
  io.out(`the runs are in ${printable(file)}`);
}

/** What a recorded run was, in a few words. */
function wordsOf(store: Store, run: RunRow): string {
  const isFirst = [...store.exchanges({ run: run.id, phase: 'csr' })].length > 0;
  const [refusal] = store.decoded.rows('refusal', { run: run.id }).filter(({ error }) => error !== null);
  const [report] = store.decoded.rows('report', { run: run.id });
  const failed = store.decoded.rows('resource_status', { run: run.id }).filter(status => status.failed === true).length;
  const words = [isFirst ? 'first run' : 'run'];
  if (refusal !== undefined) words.push('its catalog does not compile');
  else if (failed > 0) words.push(`${counted(failed, 'resource')} failed`);
  else if (report?.status === 'unchanged') words.push('nothing to do');
  else if (report?.status === 'changed') words.push('applies changes');
  return words.join(': ');
}

/** Places of two runs of one agent between which its catalog changed: the last run, and the last one before with nothing to do. */
function plantedPair(store: Store, runs: readonly RunRow[]): [number, number] | null {
  const last = runs.at(-1);
  const before = runs.findLastIndex(run => {
    const [report] = run === last || run.certname !== last?.certname ? [] : store.decoded.rows('report', { run: run.id });
    return report?.status === 'unchanged';
  });
  return before < 0 ? null : [before, runs.length - 1];
}

/** Beside the sources in a checkout, and beside what was compiled in a package. */
function sampleFile(): string {
  const places = ['../../captures/sample.db', '../../../captures/sample.db'].map(name =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const found = places.find(place => existsSync(place));
  if (found === undefined) throw new CliError('captures/sample.db is missing', 'it comes with stringtap; install it again');
  return found;
}
