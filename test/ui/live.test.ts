import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { DecodedFilter, DecodedKind } from '../../src/capture/decoded-shapes.ts';
import { openStore } from '../../src/capture/store.ts';
import type { Fields } from '../../src/model.ts';
import { followCapture } from '../../ui/feed.ts';
import { exchangeScreen } from '../../ui/views/exchange.ts';
import { requestsScreen } from '../../ui/views/requests.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { fixture } from '../decode/rig.ts';
import { KEY, LARGE, openUi, pause, SMALL } from './rig.ts';

test('what a proxy writes is shown while it writes, and followed until somebody looks at something else', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  try {
    const store = openStore(file);
    using ui = openUi(store, LARGE, { first: requestsScreen });
    const stop = followCapture(store, ui.engine.refresh, () => ui.engine.state().live);
    try {
      expect(ui.frame()[0]).toContain('● capturing');
      await ui.shows('no requests yet');
      const line = agent(recorder, 'agent1.example').connect();
      const times: number[] = [];
      for (let i = 1; i <= 12; i += 1) {
        await line.send(`GET /puppet/v3/file_metadata/modules/m/file${i}?environment=production`);
        const committed = performance.now();
        await ui.shows(`file${i}`);
        times.push(performance.now() - committed);
      }
      // Half of them: a machine that runs many tests stands still now and then.
      expect(times.sort((a, b) => a - b)[5]).toBeLessThan(200);
      await ui.shows('following');
      await ui.send('k');
      await ui.shows('11 of 12');
      await line.send('GET /puppet/v3/file_metadata/modules/m/later?environment=production');
      await ui.shows('later');
      expect(ui.frame().find(row => row.startsWith('▌'))).toContain('file11');
      await ui.send('F');
      await ui.shows('following');
      expect(ui.frame().find(row => row.startsWith('▌'))).toContain('later');
    } finally {
      stop();
      store.close();
    }
  } finally {
    await recorder.close();
  }
});

test('a run is followed while it is open, and says when it has ended', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  try {
    const store = openStore(file);
    using ui = openUi(store, LARGE);
    const stop = followCapture(store, ui.engine.refresh, () => ui.engine.state().live);
    try {
      await ui.shows('waiting for an agent');
      await ui.shows('puppet agent --test --server localhost --serverport 8140');
      const line = agent(recorder, 'agent1.example').connect();
      await line.send('GET /puppet/v3/node/agent1.example?environment=production');
      await ui.shows('● open');
      await ui.send(KEY.enter);
      await ui.shows('1 request ');
      await line.send('POST /puppet/v3/catalog/agent1.example?environment=production');
      await ui.shows('catalog/agent1');
      await ui.shows('following');
      await line.send('PUT /puppet/v3/report/agent1.example?environment=production');
      await ui.shows('report/agent1');
      await ui.shows('3 requests');
      await pause(200);
      expect(ui.frame()[2]).toContain('3 requests');
    } finally {
      stop();
      store.close();
    }
  } finally {
    await recorder.close();
  }
});

test('an agent whose connection fails is told of where runs are waited for, and above those that come', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  const store = openStore(file);
  using ui = openUi(store, SMALL);
  const stop = followCapture(store, ui.engine.refresh, () => true);
  try {
    const fail = (): void => {
      const mono = performance.now();
      recorder.connection({
        ...{ id: recorder.connectionId(), leg: 'agent', via: 'direct', peer: '10.0.0.7:40000', target: null },
        ...{ openedAt: Date.now(), openedMono: mono, connectedMono: mono, secureMono: null, tls: null },
        ...{ peerName: null, certname: null, refusal: null, error: 'tlsv1 alert unknown ca' },
        ...{ bytesRead: 7, bytesWritten: 7, exchanges: 0 },
        closed: { at: Date.now(), mono: performance.now(), by: 'agent', cause: 'tls-alert' },
      });
    };
    await ui.shows('waiting for an agent');
    fail();
    const text = (await ui.shows('a connection that failed')).map(line => line.trim()).join(' ');
    expect(text).toContain('the agent at 10.0.0.7 failed: the agent does not know our CA');
    expect(text).toContain('--localcacert and --hostcrl');
    await agent(recorder, 'agent.example').connect().send('GET /puppet/v3/node/agent.example?environment=production');
    await ui.shows('● open');
    fail();
    expect((await ui.shows('2 connections of the agent'))[1]).toMatch(
      /✗ .* 2 connections of the agent at 10\.0\.0\.7 failed.* :findings $/,
    );
  } finally {
    stop();
    store.close();
    await recorder.close();
  }
});

const TYPED: Fields = [['Content-Type', 'application/json']];
const REPORT = {
  fields: TYPED,
  responseFields: TYPED,
  bodies: { request: fixture('report.json') },
};

