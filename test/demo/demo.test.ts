import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url));
const run = promisify(execFile);

test('the demo ends by itself without a terminal, lists its runs, and leaves nothing but the capture', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-test-demo-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const options = { cwd: dir, env: { ...process.env, TMPDIR: dir } };
  const began = performance.now();
  const { stdout, stderr } = await run(process.execPath, [bin, 'demo', '--capture', 'demo.db'], options);
  expect(performance.now() - began).toBeLessThan(60_000);
  expect(stderr).toBe('');
  const runs = stdout.split('\n').filter(line => /^r\d /.test(line));
  const [web, db] = ['web01.lab', 'db01.lab'];
  expect(runs.map(line => line.split(/\s+/)[3])).toEqual([web, web, db, web, web, db, web]);
  expect(stdout).toContain('stringtap show r1 demo.db');
  // The difference that was planted, and no other resource.
  const changed = stdout.split('\n').filter(line => /^ {2}[-+~] (Class|File|Exec|Site)\[/.test(line));
  expect(changed.map(line => line.trim().split('  ')[0])).toEqual([
    '~ Class[Profile::Web]',
    '~ File[/srv/web/nginx/nginx.conf]',
    '+ File[/srv/web/www/status.json]',
  ]);
  expect(stdout).toContain('+<p>Welcome to the new site</p>');
  expect(stdout).toMatch(/\+ success: \{sha256\}[0-9a-f]{64} → \{sha256\}[0-9a-f]{64}\n/);
  expect(readdirSync(dir)).toEqual(['demo.db']);
  // What it tells to go on with works.
  for (const args of [
    ['show', 'r1', 'demo.db'],
    ['exchanges', 'demo.db', '--run', 'r1'],
    ['connections', 'demo.db', '--leg', 'primary'],
  ]) {
    expect((await run(process.execPath, [bin, ...args], options)).stdout.split('\n').length).toBeGreaterThan(2);
  }
});

test.each([
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)('the demo is interrupted by %s: it leaves the capture so far, and nothing else', async (signal, exitCode) => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-test-demo-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const child = spawn(process.execPath, [bin, 'demo', '--capture', 'demo.db'], {
    cwd: dir,
    env: { ...process.env, TMPDIR: dir },
  });
  createInterface({ input: child.stdout }).on('line', line => {
    if (line.includes('first run')) child.kill(signal);
  });
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(exitCode);
  expect(readdirSync(dir)).toEqual(['demo.db']);
});
