import { afterAll, describe, expect, test } from 'vitest';
import { KEY, LARGE, openUi, SMALL, sample } from './rig.ts';

const capture = sample();
const { store, file } = capture;
afterAll(() => capture[Symbol.dispose]());

const runs = [...store.runs()];
/** Two runs of one agent, the later one with a catalog. */
const later = runs.findLast(run => runs.some(one => one.id < run.id && one.certname === run.certname))!;
const catalogs = [...store.exchanges()].filter(row => row.phase === 'catalog' && row.status === 200);

describe.each([
  ['80x24', SMALL],
  ['160x50', LARGE],
] as const)('at %s', (_, size) => {
  test('diff: two runs are marked and compared, and the tree folds', async () => {
    using ui = openUi(store, size);
    await ui.send(' ', 'j', ' ');
    const [newest, before] = [runs.at(-1)!, runs.at(-2)!];
    let lines = await ui.shows('2 marked');
    expect(lines.filter(line => line.includes('✱')).length).toBe(2);
    await ui.send('d');
    // What was first is held against what came later, whichever was marked first.
    lines = await ui.shows(`r${before.id} and r${newest.id}`);
    expect(lines.some(line => line.includes(`- r${before.id}  ${before.certname}`))).toBe(true);
    expect(lines.some(line => line.includes(`+ r${newest.id}  ${newest.certname}`))).toBe(true);
    const open = lines.filter(line => line.trim() !== '').length;
    await ui.send('Z');
    const folded = ui.frame().filter(line => line.trim() !== '').length;
    expect(folded).toBeLessThan(open);
    expect(ui.frame().join('\n')).toContain('▸ ');
    await ui.send(KEY.esc, 'U');
    expect((await ui.shows('no row is marked')).join('\n')).not.toContain('✱');
  });

  test('diff: a run alone is held against the one before it of the same agent', async () => {
    using ui = openUi(store, size);
    const before = runs.findLast(run => run.id < later.id && run.certname === later.certname)!;
    await ui.send(...Array.from({ length: runs.length - later.id }, () => 'j'), 'd');
    await ui.shows(`r${before.id} and r${later.id}`);
  });

  test('diff: where options of the command are spoken of, the command is told', async () => {
    using ui = openUi(store, size);
    await ui.send(':');
    await ui.type('diff r1 r2');
    await ui.shows('r1 and r2');
    await ui.send('/');
    await ui.type('log lines of notice and info not shown: --format html');
    await ui.send('G');
    expect((await ui.shows('with such options in a shell: stringtap diff')).join('')).toContain(':r1');
  });

  test('diff: two exchanges by name', async () => {
    using ui = openUi(store, size);
    const [a, b] = [catalogs[0]!, catalogs.at(-1)!];
    await ui.send(':');
    await ui.type(`diff e${a.id} e${b.id}`);
    expect((await ui.shows(`e${a.id} and e${b.id}`)).join('\n')).toMatch(/catalog: \d+ → \d+ resources/i);
  });
});

test('diff says what it lacks, and what is wrong with names', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type('diff r1 nonsense');
  await ui.shows('two runs or two exchanges');
  await ui.send(':');
  await ui.type('requests');
  await ui.shows('requests');
  await ui.send('d');
  await ui.shows('space marks a row');
  await ui.send(' ', 'j', ' ', 'j', ' ', 'd');
  await ui.shows('3 rows are marked');
  expect(file).toContain('sample.db');
});