test.each([
  ['4', 'no events in this run', 'RESOURCE'],
  ['5', 'no log lines in this run', 'MESSAGE'],
])('tab %s of a run shows what its report says as soon as that is decoded', async (tab, before, after) => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  const store = openStore(file);
  using ui = openUi(store, LARGE);
  const stop = followCapture(store, ui.engine.refresh, () => true);
  try {
    const line = agent(recorder, 'agent.example').connect();
    await line.send('GET /puppet/v3/node/agent.example?environment=production');
    await ui.shows('● open');
    await ui.send(KEY.enter, tab);
    await ui.shows(before);
    await line.send('PUT /puppet/v3/report/agent.example?environment=production', REPORT);
    await ui.shows(after);
    await ui.send('9');
    await ui.shows('[9 Findings]');
    await ui.send(tab);
    await ui.shows(after);
  } finally {
    stop();
    store.close();
    await recorder.close();
  }
});

test('an exchange that is looked at before it is decoded says what it holds as soon as it is', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const recorder = await open(file);
  const store = openStore(file);
  try {
    const line = agent(recorder, 'agent.example').connect();
    const id = await line.send('PUT /puppet/v3/report/agent.example?environment=production', REPORT);
    const { behind, rows } = store.decoded;
    // The thread that decodes may have been quicker than the screen.
    let late = true;
    Object.assign(store.decoded, {
      behind: (of?: Parameters<typeof behind>[0]) => (late ? 1 : behind(of)),
      rows: (kind: DecodedKind, filter: DecodedFilter) => (late ? [] : rows(kind, filter)),
    });
    using ui = openUi(store, LARGE, { first: env => exchangeScreen(id, env)! });
    await ui.shows('nothing in its bodies was decoded');
    await expect.poll(() => behind(), { timeout: 20_000 }).toBe(0);
    late = false;
    ui.engine.refresh();
    expect((await ui.shows('Puppet 7.23.0')).join('\n')).not.toContain('nothing in its bodies');
    await ui.send('5');
    await ui.shows('still open');
    line.close();
    await expect.poll(() => store.connection(1)?.closedAt, { timeout: 20_000 }).not.toBeNull();
    ui.engine.refresh();
    await ui.shows('end by the agent');
  } finally {
    store.close();
    await recorder.close();
  }
});

test('what is open takes longer while one looks, and a proxy that was killed is told of', async () => {
  using dir = tempDir();
  const file = dir.file('live.db');
  const holder = spawn(process.execPath, [fileURLToPath(new URL('../capture/holder.ts', import.meta.url)), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const store = openStore(file);
  using ui = openUi(store, LARGE);
  let looks = 0;
  const looked = (): void => {
    looks += 1;
    ui.engine.refresh();
  };
  const stop = followCapture(store, looked, () => ui.engine.state().live);
  try {
    expect(ui.frame()[0]).toContain('● capturing');
    await expect.poll(() => looks, { timeout: 20_000 }).toBeGreaterThan(1);
    expect(ui.frame()[0]).toContain('● capturing');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    await ui.shows('the proxy is gone without having closed the capture');
    expect(ui.frame()[0]).toContain('○ ended');
  } finally {
    stop();
    store.close();
    holder.kill('SIGKILL');
  }
});

test('a list of a capture that grows costs the same for few rows and for many', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('many.db'));
  try {
    const line = agent(recorder, 'agent1.example').connect();
    await Promise.all(
      Array.from({ length: 4000 }, (_, i) => line.send(`GET /puppet/v3/file_metadata/m/${i}?environment=production`)),
    );
    const store = openStore(dir.file('many.db'));
    try {
      const read = store.exchanges;
      let rows = 0;
      store.exchanges = function* (filter) {
        for (const row of read(filter)) {
          rows += 1;
          yield row;
        }
      };
      using ui = openUi(store, LARGE, { first: requestsScreen });
      expect(rows).toBeGreaterThan(40);
      await ui.send('g', 'j', 'k', KEY.ctrlD);
      expect(ui.frame()).toHaveLength(50);
      expect(rows).toBeLessThan(1000);
    } finally {
      store.close();
    }
  } finally {
    await recorder.close();
  }
});

test('an empty capture says that nothing is to come once its proxy has ended', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('empty.db'));
  const store = openStore(dir.file('empty.db'));
  using ui = openUi(store, SMALL);
  await ui.shows('waiting for an agent');
  await recorder.close();
  ui.engine.refresh();
  expect((await ui.shows('its proxy has ended, and no agent had come')).join('\n')).not.toContain('as soon as');
  for (const [keys, text] of [
    ['T', 'no requests in this capture'],
    ['C', 'its proxy has ended, and no agent had come'],
  ] as const) {
    await ui.send(keys);
    await ui.shows(text);
    await ui.send(KEY.esc);
  }
  await ui.send(':');
  await ui.type('requests');
  await ui.shows('no requests in this capture');
  store.close();
});
