import { afterAll, describe, expect, test } from 'vitest';
import type { RunRow, Store } from '../../src/capture/store.ts';
import { eventValueText } from '../../src/commands/show-text.ts';
import { whenOf } from '../../ui/time.ts';
import { KEY, openUi, SMALL, sample } from './rig.ts';

/** What somebody sees who comes to find out why a run failed, at 80x24. */

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const runs = [...store.runs()];
const idOf = (status: string): number =>
  runs.find(run => store.decoded.rows('report', { run: run.id }).some(row => row.status === status))!.id;
const refused = runs.find(run => store.decoded.rows('refusal', { run: run.id }).some(row => row.error !== null))!.id;
const broken = runs.find(
  run => run.id !== refused && store.decoded.rows('event', { run: run.id }).some(e => e.status === 'failure'),
)!.id;

async function atRun(id: number, ...keys: string[]) {
  const ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`run ${id}`);
  await ui.shows('1 Requests');
  if (keys.length > 0) await ui.send(...keys);
  return ui;
}

describe('a run that went wrong says why at its head', () => {
  test('a compilation that failed, with its place', async () => {
    using ui = await atRun(refused);
    const text = (await ui.shows('✗ the catalog did not compile')).join(' ').replace(/\s+/g, ' ');
    expect(text).toContain('Could not find class ::role::webb for web01.lab (/srv/puppet/code/environments');
    expect(ui.frame()).toHaveLength(SMALL.rows);
  });

  test('a resource that failed; its event has the message in full, and does not call the wish a fact', async () => {
    using ui = await atRun(broken, '4');
    const text = (await ui.shows('✗ 1 resource failed: Exec[')).join('\n');
    expect(text.replace(/\s+/g, ' ')).toContain("'/bin/false' returned 1 instead of one of [0]");
    expect(text).toContain(' wanted ');
    expect(text).not.toContain('is now');
  });

  test('a run that went well says nothing there, and that it was judged', async () => {
    using ui = await atRun(idOf('unchanged'), '9');
    const text = (await ui.shows('no findings')).join('\n');
    expect(text).toContain('nothing that the rules know is wrong here');
    expect(text).not.toContain('✗');
  });
});

test("a file's diff in the log is a line in the list, and lines below it", async () => {
  const run = runs.at(-1)!.id;
  using ui = await atRun(run, '5');
  expect((await ui.shows('MESSAGE')).join('\n')).toMatch(/notice +--- \/srv\/\S+/);
  const at = store.decoded.rows('log_line', { run }).findIndex(row => row.message?.startsWith('\n---'));
  await ui.send('j'.repeat(at), KEY.enter);
  const text = (await ui.shows('+worker_processes 4;')).join('\n');
  expect(text).not.toContain('\\x');
});

test('a checksum that a report has in Base64 is read', () => {
  const hex = 'ac4b56eb5709ec5b85933f27f3ea5cddaaf87c794f311dc6b19e4f7961d769ed';
  expect(eventValueText(Buffer.from(`{sha256}${hex}`).toString('base64'))).toBe(`{sha256}${hex}`);
  expect(eventValueText(Buffer.from(`{md5}${hex.slice(0, 32)}`).toString('base64'))).toBe(`{md5}${hex.slice(0, 32)}`);
  expect(eventValueText('e3NoYTI1Nn1ub3QgaGV4IGF0IGFsbA==')).toBe('e3NoYTI1Nn1ub3QgaGV4IGF0IGFsbA==');
});

describe('a filter', () => {
  test('is taken off by esc, which then has nothing more to do', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('/');
    await ui.type('~c 5xx');
    await ui.shows('1 of 1');
    await ui.send(KEY.esc);
    await ui.shows(`/~c 5xx (off)  1 of ${runs.length}`);
    await ui.send(KEY.esc);
    await ui.shows('Q quits');
  });

  test('that is wrong is told in full, above it', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('/', '~zz');
    const text = (await ui.shows('~zz is not known')).join(' ').replace(/\s+/g, ' ');
    expect(text).toContain('~d ~q ~s ~e');
    expect(ui.frame()).toHaveLength(SMALL.rows);
  });
});

