import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { osc52, toolsFor } from '../../ui/clipboard.ts';
import { KEY, LARGE, openUi, SMALL, sample, type Ui } from './rig.ts';

const capture = sample();
const { store } = capture;
const dir = mkdtempSync(join(tmpdir(), 'stringtap-ui-tools-'));
afterAll(() => {
  capture[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

const catalog = [...store.exchanges()].find(row => row.phase === 'catalog' && row.status === 200)!;

describe.each([
  ['80x24', SMALL],
  ['160x50', LARGE],
] as const)('SQL at %s', (_, size) => {
  test('is typed with completion, asked beside the screens, and answered as a table that leads on', async () => {
    using ui = openUi(store, size);
    await ui.send(';');
    expect((await ui.shows('sql; ')).join('\n')).toContain('v_exchange');
    await ui.send('select id, method, target, status from v_exch', KEY.tab);
    await ui.shows('v_exchange: id');
    await ui.type(`where phase = 'catalog' order by id`);
    const lines = await ui.shows('› select id');
    expect(lines[1]).toMatch(/^ +id +method +target/);
    expect(lines.find(line => line.startsWith('▌'))).toMatch(new RegExp(`^▌ +${catalog.id} POST +/puppet/v3/catalog/`));
    await ui.send(KEY.enter);
    expect((await ui.shows('1 Summary'))[0]).toContain(`e${catalog.id} POST`);
  });

  test('that is wrong or writes stays to be mended, with what is wrong; what was asked is there again with the arrow up', async () => {
    using ui = openUi(store, size);
    await ui.send(';');
    await ui.type('selct 1');
    expect((await ui.shows('near "selct"')).join('\n')).toContain('sql; selct 1');
    await ui.send('x');
    await ui.shows('sql; selct 1x');
    expect(ui.frame().join('\n')).not.toContain('near "selct"');
    await ui.send('\x15');
    await ui.type('delete from exchange');
    await ui.shows('cannot modify exchange');
    await ui.send('\x15', KEY.up, KEY.up);
    await ui.shows('sql; selct 1');
    await ui.send('\x15');
    await ui.type('select * from v_run where id < 0');
    await ui.shows('no rows');
  });
});

test('what is nothing in a narrow column is said to be', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(':');
  await ui.type('sql select null n, 1 one');
  expect((await ui.shows('one')).find(line => line.startsWith('▌'))).toMatch(/ NULL +1/);
});

test('an answer of megabytes is shown at once', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(';');
  const began = process.cpuUsage();
  await ui.type("select replace(hex(zeroblob(200000)), '00', 'größe 漢字 ') wide, id from v_exchange limit 30");
  await ui.shows('› select replace');
  await ui.send('j', 'w', 'w', KEY.enter);
  await ui.shows('größe 漢字 größe');
  const { user, system } = process.cpuUsage(began);
  expect((user + system) / 1e6, 's of CPU').toBeLessThan(3);
});

test('a long question holds up no key, and esc ends it', async () => {
  using ui = openUi(store, SMALL);
  await ui.send(';');
  await ui.type('with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n');
  await ui.shows('asking: working (esc cancels)');
  const running = (): string[] =>
    execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
      .split('\n')
      .filter(line => line.includes('with recursive n(i)') && line.includes(capture.file) && !line.includes('ps -eo'));
  await ui.send('j');
  await ui.shows('2 of '); // the question never ends by itself
  await ui.send(KEY.esc);
  await ui.shows('cancelled');
  for (let i = 0; i < 100 && running().length > 0; i += 1) await new Promise(resolve => setTimeout(resolve, 50));
  expect(running()).toEqual([]);
});

/** What the terminal was last given to copy. */
function copied(ui: Ui): string {
  const last = ui.escapes.at(-1) ?? '';
  expect(last.startsWith('\x1b]52;c;') && last.endsWith('\x07')).toBe(true);
  const base64 = last.slice('\x1b]52;c;'.length, -1);
  return Buffer.from(base64, 'base64').toString();
}

describe('copying', () => {
  test('URL, header fields, curl, JSON and body of the request under the cursor', async () => {
    using ui = openUi(store, LARGE);
    await ui.send(':');
    await ui.type(`exchange e${catalog.id}`);
    await ui.send('y');
    expect((await ui.shows('y …')).join('\n')).toContain('u url  c curl  b body  h headers  j json');
    for (const [key, words] of [
      ['u', 'the URL'],
      ['h', 'the header fields'],
      ['j', 'JSON'],
      ['c', 'the request as curl'],
      ['b', 'the body'],
    ] as const) {
      await ui.send(key === 'u' ? key : 'y', ...(key === 'u' ? [] : [key]));
      await ui.shows(`${words} of e${catalog.id}`);
      const text = copied(ui);
      if (key === 'u') expect(text).toMatch(/^https:\/\/[^/]+:\d+\/puppet\/v3\/catalog\//);
      if (key === 'h') expect(text).toMatch(/^POST \/puppet[\s\S]*\n\nHTTP\/1\.1 200 /);
      if (key === 'j') expect(JSON.parse(text)).toMatchObject({ id: `e${catalog.id}` });
      if (key === 'c') expect(text).toMatch(new RegExp(`^# e${catalog.id} r\\d+ catalog.*\\n(stringtap show .* \\| )?curl `));
      if (key === 'b') expect(text).toContain('resources');
    }
  });

  test('of a run JSON and curl; anything else is told', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('y', 'u');
    await ui.shows('of a run: y j copies JSON');
    await ui.send('y', 'j');
    await ui.shows('JSON of r');
    expect(JSON.parse(copied(ui))).toHaveProperty('id');
    await ui.send(':');
    await ui.type('copy nonsense');
    await ui.shows('y then u c b h j');
  });

  test('a terminal gets no more than it takes; tools are those of the desktop', () => {
    expect(osc52('x')).toBe('\x1b]52;c;eA==\x07');
    expect(osc52('x'.repeat(60_000))).toBeNull();
    expect(toolsFor({}, 'linux')).toEqual([]);
    expect(toolsFor({ WAYLAND_DISPLAY: 'w', DISPLAY: ':0', TMUX: 't' }, 'linux').map(([name]) => name)).toEqual([
      'wl-copy',
      'xclip',
      'xsel',
      'tmux',
    ]);
    expect(toolsFor({}, 'darwin')).toEqual([['pbcopy']]);
  });
});

test('export writes a run in each format, for its owner alone, and never over a file', async () => {
  using ui = openUi(store, SMALL);
  await ui.send('x');
  const runs = [...store.runs()];
  await ui.shows(`export r${runs.length}: har r${runs.length}.har`);
  await ui.send(KEY.tab);
  await ui.shows(`export r${runs.length}: jsonl r${runs.length}.jsonl`);
  await ui.send(KEY.esc);
  const file = join(dir, 'run.har');
  await ui.send(':');
  await ui.type(`export har ${file}`);
  await ui.shows('written to');
  expect(JSON.parse(readFileSync(file, 'utf8')).log.entries.length).toBe(runs.at(-1)!.exchanges);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  writeFileSync(file, 'mine');
  await ui.send('x');
  await ui.send('\x15');
  await ui.send(`har ${file}`);
  await ui.shows('is there already');
  await ui.send(KEY.enter);
  await ui.send(KEY.esc, ':');
  await ui.type(`export har ${file}`);
  await ui.shows('is there already');
  expect(readFileSync(file, 'utf8')).toBe('mine');
  await ui.send(':');
  await ui.type('export har ~/no-such-folder/run.har');
  expect((await ui.shows('there is no folder')).join('')).toContain(join(homedir(), 'no-such-folder'));
  await ui.send(':');
  await ui.type('export har /proc/run.har');
  await ui.shows('error: cannot write /proc/run.har');
  await ui.send(':');
  await ui.type(`export files ${join(dir, 'all')}`);
  await ui.shows('all');
  await ui.shows('written to');
});
