import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  expect(runs.map(line => line.split(/\s+/)[3])).toEqual(['demo1.example', 'demo1.example', 'demo2.example', 'demo1.example']);
  expect(stdout).toContain('stringtap show r1 demo.db');
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
