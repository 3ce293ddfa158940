import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openRecorder } from '../../src/capture/recorder.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import { enrolNames, openTarget, performReplay, prepareReplay, unknownNames } from '../../src/replay/agents.ts';
import { compareReplay } from '../../src/replay/agents-compare.ts';
import { WRITES, type Write } from '../../src/replay/agents-plan.ts';
import { summarise } from '../../src/replay/agents-summary.ts';
import { countingTape } from '../../src/replay/agents-tape.ts';
import { startServe } from '../../src/replay/serve.ts';
import { record } from './agents-rig.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

/** The agents of a capture against the primary of the same capture. */
async function serveAndReplay(store: Store, wanted: readonly number[] | null, dir: string) {
  const runs = [...store.runs()].filter(({ id }) => wanted === null || wanted.includes(id));
  const { signal } = new AbortController();
  // One folder for both, as on one machine: what the served primary signs is of our own CA.
  const certsDir = join(dir, 'certs');
  await using stack = new AsyncDisposableStack();
  const served = await startServe({
    store,
    runs,
    listen: { host: '127.0.0.1', port: 0 },
    certsDir,
    names: ['localhost'],
    as: [],
    missing: 500,
    pace: { type: 'fast' },
  });
  stack.defer(() => served.close());
  const to = { host: 'localhost', port: served.address.port };
  const target = await openTarget({ to, certsDir, ssldir: null, caPem: null, caFingerprint: null });
  // Not the certificate requests: those of the recording are for keys that nobody here has.
  const writes = new Set<Write>(WRITES.filter(write => write !== 'csr' && write !== 'renewal'));
  const prepared = prepareReplay({ store, runs, writes, as: null, agents: null });
  expect(await enrolNames(unknownNames(prepared, target), { target, certsDir, waitMs: 0, signal })).toEqual([]);
  const before = served.summary().requests;
  const file = join(dir, 'replay.db');
  const recorder = await openRecorder({
    file,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: 'test',
      pool: 'mirror',
      primaries: [],
      listen: 'test',
    },
    durability: 'commit',
    maxBodyBytes: null,
  });
  const pace = { type: 'fast' } as const;
  const results = await performReplay(store, prepared, { target, pace, arrival: { type: 'queue' }, tape: recorder, signal });
  await recorder.close();
  const replayed = openStore(file, 'bodies');
  stack.defer(() => replayed.close());
  const { requests, missed } = served.summary();
  return {
    prepared,
    summary: summarise(results),
    served: { requests: requests - before, missed },
    comparisons: results.map(result => compareReplay(store, replayed, result).comparison),
  };
}

describe('a run that is served to its own replay: no miss, no difference', () => {
  test.each([
    ['all runs', null],
    ['a steady run', [2]],
    ['a run whose catalog does not compile', [5]],
  ])('of real agents: %s', async (_name, runs) => {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-serve-replay-'));
    // A copy: what a newer version derives is written into the file.
    copyFileSync(SAMPLE, join(dir, 'sample.db'));
    const store = openStore(join(dir, 'sample.db'), 'bodies');
    try {
      const { prepared, summary, served, comparisons } = await serveAndReplay(store, runs, dir);
      expect(served.missed).toEqual([]);
      expect(summary).toMatchObject({ requests: prepared.requests, failed: 0, otherStatus: 0 });
      expect(served.requests).toBe(summary.requests);
      expect(comparisons.length).toBe(runs?.length ?? 7);
      for (const { a, same, counts, exchanges } of comparisons) {
        expect({ run: a.id, same, counts, different: exchanges.different }).toMatchObject({ same: true });
      }
    } finally {
      store.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('to 200 agents with names of their own: nothing is lost', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-serve-replay-'));
    copyFileSync(SAMPLE, join(dir, 'sample.db'));
    const store = openStore(join(dir, 'sample.db'), 'bodies');
    const runs = [store.run(2)!];
    const certsDir = join(dir, 'certs');
    const answered: (string | null)[] = [];
    const served = await startServe({
      store,
      runs,
      listen: { host: '127.0.0.1', port: 0 },
      certsDir,
      names: ['localhost'],
      as: ['load-*.lab'],
      missing: 500,
      pace: { type: 'fast' },
      onAnswer: ({ certname, phase }) => void (phase === 'catalog' && answered.push(certname)),
    });
    try {
      const to = { host: 'localhost', port: served.address.port };
      const target = await openTarget({ to, certsDir, ssldir: null, caPem: null, caFingerprint: null });
      const { signal } = new AbortController();
      const writes = new Set<Write>(['report']);
      const prepared = prepareReplay({ store, runs, writes, as: 'load-%03d.lab', agents: 200 });
      await enrolNames(unknownNames(prepared, target), { target, certsDir, waitMs: 0, signal });
      const before = served.summary().requests;
      const arrival = { type: 'splay', ms: 2000 } as const;
      const results = await performReplay(store, prepared, {
        target,
        pace: { type: 'fast' },
        arrival,
        tape: countingTape(),
        signal,
      });
      const { requests, missed } = served.summary();
      expect(missed).toEqual([]);
      expect(summarise(results)).toMatchObject({
        requests: requests - before,
        failed: 0,
        otherStatus: 0,
        agents: { done: 200 },
        connections: { opened: 200, recorded: 200 },
      });
      expect(requests - before).toBe(200 * 7);
      expect(answered.toSorted()).toEqual(prepared.cast.map(({ as }) => as));
    } finally {
      await served.close();
      store.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('of the embedded agents', async () => {
    await using recorded = await record(['agent1.example', 'agent2.example', 'agent1.example']);
    const store = recorded.open();
    try {
      const { summary, served, comparisons } = await serveAndReplay(store, null, recorded.dir);
      expect(served).toEqual({ requests: summary.requests, missed: [] });
      for (const { a, same, counts, exchanges } of comparisons) {
        expect({ run: a.id, same, counts, different: exchanges.different }).toMatchObject({ same: true });
      }
    } finally {
      store.close();
    }
  });
});
