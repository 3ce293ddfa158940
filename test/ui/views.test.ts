import { afterAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { KEY, LARGE, openUi, pause, SMALL, sample } from './rig.ts';

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const runs = [...store.runs()];
/** A run that enrolled, with everything in it. */
const whole = runs.find(
  run => store.decoded.count('csr', { run: run.id }) > 0 && store.decoded.count('event', { run: run.id }) > 0,
)!;
const refused = runs.find(run => store.decoded.rows('refusal', { run: run.id }).some(row => row.error !== null))!;
const catalog = [...store.exchanges({ run: whole.id })].find(row => row.phase === 'catalog')!;
const ca = [...store.exchanges({ run: whole.id })].find(row => row.phase === 'ca')!;

describe.each([
  ['80x24', SMALL],
  ['160x50', LARGE],
] as const)('at %s', (_, size) => {
  test('runs: one row each with its result, newest first, opened with enter', async () => {
    using ui = openUi(store, size);
    const lines = ui.frame();
    expect(lines).toHaveLength(size.rows);
    for (const run of runs) expect(lines.some(line => line.includes(`r${run.id} `) && line.includes(run.certname))).toBe(true);
    expect(lines.join('\n')).toContain('✗ compile error');
    expect(lines.findIndex(line => line.includes(` r${runs.length} `))).toBeLessThan(
      lines.findIndex(line => line.includes(' r1 ')),
    );
    await ui.send('j', KEY.enter);
    const second = runs.at(-2)!;
    expect((await ui.shows('1 Requests'))[0]).toContain(`r${second.id} ${second.certname}`);
    await ui.send(KEY.esc);
    expect((await ui.shows(`2 of ${runs.length}`))[0]).toContain('runs');
  });

  test('run: lanes of both legs, and the requests in step', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`run r${whole.id}`);
    let lines = await ui.shows('1 Requests');
    expect(lines.filter(line => /^.(A|agent) c\d+/.test(line)).length).toBeGreaterThan(0);
    expect(lines.filter(line => /^.└(P| primary) c\d+/.test(line)).length).toBeGreaterThan(0);
    expect(lines.find(line => line.includes(`e${ca.id} `))).toMatch(/^▌/);
    const index = [...store.exchanges({ run: whole.id })].findIndex(row => row.id === catalog.id);
    await ui.send('j'.repeat(index));
    lines = await ui.shows(`${index + 1} of ${whole.exchanges}`);
    expect(lines.find(line => line.includes('catalog/'))).toMatch(/^▌/);
    // The lanes of the request under the cursor are marked.
    expect(lines.some(line => new RegExp(`^▌(A|agent) c${catalog.agentConnection} `).test(line))).toBe(true);
    await ui.send('+');
    expect(await ui.shows(' of ')).not.toEqual(lines);
    await ui.send('0', KEY.enter);
    await ui.shows(`e${catalog.id} POST`);
  });

  test('run: every tab', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`run ${whole.id}`);
    await ui.shows('1 Requests');
    for (const [key, text] of [
      ['2', 'Stage[main]'],
      ['3', 'architecture: '],
      ['4', 'success'],
      ['5', 'notice'],
      ['6', 'fetched, as promised'],
      ['7', 'CA certificate'],
      ['8', 'primary'],
      ['9', '[9 Findings]'],
    ] as const) {
      await ui.send(key);
      await ui.shows(text);
      await ui.send('Gglh', KEY.ctrlD, KEY.ctrlU);
      expect(ui.frame()).toHaveLength(size.rows);
    }
  });

  test('run: a catalog that did not compile says why, and where', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`run ${refused.id}`);
    await ui.shows('compile error');
    await ui.send('2');
    const row = store.decoded.rows('refusal', { run: refused.id }).find(({ error }) => error !== null)!;
    await ui.shows(row.error!.slice(0, 40));
  });

  test('exchange: every tab', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`exchange e${catalog.id}`);
    await ui.shows('1 Summary');
    expect(ui.frame().join('\n')).toContain(`c${catalog.agentConnection}#${catalog.agentOrdinal}`);
    await ui.send('2');
    await ui.shows('facts_format = ');
    await ui.send('3');
    await ui.shows('Content-Encoding: gzip');
    await ui.shows('gzip undone');
    await ui.send('4');
    await ui.shows('waiting for primary');
    await ui.send('5');
    await ui.shows('reused, no handshake');
    await ui.send('6');
    await ui.shows('1f 8b');
    await ui.send('x');
    expect((await ui.shows('as hex')).join('\n')).not.toContain('1f 8b');
  });

  test('exchange: a tree unfolds, and a search finds what is folded', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`exchange e${catalog.id}`);
    await ui.shows('1 Summary');
    await ui.send('2', '/');
    await ui.type('operatingsystem');
    const lines = await ui.shows('/operatingsystem');
    expect(lines.some(line => line.startsWith('▌') && line.toLowerCase().includes('operatingsystem'))).toBe(true);
    await ui.send('n');
    await ui.send('/');
    await ui.type('nothing has this');
    await ui.shows('nothing has this is nowhere here');
  });

  test('exchange: where the legs differ, both bodies can be seen', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type(`exchange e${ca.id}`);
    await ui.shows('1 Summary');
    await ui.send('3');
    await ui.shows('agent leg');
    await ui.send('L');
    const lines = (await ui.shows('▌primary leg')).join('\n');
    expect(lines.includes('agent leg, L goes there')).toBe(size.columns >= 120);
  });

  test('requests: all of the capture, to the last', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type('requests');
    await ui.shows(`▌ e${ca.id} `);
    const last = [...store.exchanges({ reverse: true, limit: 1 })][0]!;
    await ui.send('G');
    const lines = await ui.shows(`e${last.id} `);
    expect(lines.find(line => line.startsWith('▌'))).toContain(`e${last.id} `);
    await ui.send('g', 'e');
    // It is looked for in the background: the cursor stays where it was until then.
    await expect
      .poll(async () => (await ui.shows('▌ e')).join('\n'), { timeout: 20_000 })
      .toMatch(/▌ e\d+ .*(4\d\d|5\d\d|gone|!)/);
  });

  test('help is of the view, and comes from the key map', async () => {
    using ui = openUi(store, size);
    await ui.send('?');
    const lines = await ui.shows('Keys of this view: runs');
    expect(lines.join('\n')).toMatch(/F\s+follow/);
    expect(lines.join('\n')).not.toContain('zoom in');
    await ui.send(KEY.esc, KEY.enter);
    await ui.shows('1 Requests');
    await ui.send('?');
    await ui.shows('zoom in on the time');
  });

  test('the palette runs what is under the cursor', async () => {
    using ui = openUi(store, size);
    await ui.send(KEY.ctrlP);
    await ui.shows('command: ');
    await ui.send('requests of');
    await ui.shows('all requests of the capture');
    await ui.send(KEY.enter);
    await ui.shows(`▌ e${ca.id} `);
  });
});

