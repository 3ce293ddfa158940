import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type ConnectionReuse, foldReuse } from '../../src/analysis/reuse.ts';
import { paintLane, spanOf } from '../../src/analysis/reuse-lanes.ts';
import { openStore } from '../../src/capture/store.ts';
import { laneWords } from '../../src/commands/reuse-text.ts';
import { followCapture } from '../../ui/feed.ts';
import { readLanes } from '../../ui/reuse-lanes.ts';
import { writePlausible } from '../bench/plausible.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { stringtap } from '../commands/stringtap.ts';
import { KEY, LARGE, openUi, pause, SMALL, sample } from './rig.ts';

const capture = sample();
const { store, file } = capture;
afterAll(() => capture[Symbol.dispose]());

const all = [...store.connections()];
const run = [...store.runs()].find(row => row.agentConnections > 2)!;

describe.each([
  ['80x24', SMALL],
  ['160x50', LARGE],
] as const)('at %s', (_, size) => {
  test('lanes of the capture, each with its story; enter shows the connection with its requests', async () => {
    using ui = openUi(store, size);
    await ui.send('C');
    const lines = await ui.shows('[1 Lanes]');
    expect(lines.join('\n')).toContain(`1 of ${all.length}`);
    expect(lines.find(line => line.startsWith('▌c1 '))).toContain(`×${all[0]!.exchanges}`);
    expect(lines.join('\n')).toMatch(/█+·*┤/);
    const busy = all.findIndex(row => row.leg === 'agent' && row.exchanges > 3);
    await ui.send(...Array.from({ length: busy }, () => 'j'));
    expect((await ui.shows(`${busy + 1} of ${all.length}`)).join(' ')).toContain('closed by the');
    await ui.send(KEY.enter);
    const connection = (await ui.shows('handshake')).join('\n');
    expect(connection).toContain(`connection  c${all[busy]!.id}, agent leg`);
    const [first] = [...store.exchanges({ connection: all[busy]!.id })];
    expect(connection).toContain(`e${first!.id} `);
  });

  test('figures, causes and advice are those of stringtap reuse', async () => {
    const { agent, primary } = JSON.parse((await stringtap('/', 'reuse', '--capture', file, '--json')).stdout);
    using ui = openUi(store, size);
    await ui.send('C', '2');
    const figures = (await ui.shows('AGENT LEG')).join('\n');
    expect(figures).toMatch(new RegExp(`exchanges +${agent.exchanges} +${primary.exchanges}`));
    expect(figures).toMatch(new RegExp(`reuse +${agent.reusePercent.toFixed(1)} % +${primary.reusePercent.toFixed(1)} %`));
    await ui.send('3');
    const advice = (await ui.shows('what to change')).join('\n');
    for (const { ending } of agent.closings) expect(advice).toContain(ending);
  });

  test('of a run: its own connections alone', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`run r${run.id}`);
    await ui.shows('1 Requests');
    await ui.send('C');
    const count = [...store.connections({ run: run.id })].length;
    expect((await ui.shows(`1 of ${count}`))[0]).toContain(`connections of r${run.id}`);
    await ui.send('2');
    expect((await ui.shows('AGENT LEG')).join('\n')).toMatch(new RegExp(`exchanges +${run.exchanges} `));
  });
});

test('lanes are those of all that their connections carried, of which little is read', () => {
  const exchanges = [...store.exchanges()];
  const words = (lane: ConnectionReuse): string[] => [laneWords(lane), paintLane(lane, spanOf(lane).from, spanOf(lane).to, 60)];
  for (const id of [null, ...[...store.runs()].map(row => row.id)]) {
    const connections = id === null ? all : [...store.connections({ run: id })];
    const whole = foldReuse(connections, exchanges, row => id === null || row.run === id);
    expect(readLanes(store, id).map(words)).toEqual(whole.connections.map(words));
  }
});

test('connections of a long capture are read in bounded time', () => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-lanes-'));
  try {
    writePlausible(join(dir, 'long.db'), 20_000);
    const long = openStore(join(dir, 'long.db'));
    try {
      let looked = 0;
      const read = long.exchanges;
      long.exchanges = function* (filter) {
        // No index leads from a connection to its exchanges: each such question goes through the whole capture.
        expect(filter?.connection).toBeUndefined();
        for (const row of read(filter)) {
          looked += 1;
          yield row;
        }
      };
      const lanes = readLanes(long, null);
      expect(lanes.length).toBeGreaterThan(150);
      expect(lanes.every(({ row, uses }) => row.exchanges === 0 || uses.length > 0)).toBe(true);
      expect(looked).toBeLessThanOrEqual(5_000);
    } finally {
      long.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a run that is not there is told, and a narrow terminal has one leg below the other', async () => {
  using ui = openUi(store, { columns: 60, rows: 15 });
  await ui.send(':');
  await ui.type('connections r999999');
  await ui.shows('there is no run r999999');
  await ui.send('C', '2');
  expect((await ui.shows('AGENT LEG')).join('\n')).not.toContain('PRIMARY LEG');
  await ui.send('G');
  await ui.shows('connections to the primary');
});

test('read aloud, a lane is its story in words; without colours nothing is lost', async () => {
  using aloud = openUi(store, LARGE, { reader: true });
  await aloud.send('C');
  const lines = await aloud.shows('[1 Lanes]');
  expect(lines.find(line => line.includes('c1 agent: '))).toContain('closed by the');
  expect(lines.join('\n')).not.toContain('█');
  using plain = openUi(store, SMALL, { colour: false, ascii: true });
  await plain.send('C');
  const ascii = await plain.shows('[1 Lanes]');
  expect(ascii.join('\n')).toMatch(/#+\.*\|/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is looked for
  expect(plain.raw()).not.toMatch(/\x1b\[(3[0-8]|9[0-7])m/);
});

test('figures go on while a proxy writes, say of when they are, and stay where they were read', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  const live = openStore(file);
  let now = Date.parse('2031-01-01T12:00:00Z');
  using ui = openUi(live, { columns: 80, rows: 15 }, { now: () => now });
  const stop = followCapture(live, ui.engine.refresh, () => true);
  try {
    const line = agent(recorder, 'agent1.example').connect();
    await line.send('GET /puppet/v3/node/agent1.example?environment=production');
    await ui.send('C', '2');
    expect((await ui.shows('AGENT LEG')).join('\n')).toMatch(/exchanges +1 /);
    expect(ui.frame().at(-2)).toContain('as of ');
    await ui.send('j');
    await line.send('POST /puppet/v3/catalog/agent1.example?environment=production');
    await pause(300);
    expect(ui.frame().join('\n')).toMatch(/exchanges +1 /);
    now += 60_000;
    await ui.shows('exchanges                        2');
    expect(ui.frame()[2]).not.toContain('AGENT LEG');
    await line.send('PUT /puppet/v3/report/agent1.example?environment=production');
    await recorder.close();
    await ui.shows('exchanges                        3');
    expect(ui.frame().at(-2)).not.toContain('as of ');
  } finally {
    stop();
    live.close();
  }
});
