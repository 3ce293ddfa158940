import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { stringtap } from '../commands/stringtap.ts';
import { runDemoAgent } from '../peers/agent.ts';
import { newAgentState } from '../peers/options.ts';
import { startDemoPrimary } from '../peers/primary.ts';
import { sample } from './rig.ts';
import { noTmux, openTerminal } from './terminal.ts';

const why = noTmux();
if (why !== null) {
  if (process.env.STRINGTAP_REQUIRE_PUPPET === '1') throw new Error(why);
  process.stderr.write(`\nThe screens are not tested in a terminal: ${why}\n`);
}
const inTerminal = test.skipIf(why !== null);

const capture = sample();
afterAll(() => capture[Symbol.dispose]());
const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));
const command = `${process.execPath} ${bin} ui ${capture.file}`;
/** Processes whose command line names the capture. */
const alive = (): string[] =>
  execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes(`${bin} ui ${capture.file}`) && !line.includes('echo before'));

inTerminal('every view is walked through, the size changes on the way, and the terminal is left as it was', async () => {
  using terminal = openTerminal(command, 80, 24);
  expect((await terminal.shows('runs'))[0]).toMatch(/sample\.db . runs .*ended/);
  terminal.send('G', 'Enter');
  await terminal.shows('1 Requests');
  for (const [key, text] of [
    ['2', 'Stage[main]'],
    ['3', 'architecture'],
    ['4', 'RESOURCE'],
    ['5', 'LEVEL'],
    ['6', 'file_metadatas'],
    ['7', 'CA certificate'],
    ['8', 'HANDSHAKE'],
    ['9', '[9 Findings]'],
  ] as const) {
    terminal.send(key);
    await terminal.shows(text);
  }
  terminal.send('1');
  await terminal.shows('[1 Requests]');
  for (const [columns, rows] of [
    [160, 50],
    [60, 15],
    [80, 24],
  ] as const) {
    terminal.resize(columns, rows);
    await terminal.shows(new RegExp(`^.{${columns - 6}}ended`, 'm'));
    const lines = terminal.screen();
    expect(lines).toHaveLength(rows);
    expect(lines[0]).toContain('r1');
    expect(lines.at(-1)).toContain('? help');
  }
  terminal.send('Enter');
  await terminal.shows('1 Summary');
  for (const key of ['2', '3', '4', '5', '6']) {
    terminal.send(key);
    await terminal.shows(`[${key} `);
  }
  terminal.send('?');
  await terminal.shows('Keys of this view');
  terminal.send('Q');
  const left = await terminal.shows(/exit code 0[\s\S]*icanon/);
  expect(left[0]).toBe('before');
  expect(left.join('\n')).not.toContain('Keys of this view');
  // The terminal reads lines again.
  expect(left).toContain('icanon');
  expect(alive()).toEqual([]);
});

inTerminal('the wheel and a click go to rows; ctrl-y gives the mouse back to the terminal', async () => {
  using terminal = openTerminal(command, 80, 24);
  await terminal.shows('1 of ');
  const mouse = (): boolean => terminal.mouse();
  expect(mouse()).toBe(true);
  terminal.type('\x1b[<65;10;10M');
  const lines = await terminal.shows('4 of ');
  const second = lines.findIndex(line => / r\d+ /.test(line)) + 1;
  terminal.type(`\x1b[<0;10;${second + 1}M\x1b[<0;10;${second + 1}m`);
  await terminal.shows('2 of ');
  terminal.send('C-y');
  await terminal.shows('the mouse selects text');
  expect(mouse()).toBe(false);
  terminal.send('C-y');
  await terminal.shows('the wheel moves');
  expect(mouse()).toBe(true);
  terminal.send('Q');
  await terminal.shows(/exit code 0[\s\S]*icanon/);
  expect(mouse()).toBe(false);
});

inTerminal.each([['TERM'], ['INT'], ['HUP']])('SIG%s leaves the terminal as it was', async signal => {
  using terminal = openTerminal(command, 80, 24);
  await terminal.shows('runs');
  const [pid = ''] = alive()[0]?.trim().split(' ') ?? [];
  process.kill(Number(pid), `SIG${signal}`);
  const left = await terminal.shows('icanon');
  expect(left[0]).toBe('before');
  expect(left).toContain('icanon');
});

inTerminal('a defect leaves the terminal as it was, and says what it is', async () => {
  const script = join(capture.file, '..', 'crash.mjs');
  const start = fileURLToPath(new URL('../../dist/ui/start.js', import.meta.url));
  const store = fileURLToPath(new URL('../../dist/src/capture/store.js', import.meta.url));
  writeFileSync(
    script,
    `import { openStore } from ${JSON.stringify(store)};
     import { startUi } from ${JSON.stringify(start)};
     setTimeout(() => { throw new Error('made to fail'); }, 1500);
     await startUi({ store: openStore(${JSON.stringify(capture.file)}), env: process.env, ascii: false });`,
  );
  using terminal = openTerminal(`${process.execPath} ${script}`, 80, 24);
  await terminal.shows('ended');
  const left = await terminal.shows(/exit code 1[\s\S]*icanon/);
  expect(left[0]).toBe('before');
  expect(left.join('\n')).toContain('made to fail');
  expect(left).toContain('icanon');
});

inTerminal('ctrl-z gives the terminal back, fg draws the screen again', async () => {
  using terminal = openTerminal(`bash --norc --noprofile -i`, 80, 24);
  terminal.send(command, 'Enter');
  await terminal.shows('1 of ');
  terminal.send('C-z');
  await terminal.shows('Stopped');
  terminal.send('fg', 'Enter');
  await terminal.shows('1 of ');
  terminal.send('j');
  await terminal.shows('2 of ');
  terminal.send('Q');
  await terminal.shows(/fg\n[\s\S]*bash-[\d.]+[#$]\s*$/);
});

inTerminal('proxy --ui shows agents as they come; quitting the screens leaves the proxy running, which ctrl-c ends', async () => {
  const dir = join(capture.file, '..');
  await using primary = await startDemoPrimary({ certname: 'puppet' });
  const proxy = `${process.execPath} ${bin} proxy --primary localhost:${primary.port} --listen 127.0.0.1:0 --capture ${dir}/live.db --certs ${dir}/certs --ui`;
  using terminal = openTerminal(proxy, 100, 24);
  await terminal.shows('waiting for an agent');
  await terminal.shows('capturing');
  terminal.send('Q');
  const [, port = ''] =
    /listening on 127\.0\.0\.1:(\d+)/.exec((await terminal.shows('the proxy goes on; ctrl-c ends it')).join('\n')) ?? [];
  const place = { host: '127.0.0.1', port: Number(port), serverName: 'puppet', via: null };
  const { exitCode } = await runDemoAgent({ certname: 'agent1.example', place, state: newAgentState(), factsMs: 10 });
  expect(exitCode).toBe(2);
  await terminal.shows('run r1 agent1.example');
  terminal.send('C-c');
  await terminal.shows('exit code 0');
});

test('without a terminal it says what prints the same as text', async () => {
  const { code, stderr } = await stringtap('/', 'ui', capture.file);
  expect(code).toBe(1);
  expect(stderr).toContain('stringtap: the screens need a terminal');
  expect(stderr).toContain('hint: stringtap runs');
});