test('the screens fit, and say so where they do not', async () => {
  for (const size of [
    { columns: 60, rows: 15 },
    { columns: 200, rows: 60 },
    { columns: 40, rows: 10 },
  ]) {
    using ui = openUi(store, size);
    await ui.send(KEY.enter);
    await ui.shows('Requests');
    expect(ui.frame()).toHaveLength(size.rows);
    for (const key of ['2', '3', '4', '5', '6', '7', '8']) {
      await ui.send(key);
      expect(ui.frame()).toHaveLength(size.rows);
    }
  }
  using tiny = openUi(store, { columns: 30, rows: 5 });
  expect(tiny.frame()[0]).toContain('40x10 is needed');
});

test('a resize is one frame of the new size', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(KEY.enter);
  await ui.shows('1 Requests');
  ui.engine.resize({ columns: 70, rows: 20 });
  await pause(20);
  expect(ui.frame()).toHaveLength(20);
  ui.engine.resize({ columns: 80, rows: 40 });
  await pause(20);
  expect(ui.frame()).toHaveLength(40);
});

test('without colours nothing but bold, underline and inverse is left; ASCII signs are ASCII', async () => {
  using ui = openUi(store, SMALL, { colour: false, ascii: true });
  await ui.send(KEY.enter);
  await ui.shows('1 Requests');
  const codes = ui
    .raw()
    .split('\x1b[')
    .slice(1)
    .map(part => part.split('m', 1)[0]);
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.filter(code => !/^(0|1|2|4|7|22|24|27)$/.test(code ?? ''))).toEqual([]);
  const isPlain = (): void => expect(ui.frame().join('\n')).toMatch(/^[\x20-\x7e\n]*$/);
  isPlain();
  expect(ui.frame()[0]).not.toContain('›');
  await ui.send('6');
  await ui.shows('[6 Files]');
  isPlain();
  await ui.send(KEY.esc, '?');
  await ui.shows('m a ~ m z');
  isPlain();
});

test('quitting asks nothing, leaving the first view does not quit', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('q');
  await ui.shows('Q quits');
  expect(ui.quits).toBe(0);
  await ui.send('Q');
  expect(ui.quits).toBe(1);
});

test('lists are sorted and filtered by the thread, and counted', async () => {
  using ui = openUi(store, LARGE);
  await ui.send('o');
  await ui.shows('by duration');
  const slowest = runs.toSorted((a, b) => took(b) - took(a));
  await ui.shows(`▌ r${slowest[0]!.id} `);
  await ui.send('/');
  await ui.type(`~certname ${slowest[0]!.certname}`);
  const count = runs.filter(run => run.certname === slowest[0]!.certname).length;
  expect((await ui.shows(`1 of ${count}`)).filter(line => /^.. ?r\d+ /.test(line)).length).toBe(count);
  await ui.send('\x14');
  await ui.shows(`1 of ${runs.length}`);
  await ui.send('/');
  await ui.send(KEY.ctrlU, '~nonsense');
  await ui.shows('is not known');
  await ui.send(KEY.enter);
  expect(ui.frame().join('\n')).toContain('~nonsense');
  await ui.send(KEY.esc, ':');
  await ui.type('requests');
  await ui.shows(`▌ e${ca.id} `);
  expect(ui.frame().join('\n')).toContain('TIME▲');
  await ui.send('/');
  await ui.type('~c 500');
  await ui.shows('1 of ');
  await ui.send('/', KEY.ctrlU);
  await ui.type('~c 418');
  await ui.shows('no request is like this');
});

