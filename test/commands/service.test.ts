import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Folder, folder } from '../export/rig.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';
import { stringtap } from './stringtap.ts';

const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

/** The unit as docs/service.md prints it. */
const doc = readFileSync(new URL('../../docs/service.md', import.meta.url), 'utf8');
const unit = /^```ini\n([\s\S]*?)^```/m.exec(doc)?.[1] ?? '';
const words = (/^ExecStart=((?:.*\\\n)*.*)$/m.exec(unit)?.[1] ?? '').replaceAll('\\\n', ' ').trim().split(/\s+/);

let dir: Folder;
let primary: DemoPrimary;

beforeAll(async () => {
  dir = folder();
  primary = await startDemoPrimary({ keyType: 'ec' });
});
afterAll(async () => {
  await primary[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

/** The words of ExecStart after the program, for this machine. */
function options(name: string): string[] {
  return words.slice(1).map(word =>
    word
      .replace('/var/lib/stringtap', dir.path(name))
      .replace(/^[\d.]+:\d+$/, '127.0.0.1:0')
      .replace('puppet.example.com', `localhost:${primary.port}`),
  );
}

/** Waits for what is written once agents are let in. */
async function serving(name: string, child: ChildProcess): Promise<void> {
  while (!existsSync(dir.path(`${name}/certs/bundle/crl.pem`))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    await sleep(20);
  }
}

test.each([
  ['as systemd starts it', 'exec "$0" "$@" </dev/null'],
  ['with stdin, stdout and stderr closed', 'exec "$0" "$@" <&- >&- 2>&-'],
])('the command of the unit, %s, ends with 0 at SIGTERM and leaves a whole capture', async (name, script) => {
  const child = spawn('sh', ['-c', script, process.execPath, bin, ...options(name)], { detached: true, stdio: 'ignore' });
  const end = new Promise(resolve => child.once('exit', (code, signal) => resolve(code ?? signal)));
  await serving(name, child);
  child.kill('SIGTERM');
  expect(await end).toBe(0);
  const file = dir.path(`${name}/captures/site.db`);
  expect(existsSync(`${file}-wal`)).toBe(false);
  expect(await stringtap(dir.dir, 'runs', file)).toEqual({ code: 0, stdout: '', stderr: '' });
});

const verifies = spawnSync('systemd-analyze', ['--version']).status === 0;
const untried = verifies ? '' : ' (not tried: there is no systemd-analyze)';

test.skipIf(!verifies)(`systemd takes every line of the unit${untried}`, () => {
  const file = dir.path('stringtap.service');
  writeFileSync(file, unit.replace(words[0]!, process.execPath));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
  expect({ status, said: stderr.split('\n').filter(line => line.includes('stringtap.service')) }).toEqual({
    status: 0,
    said: [],
  });
});
