import { afterAll, describe, expect, test } from 'vitest';
import { createMouseReader, type MouseEvent } from '../../ui/mouse.ts';
import { pointAt } from '../../ui/pointer.ts';
import { openUi, pause, SMALL, sample, type Ui } from './rig.ts';

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const runs = [...store.runs()];

describe('reports of the mouse', () => {
  const reading = (): { events: MouseEvent[]; read: (text: string) => string } => {
    const events: MouseEvent[] = [];
    return { events, read: createMouseReader(event => events.push(event)) };
  };

  test('are taken out of the keys, also several in one read', () => {
    const { events, read } = reading();
    expect(read('j\x1b[<64;10;5M\x1b[<65;1;1Mk')).toBe('jk');
    expect(read('\x1b[<0;3;4M\x1b[<0;3;4m')).toBe('');
    expect(events).toEqual([
      { type: 'wheel-up', column: 9, row: 4 },
      { type: 'wheel-down', column: 0, row: 0 },
      { type: 'press', column: 2, row: 3 },
    ]);
  });

  test('that come in pieces are read when they are whole', () => {
    const { events, read } = reading();
    expect(read('x\x1b[<6')).toBe('x');
    expect(read('5;20;7')).toBe('');
    expect(read('My')).toBe('y');
    expect(events).toEqual([{ type: 'wheel-down', column: 19, row: 6 }]);
  });

  test('of other buttons do nothing; keys that begin alike are keys', () => {
    const { events, read } = reading();
    expect(read('\x1b[<2;1;1M\x1b[<1;1;1M')).toBe('');
    expect(read('\x1b[A\x1b')).toBe('\x1b[A\x1b');
    expect(events).toEqual([]);
  });

  test('with a modifier count as without', () => {
    const { events, read } = reading();
    read('\x1b[<81;1;1M');
    expect(events).toEqual([{ type: 'wheel-down', column: 0, row: 0 }]);
  });
});

/** The row of the screen that has a text. */
const rowOf = (ui: Ui, text: string): number => ui.frame().findIndex(line => line.includes(text));
const click = (ui: Ui, column: number, row: number): void => pointAt(ui.engine, { type: 'press', column, row });

describe('the mouse', () => {
  test('the wheel moves three rows', async () => {
    using ui = openUi(store, SMALL);
    pointAt(ui.engine, { type: 'wheel-down', column: 10, row: 10 });
    await ui.shows(`4 of ${runs.length}`);
    pointAt(ui.engine, { type: 'wheel-up', column: 10, row: 10 });
    await ui.shows(`1 of ${runs.length}`);
  });

  test('a click goes to a row, a second one opens it; the head of a list is no row', async () => {
    using ui = openUi(store, SMALL);
    const wanted = runs.at(-3)!;
    click(ui, 12, rowOf(ui, ` r${wanted.id} `));
    await ui.shows(`3 of ${runs.length}`);
    click(ui, 12, rowOf(ui, 'CERTNAME'));
    click(ui, 12, 20);
    await pause(30);
    expect(rowOf(ui, `3 of ${runs.length}`)).toBeGreaterThan(0);
    click(ui, 12, rowOf(ui, ` r${wanted.id} `));
    await ui.shows(`r${wanted.id} ${wanted.certname}`);
  });

  test('a click on a tab goes there, and on a row of its tree to that row', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('G', '\r');
    const line = (await ui.shows('1 Requests'))[1]!;
    click(ui, line.indexOf('3 Facts') + 3, 1);
    await ui.shows('[3 Facts]');
    click(ui, 4, 6);
    expect((await ui.shows('3 of '))[6]!.startsWith('▌')).toBe(true);
    click(ui, 0, 1);
    await ui.shows('[1 Requests]');
  });

  test('a row of a run is clicked in the list under its lanes', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('G', '\r');
    await ui.shows('1 Requests');
    const [, , third] = [...store.exchanges({ run: runs[0]!.id })];
    const row = rowOf(ui, ` e${third!.id} `);
    click(ui, 20, row);
    await ui.shows('3 of ');
    click(ui, 20, row);
    await ui.shows('1 Summary');
  });

  test('one key gives the mouse back to the terminal', async () => {
    using ui = openUi(store, SMALL);
    expect(ui.engine.state().mouse).toBe(true);
    await ui.send('\x19');
    expect((await ui.shows('the mouse selects text')).join('\n')).toContain('ctrl-y');
    expect(ui.engine.state().mouse).toBe(false);
    await ui.send('\x19');
    await ui.shows('the wheel moves');
  });

  test('read aloud there is none', () => {
    using ui = openUi(store, SMALL, { reader: true });
    expect(ui.engine.state().mouse).toBe(false);
  });
});

describe('letters', () => {
  test('a row gets a letter, which shows beside it, and leads to it from elsewhere', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('j', 'm', 'a');
    const run = runs.at(-2)!;
    await ui.shows(`r${run.id} is a`);
    expect(ui.frame().some(line => line.startsWith(`▌ar${run.id} `))).toBe(true);
    await ui.send('j');
    expect(ui.frame().some(line => line.startsWith(` ar${run.id} `))).toBe(true);
    ui.engine.act({ name: 'requests', argument: null });
    await ui.send('m', 'b', "'", 'a');
    await ui.shows(`r${run.id} ${run.certname}`);
    await ui.send("'", 'b');
    await ui.shows('1 Summary');
  });

  test('a letter is of one row, and a row has one letter', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('m', 'a', 'j', 'm', 'a');
    const [first, second] = [runs.at(-1)!, runs.at(-2)!];
    await ui.shows(`r${second.id} is a`);
    expect(ui.frame().some(line => line.startsWith(` ar${first.id} `))).toBe(false);
    await ui.send('m', 'z');
    await ui.shows(`r${second.id} is z`);
    await ui.send("'", 'a');
    await ui.shows('no row is called a');
    await ui.send('U');
    await ui.shows('no row is marked');
    await ui.send("'", 'z');
    await ui.shows('no row is called z');
  });

  test('the letters that may follow are told', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('m');
    await ui.shows('m … a … z');
  });
});
