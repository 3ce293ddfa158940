import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { sample } from './rig.ts';
import { noTmux, openTerminal } from './terminal.ts';

const why = noTmux();
if (why !== null && process.env.STRINGTAP_REQUIRE_PUPPET === '1') throw new Error(why);
const inTerminal = test.skipIf(why !== null);

const capture = sample();
afterAll(() => capture[Symbol.dispose]());
const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));
const command = `${process.execPath} ${bin} ui ${capture.file}`;
/** Ids of the processes that show the capture; not of the shell around them. */
const alive = (): number[] =>
  execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes(`${bin} ui ${capture.file}`) && !line.includes('echo before'))
    .map(line => Number(line.trim().split(' ')[0]));
/** Whether somebody watches over the terminal of such a process. */
const watched = (pids: readonly number[]): boolean =>
  execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .some(line => pids.some(pid => line.includes('stringtap-terminal') && line.trim().endsWith(` ${pid}`)));

/** Whether the capture is asked something in SQL. */
const asking = (): boolean =>
  execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .some(line => line.includes(`${bin} query`) && line.includes(capture.file));

async function unwatched(pids: readonly number[]): Promise<void> {
  for (let i = 0; i < 100 && watched(pids); i += 1) await new Promise(resolve => setTimeout(resolve, 50));
  expect(watched(pids)).toBe(false);
}

inTerminal(
  'connections, a comparison, SQL, a plan and what is copied, in every size; quitting leaves nothing behind',
  async () => {
    using terminal = openTerminal(command, 80, 24);
    await terminal.shows('RESULT');
    terminal.send('C');
    await terminal.shows('[1 Lanes]');
    for (const [key, text] of [
      ['2', 'AGENT LEG'],
      ['3', 'what to change'],
    ] as const) {
      terminal.send(key);
      await terminal.shows(text);
    }
    for (const [columns, rows] of [
      [160, 50],
      [60, 15],
      [80, 24],
    ] as const) {
      terminal.resize(columns, rows);
      await terminal.shows(new RegExp(`^.{${columns - 8}} ?○ ended|^.{${columns - 6}}ended`, 'm'));
      expect(terminal.screen()).toHaveLength(rows);
    }
    terminal.send('Escape');
    await terminal.shows('RESULT');
    terminal.send('Space', 'j', 'Space');
    await terminal.shows('2 marked');
    terminal.send('d');
    await terminal.shows('▾ ');
    terminal.send('Escape');
    await terminal.shows('RESULT');
    terminal.send('\\;');
    await terminal.shows('sql;');
    terminal.send('-l', 'select phase from v_exchange');
    terminal.send('Enter');
    await terminal.shows(/▌ *ca$/m);
    terminal.send('Escape');
    await terminal.shows('RESULT');
    terminal.send('R');
    terminal.send('-l', 'localhost:1');
    terminal.send('Enter');
    await terminal.shows('Nothing is sent yet');
    terminal.send('Escape');
    await terminal.shows('RESULT');
    terminal.send('y', 'j');
    // In tmux it is the buffer of tmux that takes it.
    await terminal.shows(/copied \(|sent to the terminal/);
    const pids = alive();
    expect(watched(pids)).toBe(true);
    terminal.send('Q');
    const left = await terminal.shows(/exit code 0[\s\S]*icanon/);
    expect(left[0]).toBe('before');
    expect(left).toContain('icanon');
    expect(alive()).toEqual([]);
    await unwatched(pids);
  },
);

inTerminal('kill -9 leaves the terminal as it was', async () => {
  using terminal = openTerminal(`${command}; sleep 1`, 80, 24);
  await terminal.shows('RESULT');
  const pids = alive();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  const left = await terminal.shows('icanon');
  expect(left[0]).toBe('before');
  expect(left).toContain('icanon');
  expect(left.join('\n')).not.toContain('RESULT');
  await unwatched(pids);
});

inTerminal('kill -9 ends a question that is being asked', async () => {
  using terminal = openTerminal(`${command}; sleep 1`, 80, 24);
  await terminal.shows('RESULT');
  terminal.send('\\;');
  await terminal.shows('sql;');
  // One that was answered is not ended again.
  terminal.send('-l', 'select 41 + 1 as answer');
  terminal.send('Enter');
  await terminal.shows('answer');
  terminal.send('\\;');
  await terminal.shows('sql;');
  terminal.send('-l', 'with recursive n(i) as (select 1 union all select i from n) select count(*) from n');
  terminal.send('Enter');
  await terminal.shows('asking');
  await vi.waitFor(() => expect(asking()).toBe(true), 20_000);
  for (const pid of alive()) process.kill(pid, 'SIGKILL');
  await terminal.shows('icanon');
  await vi.waitFor(() => expect(asking()).toBe(false), 20_000);
});

inTerminal('kill -9 below a shell that reads lines itself leaves its line editing alone', async () => {
  using terminal = openTerminal('bash --norc --noprofile -i', 80, 24);
  terminal.send(command, 'Enter');
  await terminal.shows('RESULT');
  const pids = alive();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await unwatched(pids);
  expect(terminal.screen().join('\n')).not.toContain('RESULT');
  terminal.send('Enter');
  terminal.send('-l', 'echo typed $((6 * 7))');
  await terminal.shows(/[#$] echo typed \$\(\(6 \* 7\)\)/);
  terminal.send('Enter');
  await terminal.shows('typed 42');
  expect(terminal.screen().filter(line => line.includes('echo typed'))).toHaveLength(1);
});
