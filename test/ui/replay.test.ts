import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { RunRow } from '../../src/capture/store.ts';
import { startServe } from '../../src/replay/serve.ts';
import { replayWords } from '../../ui/replay-options.ts';
import { KEY, LARGE, openUi, SMALL, sample } from './rig.ts';

const capture = sample();
const { store } = capture;
const dir = mkdtempSync(join(tmpdir(), 'stringtap-ui-replay-'));
const certsDir = join(dir, 'certs');
afterAll(() => {
  capture[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** A run with a catalog, and one request of it. */
const run = [...store.runs()].find(one => [...store.exchanges({ run: one.id })].some(row => row.phase === 'csr'))!;
const node = [...store.exchanges({ run: run.id })].find(row => row.phase === 'node')!;

async function serve(served: RunRow = run): Promise<Awaited<ReturnType<typeof startServe>> & AsyncDisposable> {
  const server = await startServe({
    store,
    runs: [served],
    listen: { host: '127.0.0.1', port: 0 },
    certsDir,
    names: ['localhost'],
    as: [],
    missing: 500,
    pace: { type: 'fast' },
  });
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.close() });
}

describe.each([
  ['80x24', SMALL],
  ['160x50', LARGE],
] as const)('at %s', (_, size) => {
  test('a run is planned, shown, and sent after a yes', async () => {
    await using served = await serve();
    const { port } = served.address;
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`run r${run.id}`);
    await ui.shows('1 Requests');
    await ui.send('R');
    await ui.shows(`send r${run.id} again to HOST[:PORT]`);
    await ui.type(`localhost:${port} --timing fast --enrol --certs ${certsDir}`);
    const plan = (await ui.shows('Nothing is sent yet')).join('\n');
    expect(plan).toContain(`to        localhost:${port}`);
    expect(plan).toContain(`as        ${run.certname}`);
    expect(plan).toContain('1 certificate request (--writes csr)');
    expect(plan).toMatch(/left out {2}e\d+ +csr +PUT/);
    const before = served.summary().requests;
    // Neither enter nor a word that is no yes sends anything.
    await ui.send(KEY.enter);
    await ui.shows('S sends it');
    await ui.send('S');
    await ui.shows('? yes:');
    await ui.type('y');
    await ui.shows('yes sends it, esc leaves');
    await ui.send(KEY.esc, 'S');
    await ui.send(KEY.enter);
    await ui.shows('nothing was sent');
    expect(served.summary().requests).toBe(before);
    await ui.send('S');
    await ui.type('yes');
    const result = (await ui.shows('answered as it was recorded')).join('\n');
    expect(result).toMatch(/requests \d+; enter opens the recorded one/);
    expect(served.summary().requests).toBeGreaterThan(before);
    await ui.send('jjj', KEY.enter);
    await ui.shows('1 Summary');
  });
});

test('one exchange is sent alone; a target that is not there is told, and nothing was sent', async () => {
  await using served = await serve();
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`exchange e${node.id}`);
  await ui.send('r');
  await ui.type(`localhost:${served.address.port} --enrol --certs ${certsDir}`);
  expect((await ui.shows('Nothing is sent yet')).join('\n')).toContain(`e${node.id} of r${run.id}: 1 request of 1`);
  await ui.send('o');
  await ui.shows('Options may follow');
  await ui.send(KEY.esc);
  await served.close();
  await ui.send('S');
  await ui.type('yes');
  const lines = (await ui.shows('it ended with an error')).join('\n');
  expect(lines).toContain('no request was sent');
  expect(ui.frame()[0]).toContain(`e${node.id} was not sent to localhost`);
});

test('esc ends one that is under way, and what was sent so far is shown', async () => {
  const length = ({ startedAt, endedAt }: RunRow): number => Date.parse(endedAt ?? startedAt) - Date.parse(startedAt);
  const slow = [...store.runs()].sort((a, b) => length(b) - length(a))[0]!;
  await using served = await serve(slow);
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`run r${slow.id}`);
  await ui.send('R');
  await ui.type(`localhost:${served.address.port} --enrol --timing x0.1 --certs ${certsDir}`);
  await ui.shows('Nothing is sent yet');
  await ui.send('S');
  await ui.type('yes');
  await ui.shows('1 of ');
  await ui.send(KEY.esc);
  const lines = (await ui.shows('ended early')).join('\n');
  expect(lines).toMatch(/ended early: sent \d+ of \d+ requests/);
  expect(served.summary().requests).toBeLessThan(slow.exchanges);
});

test('what is typed as a target is checked before anything else', () => {
  expect(replayWords('')).toHaveProperty('problem');
  expect(replayWords('puppet.example.com:8140')).toMatchObject({ to: 'puppet.example.com:8140', certs: 'certs', enrols: false });
  expect(replayWords('[::1]:8140 --ssldir /x --timing fast')).toMatchObject({
    ssldir: '/x',
    options: ['--ssldir', '/x', '--timing', 'fast'],
  });
  for (const wrong of [
    '--to',
    'http://x',
    'host --agents 9',
    'host --certs',
    'host --certs --enrol',
    'host --dry-run',
    'host:port',
  ])
    expect(replayWords(wrong), wrong).toHaveProperty('problem');
});