test('help has all of its words', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('?');
  await ui.shows('Keys of this view');
  const all = new Set<string>();
  for (let page = 0; page < 5; page += 1) {
    for (const line of ui.frame().slice(1, -2)) all.add(line);
    await ui.send('\x06');
  }
  expect([...all].filter(line => line.trimEnd().endsWith('…'))).toEqual([]);
});

describe('in the smallest terminal', () => {
  const TINY = { columns: 40, rows: 10 };

  test('the list of runs has who, and how it went', async () => {
    using ui = openUi(store, TINY);
    expect((await ui.shows('RESULT')).join('\n')).toMatch(/web01\.lab +✎ changed/);
  });

  test.each([
    ['1', /e\d+ +pluginsync +200/],
    ['4', /success +File\[|failure\*? +Exec\[/],
    ['8', /c\d+ +agent/],
  ])('tab %s of a run has what a row is of before all else', async (tab, row) => {
    using ui = openUi(store, TINY);
    await ui.send(':');
    await ui.type(`run ${broken}`);
    await ui.send(tab);
    await ui.shows(`[${tab} `);
    expect(ui.frame().join('\n')).toMatch(row);
  });

  test('what to do next is said in whole words', async () => {
    using ui = openUi(store, TINY);
    await ui.send(':');
    await ui.type(`run ${broken}`);
    await ui.send('7');
    const text = (await ui.shows('no certificates in this run')).map(line => line.trim()).join(' ');
    expect(text).toContain('an agent asks for the CA, its CRL and its certificate when it has none');
  });
});

test('at 80 columns a certname has room, and the environment of a run is told', async () => {
  using ui = openUi(store, SMALL);
  expect((await ui.shows('CERTNAME')).find(line => line.includes('CERTNAME'))).toMatch(/CERTNAME {12}/);
  await ui.send(KEY.enter);
  expect((await ui.shows('1 Requests'))[2]).toContain(' production ');
});

test('the day of a run is that of its time', () => {
  const now = new Date(2026, 2, 2, 12).getTime();
  const evening = new Date(2026, 2, 1, 23, 30).toISOString();
  const morning = new Date(2026, 2, 1, 0, 30).toISOString();
  expect(whenOf(evening, now)).toBe('03-01 23:30');
  expect(whenOf(morning, now)).toBe('03-01 00:30');
  expect(whenOf(new Date(2026, 2, 2, 9, 5, 7).toISOString(), now)).toBe('09:05:07');
});

test('what took minutes is whole in its column, and what is open is told from it', async () => {
  const minutes = (row: RunRow): RunRow => ({
    ...row,
    endedAt: row.id === 1 ? null : new Date(Date.parse(row.startedAt) + 68_000).toISOString(),
  });
  const slow: Store = {
    ...store,
    *runs(filter) {
      for (const row of store.runs(filter)) yield minutes(row);
    },
    *exchanges(filter) {
      for (const row of store.exchanges(filter)) yield { ...row, durationMs: 90_000 };
    },
  };
  using ui = openUi(slow, SMALL, { now: () => Date.parse([...store.runs()][0]!.startedAt) + 725_000 });
  const lines = await ui.shows('RESULT');
  expect(lines.find(line => / r2 /.test(line))).toMatch(/ 1m 08s +\d/);
  expect(lines.find(line => / r1 /.test(line))).toMatch(/ 12m 05s… +\d/);
  await ui.send(KEY.enter);
  expect((await ui.shows('[1 Requests]')).find(line => line.startsWith('▌ e'))).toContain(' 1m 30s ');
});

test('an empty list of events says which: nothing to change, or no report', async () => {
  using quiet = await atRun(idOf('unchanged'), '4');
  await quiet.shows('nothing was out of sync');
  using none = await atRun(refused, '4');
  await none.shows('the run failed before it changed anything');
});
