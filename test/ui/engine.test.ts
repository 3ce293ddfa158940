import { afterAll, expect, test } from 'vitest';
import { type Screen, screenOf, type View } from '../../ui/screen.ts';
import { span } from '../../ui/text.ts';
import { KEY, openUi, pause, SMALL, sample } from './rig.ts';

/** What holds for any view: keys, jobs and prompts around it. */

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const last = [...store.runs()].at(-1)!;

test('what a job makes of a screen is not put in place of another that was gone to meanwhile', async () => {
  const jobs: (() => void)[] = [];
  const view: View<string> = {
    scopes: () => ['opens'],
    title: state => state,
    act: (state, action) =>
      action.name === 'open'
        ? {
            job: {
              label: 'working',
              run: async () => {
                await new Promise<void>(resolve => jobs.push(resolve));
                return { screen: screenOf(view, `${state} done`), say: { text: 'it is done', kind: 'info' } };
              },
            },
          }
        : null,
    refresh: state => state,
    draw: state => [[span(state)]],
  };
  const first = (): Screen => screenOf(view, 'first');
  using ui = openUi(store, SMALL, { first });
  await ui.send(KEY.enter);
  await ui.shows('working: working');
  await ui.send('?');
  await ui.shows('Keys of this view');
  jobs.pop()!();
  await ui.shows('it is done');
  expect(ui.frame()[0]).toContain('first › help');
  await ui.send(KEY.esc, KEY.enter);
  await ui.shows('working: working');
  jobs.pop()!();
  await ui.shows('first done');
});

test('a view that cannot be read after a resize says so, and the keys go on', async () => {
  const view: View<number> = {
    scopes: () => [],
    title: () => 'breaks',
    act: () => null,
    refresh: () => {
      throw new Error('the row is damaged');
    },
    draw: () => [],
  };
  using ui = openUi(store, SMALL, { first: () => screenOf(view, 0) });
  ui.engine.resize({ columns: 80, rows: 20 });
  await pause(20);
  await ui.shows('error: the row is damaged');
  await ui.send('?');
  await ui.shows('Keys of this view');
});

test('a search in a tree that has nothing finds nothing', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type(`run ${last.id}`);
  await ui.send('7', '/');
  await ui.type('CN=');
  expect((await ui.shows('CN= is nowhere here')).join('\n')).not.toContain('error');
});

test('what stands behind the name of a command is passed on as it was typed', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type("sql select 'a  b' as two");
  await ui.shows('a  b');
  await ui.send(KEY.esc, ':');
  await ui.type('filter ~zz');
  expect((await ui.shows('~zz is not known')).join(' ').replace(/\s+/g, ' ')).toContain('~d ~q ~s ~e');
});

test('names of commands that are completed are whole', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':', 'fin');
  await ui.shows(' findings  what the rules found');
});

test('a line that was left is there again with the arrow up', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(';', 'select 17 as seventeen', KEY.esc, ';', KEY.up);
  await ui.shows('sql; select 17 as seventeen');
  await ui.send(KEY.esc, '/', '~c 404', KEY.esc, '/', KEY.up);
  await ui.shows('/~c 404');
});

test('the target of a replay is there again for the next run', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('R');
  await ui.type('primary.invalid:8140 --timing fast');
  await ui.send(KEY.esc, 'j', 'R');
  await ui.shows('again to HOST');
  await ui.send(KEY.up);
  await ui.shows('primary.invalid:8140 --timing fast');
});

test('help is left by the key that shows it, and fits the terminal when that changes', async () => {
  using ui = openUi(store, { columns: 120, rows: 40 });
  await ui.send('?');
  await ui.shows('Keys of this view: runs');
  ui.engine.resize({ columns: 60, rows: 20 });
  await pause(20);
  const lines = await ui.shows('Keys of this view: runs');
  expect(lines.filter(line => line.trimEnd().endsWith('…'))).toEqual([]);
  await ui.send('?');
  expect((await ui.shows('1 of ')).join('\n')).not.toContain('Keys of this view');
});

