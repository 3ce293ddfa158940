import Database from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { type FindingRow, openStore, type Store } from '../../src/capture/store.ts';
import { readLanes } from '../../ui/reuse-lanes.ts';
import { KEY, LARGE, openUi, SMALL, sample } from './rig.ts';

/** From what is told to what shows it, and back to where one was. */

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const busy = [...store.connections()].find(row => row.leg === 'agent' && row.exchanges > 10)!;
const [carried] = [...store.exchanges({ connection: busy.id })];
const failed = [...store.findings({ severity: 'error' })][0]!;

/** The capture as it is while a connection is still open: its own figures are those of its start. */
function whileOpen(id: number): Disposable & { store: Store } {
  const live = sample();
  const db = new Database(live.file);
  db.prepare(
    `UPDATE connection SET exchanges = 1, closed_at = NULL, closed_mono = NULL, closed_by = NULL, cause = NULL, closed_seq = NULL,
      bytes_read = 0, bytes_written = 0 WHERE id = ?`,
  ).run(id);
  db.close();
  const opened = openStore(live.file);
  return {
    store: opened,
    [Symbol.dispose]() {
      opened.close();
      live[Symbol.dispose]();
    },
  };
}

test('findings are on top of what was looked at, and lead to connections and requests', async () => {
  const found: FindingRow = { ...failed, run: carried!.run, evidence: { ...failed.evidence, connections: [busy.id] } };
  using ui = openUi({ ...store, findings: () => [found] }, SMALL);
  await ui.send(KEY.enter, '3');
  await ui.shows('[3 Facts]');
  await ui.send(':');
  await ui.type('findings');
  expect((await ui.shows('SEVERITY'))[0]).toContain('› findings');
  await ui.send(KEY.enter);
  expect((await ui.shows('what it means')).join('\n')).toMatch(
    new RegExp(`c${busy.id} agent leg, ${busy.certname}, ${busy.exchanges} requests`),
  );
  await ui.send('G', KEY.enter);
  const connection = (await ui.shows(`requests of r${carried!.run};`)).join('\n');
  expect(connection).toContain(`connection  c${busy.id}, agent leg`);
  await ui.send('/');
  await ui.type('POST /puppet');
  await ui.send(KEY.enter);
  await ui.shows('[1 Summary]');
  await ui.send(KEY.esc, KEY.esc, KEY.esc, KEY.esc);
  await ui.shows('[3 Facts]');
});

test('a connection is found by its number, and leads to all that it carried', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type('connection c999999');
  await ui.shows('there is no connection c999999');
  await ui.send(':');
  await ui.type(`connection c${busy.id}`);
  await ui.shows(`connection  c${busy.id}, agent leg`);
  await ui.send('G', KEY.enter);
  await ui.shows(`/~conn c${busy.id}  1 of ${busy.exchanges}`);
  await ui.send(KEY.enter);
  await ui.shows('[1 Summary]');
});

test('the connections tab of a run leads to what they carried', async () => {
  using ui = openUi(store, LARGE);
  await ui.send(':');
  await ui.type(`run r${carried!.run}`);
  await ui.send('8', KEY.enter);
  await ui.shows('enter opens one');
  await ui.send(KEY.esc);
  await ui.shows('[8 Connections]');
});

test('from an exchange to its run, and to the connections of it', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`exchange e${carried!.id}`);
  await ui.shows('[1 Summary]');
  await ui.send('C');
  expect((await ui.shows('[1 Lanes]'))[0]).toContain(`connections of r${carried!.run}`);
  await ui.send(KEY.esc, ':');
  await ui.type('run');
  expect((await ui.shows('[1 Requests]'))[0]).toContain(`r${carried!.run} `);
});

test('what an open connection has carried is told by its requests, not by the figures of its start', async () => {
  using live = whileOpen(busy.id);
  const lane = readLanes(live.store, null).find(({ row }) => row.id === busy.id);
  expect(lane?.uses).toHaveLength(busy.exchanges);
  using ui = openUi(live.store, SMALL);
  await ui.send('C');
  await ui.shows('[1 Lanes]');
  expect(ui.frame().find(line => line.startsWith(` c${busy.id} `))).toContain(`×${busy.exchanges} `);
  await ui.send(':');
  await ui.type(`run r${carried!.run}`);
  await ui.send('8');
  const lines = await ui.shows('[8 Conn]');
  expect(lines.find(line => line.startsWith(`  c${busy.id} `))).toContain(` ${busy.exchanges}+ `);
  await ui.send('/');
  await ui.type(`c${busy.id}, agent`);
  await ui.shows(`${busy.exchanges} requests so far`);
});

test('of a connection that several runs used, those of the run are shown', async () => {
  const shared = [...store.connections()].find(row => row.leg === 'primary' && row.exchanges > 20)!;
  const ids = (run?: number): number[] =>
    [...store.exchanges({ connection: shared.id })].filter(row => run === undefined || row.run === run).map(row => row.id);
  const own = ids(carried!.run!);
  expect(own.length).toBeLessThan(ids().length);
  using ui = openUi(store, { columns: 160, rows: 60 });
  await ui.send(':');
  await ui.type(`run r${carried!.run}`);
  await ui.send('8', '/');
  await ui.type(`c${shared.id}, primary`);
  await ui.send(KEY.enter);
  const lines = await ui.shows(`${own.length} requests of r${carried!.run}; enter opens one`);
  expect(lines.flatMap(line => Number(/^ +e(\d+) /.exec(line)?.[1] ?? 0) || [])).toEqual(own);
});

test('what there is more of is said: details below a list, and findings of a large capture', async () => {
  const many = Array.from({ length: 5000 }, (): FindingRow => failed);
  using ui = openUi({ ...store, findings: filter => many.slice(0, filter?.limit) }, SMALL);
  await ui.send(':');
  await ui.type(`run r${carried!.run}`);
  await ui.send('4');
  expect((await ui.shows('[4 Events]')).join('\n')).toMatch(/─ enter shows all $/m);
  await ui.send('5');
  expect((await ui.shows('[5 Logs]')).join('\n')).not.toContain('enter shows all');
  await ui.send(':');
  await ui.type('findings');
  await ui.shows('1 of 5000, more are not shown');
});

test('times of details are those of the lists', async () => {
  using ui = openUi(store, LARGE);
  await ui.send(':');
  await ui.type(`run r${carried!.run}`);
  for (const tab of ['5', '8']) {
    await ui.send(tab);
    const lines = await ui.shows(tab === '5' ? '[5 Logs]' : '[8 Connections]');
    const [listed = ''] = /\d\d:\d\d:\d\d\.\d{3}/.exec(lines.find(line => line.startsWith('▌'))!) ?? [];
    expect(lines.find(line => /^ (at|opened) /.test(line))).toMatch(new RegExp(`  \\d{4}-\\d\\d-\\d\\d ${listed}`));
  }
});