function took(run: (typeof runs)[number]): number {
  return Date.parse(run.endedAt ?? run.startedAt) - Date.parse(run.startedAt);
}

test('facts that are no strings are told from those that are', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`run ${whole.id}`);
  await ui.send('3');
  await ui.shows('architecture: ');
  const line = (name: string): string =>
    ui
      .raw()
      .split('\n')
      .find(text => text.includes(name)) ?? '';
  // Names are coloured; behind them only what is no string is.
  expect(line('architecture: ')).toContain('architecture: \x1b[39mamd64');
  expect(line('clientnoop: ')).toContain('clientnoop: false\x1b[39m');
});

test('a text that is pasted goes into the line that is typed as one, without what a terminal would obey, and runs nothing', async () => {
  using ui = openUi(store, SMALL);
  ui.engine.paste('j');
  expect(ui.engine.state().prompt).toBeNull();
  await ui.send(';');
  ui.engine.paste('select\n\t1\x1b[2J👍');
  await ui.shows('sql; select 1[2J👍');
  ui.engine.paste(`${'x '.repeat(1_000_000)}👍`);
  expect(ui.engine.state().prompt?.input.text).toHaveLength(10_000);
});

test('what is said at length is said to its end, over the lowest lines of the view', async () => {
  using ui = openUi(store, { columns: 60, rows: 15 });
  const text = `cannot write ${'/a/long/path'.repeat(6)} (free some room on the disk, then try again)`;
  ui.engine.say({ text, kind: 'error' });
  await pause(20);
  const lines = ui.frame();
  expect(lines).toHaveLength(15);
  expect(
    lines
      .slice(-5)
      .map(line => line.trim())
      .join(''),
  ).toContain('then try again)');
  expect(lines.join('').replace(/\s/g, '')).toContain(`error:${text}`.replace(/\s/g, ''));
  expect(lines.at(-2)).toContain('1 of ');
  await ui.send('j');
  expect(ui.frame().join('\n')).not.toContain('error: ');
  await ui.send('m');
  expect((await ui.shows('m … a … z')).join('\n')).not.toContain('b  c');
});

test('a body of bytes is hex that fits, and says what of it is not shown', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('bytes.db'));
  await agent(recorder, 'agent.example')
    .connect()
    .send('GET /puppet/v3/file_content/modules/m/key?environment=production', {
      bodies: { response: Buffer.alloc(100_000, 0xf1) },
      responseFields: [['Content-Type', 'application/octet-stream']],
    });
  await recorder.close();
  const bytes = openStore(dir.file('bytes.db'));
  try {
    using ui = openUi(bytes, SMALL);
    await ui.send(':');
    await ui.type('exchange e1');
    await ui.send('3');
    const lines = await ui.shows('00000008  f1 f1');
    expect(lines.filter(line => line.includes('f1 f1') && line.includes('…'))).toEqual([]);
    await ui.send('G');
    await ui.shows('… 60 kB more; the Raw tab goes through all');
  } finally {
    bytes.close();
  }
});

test('read aloud, nothing is said by a picture alone', async () => {
  using ui = openUi(store, SMALL, { reader: true });
  const isWords = (): void => expect(ui.frame().join('\n')).not.toMatch(/[█░▒≡▁▂▃▄▅▆▇╌]/);
  await ui.shows('CERTNAME');
  isWords();
  await ui.send(KEY.enter);
  await ui.shows('[1 Requests]');
  isWords();
  await ui.send(KEY.enter, '4');
  await ui.shows('waiting for primary');
  isWords();
});

test.each([
  [{ columns: 80, rows: 24 }, 2],
  [{ columns: 60, rows: 30 }, 2],
  [{ columns: 60, rows: 15 }, 1],
  [{ columns: 160, rows: 50 }, 1],
])('what is known of a run is never cut in the middle: %o', async (size, lines) => {
  using ui = openUi(store, size);
  await ui.send('G', KEY.enter);
  await ui.shows('1 Requests');
  const head = ui
    .frame()
    .slice(2, 2 + lines)
    .join('  ');
  expect(head).not.toContain('…');
  expect(head).toContain('23 requests');
  if (lines === 2 || size.columns > 100) expect(head).toMatch(/12 kB down\s+Puppet 7\.23\.0\s+ended by report/);
  expect(ui.frame()[2 + lines]).not.toContain('kB');
});