test('text is turned over by pages and half pages', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('?');
  await ui.shows('lines 1 to 21 of ');
  await ui.send(KEY.pgdn);
  await ui.shows('lines 21 to 41 of ');
  await ui.send(KEY.ctrlD);
  await ui.shows('lines 31 to 51 of ');
  await ui.send(KEY.ctrlU, KEY.pgup);
  await ui.shows('lines 1 to 21 of ');
  await ui.send('j', KEY.pgup);
  await ui.shows('lines 1 to 21 of ');
});

test('n without a search says what it lacks', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(KEY.enter);
  for (const key of ['1', '3', '4']) {
    await ui.send(key, 'n');
    await ui.shows('nothing is searched for yet; / does');
  }
  await ui.send('?', 'N');
  await ui.shows('nothing is searched for yet; / does');
});

test('keys that a tab has nothing for are not offered there', async () => {
  using ui = openUi(store, { columns: 160, rows: 24 });
  await ui.send(KEY.enter);
  const offered = async (text: string): Promise<string> => (await ui.shows(text)).at(-1)!;
  expect(await offered('[1 Requests]')).toMatch(/^\+ zoom .*max .*e error/);
  await ui.send('3');
  expect(await offered('[3 Facts]')).not.toMatch(/follow|max|error/);
  await ui.send('4');
  expect(await offered('[4 Events]')).toMatch(/e error/);
  await ui.send('1', KEY.enter);
  await ui.shows('[1 Summary]');
  await ui.send('x');
  await ui.shows(`export r${last.id}: `);
  await ui.send(KEY.esc, '6', 'x');
  await ui.shows('x as hex');
});

test.each([40, 60, 80])('what leads on, back and to help is offered in %i columns', async columns => {
  using ui = openUi(store, { columns, rows: 24 });
  await ui.send(KEY.enter);
  const keys = (await ui.shows('1 Requests')).at(-1)!;
  for (const hint of ['enter open', 'esc back', '? help']) expect(keys).toContain(hint);
  // Nothing newer comes to a capture that has ended.
  expect(keys).not.toContain('follow');
});

test('a key that does nothing is not offered: open where nothing opens, back where there is nothing behind', async () => {
  using ui = openUi(store, { columns: 160, rows: 24 });
  const offered = async (text: string): Promise<string> => (await ui.shows(text)).at(-1)!;
  expect(await offered('1 of ')).toMatch(/enter open/);
  expect(await offered('1 of ')).not.toMatch(/back/);
  await ui.send('/');
  await ui.type('~phase catalog');
  expect(await offered('/~phase catalog  1 of')).toMatch(/esc back/);
  await ui.send(KEY.esc, '?');
  expect(await offered('Keys of this view')).toMatch(/esc back/);
  expect(await offered('Keys of this view')).not.toMatch(/enter open/);
  await ui.send('?', 'C');
  expect(await offered('[1 Lanes]')).toMatch(/e error .*enter open/);
  await ui.send('2');
  await ui.shows('AGENT LEG');
  expect(await offered('[2 Figures]')).not.toMatch(/error|open/);
  await ui.send(KEY.esc, KEY.enter, KEY.enter);
  expect(await offered('[1 Summary]')).not.toMatch(/enter open/);
  await ui.send(KEY.enter);
  await ui.shows('enter does nothing here');
  await ui.send('3');
  expect(await offered('[3 Response]')).toMatch(/enter open/);
  await ui.send('j', 'j', KEY.enter);
  await ui.shows('there is nothing below this row');
});

test('a filter is completed: names, their values, and what occurs in the capture', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('/');
  expect((await ui.shows('words are looked for in')).join(' ')).toContain('certname, environment');
  await ui.send('~ph', KEY.tab);
  await ui.shows('/~phase ');
  await ui.send('cat', KEY.tab);
  await ui.shows('/~phase catalog');
  await ui.send(' ~cert', KEY.tab, 'DB', KEY.tab);
  await ui.shows('/~phase catalog ~certname db01.lab');
  await ui.send(' ~c');
  const offered = (await ui.shows('~conn ')).join('\n');
  expect(offered).toContain('~certname ');
  expect(ui.frame()).toHaveLength(SMALL.rows);
  await ui.send(KEY.tab);
  await ui.shows('db01.lab ~c');
  await ui.send('\x17', KEY.enter);
  await ui.shows('/~phase catalog ~certname db01.lab  1 of 2');
});
