import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const bin = path('dist/src/bin.js');
/** Two million lines of 100 characters, asked of any capture. */
const MANY =
  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT i, printf('%0100d', i) AS t FROM n";

let dir: string;
let capture: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-io-'));
  capture = join(dir, 'sample.db');
  copyFileSync(path('captures/sample.db'), capture);
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('stdout and stderr of the process', () => {
  it('says that a disk is full, with exit code 1', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [bin, 'runs', capture, '--json'], { stdio: ['ignore', full, 'pipe'] });
    expect(String(stderr)).toBe('stringtap: cannot write to stdout: ENOSPC\n');
    expect(status).toBe(1);
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  it.skipIf(!hasScript)('escapes in JSON what could steer a terminal, and only there', () => {
    const command = [process.execPath, bin, 'query', 'SELECT char(155, 8238, 917505, 8232, 228) AS t', capture, '--json'];
    const quoted = command.map(word => `'${word}'`).join(' ');
    const shown = spawnSync('script', ['-qec', quoted, '/dev/null'], { encoding: 'utf8' }).stdout.trim();
    expect(shown).toBe('{"t":"\\u009b\\u202e\\udb40\\udc01\\u2028ä"}');
    const piped = spawnSync(process.execPath, command.slice(1), { encoding: 'utf8' }).stdout;
    expect(JSON.parse(piped)).toEqual(JSON.parse(shown));
    expect(piped).toContain('\u009b');
  });

  it.skipIf(!hasScript)("lets no word of a stranger's capture steer a terminal", () => {
    const hostile = join(dir, 'hostile.db');
    copyFileSync(capture, hostile);
    const db = new Database(hostile);
    db.exec("UPDATE connection SET via = char(27) || '[2J' || char(13, 8, 7) || char(27) || '[8m'");
    db.close();
    const command = [process.execPath, bin, 'show', 'c1', hostile];
    const shown = spawnSync('script', ['-qec', command.map(word => `'${word}'`).join(' '), '/dev/null'], { encoding: 'utf8' });
    const piped = spawnSync(process.execPath, command.slice(1), { encoding: 'utf8' });
    for (const { stdout } of [shown, piped]) {
      expect(stdout).toMatch(/^connection +c1, agent leg, \\u001b\[2J\\u000d\\u0008\\u0007\\u001b\[8m\r?$/m);
    }
  });

  it('says so of a command that serves, too, and keeps the exit code', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [bin, 'demo', '--capture', join(dir, 'demo.db')], {
      stdio: ['ignore', full, 'pipe'],
    });
    expect(String(stderr)).toBe('stringtap: cannot write to stdout: ENOSPC\n');
    expect(status).toBe(1);
  });

  it('ends quietly, and at once, when the reader closes the pipe', async () => {
    const child = spawn(process.execPath, [bin, 'query', MANY, capture, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr.on('data', chunk => {
      said += String(chunk);
    });
    await once(child.stdout, 'data');
    const since = performance.now();
    child.stdout.destroy();
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(said).toBe('');
    expect(performance.now() - since).toBeLessThan(1500);
  });

  it.each(['--json', '--limit=2000000'])(
    'waits for a slow reader instead of holding what it has not taken (%s)',
    async option => {
      const child = spawn(process.execPath, [bin, 'query', MANY, capture, option], { stdio: ['ignore', 'pipe', 'ignore'] });
      await once(child.stdout, 'readable');
      await new Promise(resolve => setTimeout(resolve, 2500)); // all of it would be 200 MB by then
      const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(child.pid)]);
      child.kill('SIGKILL');
      expect(Number(stdout)).toBeGreaterThan(0);
      expect(Number(stdout) / 1024).toBeLessThan(220);
    },
  );

  it('ends what serves as at a signal, with the answer under way, when the reader closes the pipe', async () => {
    const args = [bin, 'serve', '--listen', '127.0.0.1:0', '--certs', dir, capture];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr.on('data', chunk => {
      said += String(chunk);
    });
    let greeting = '';
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      greeting += String(chunk);
      if (/--certname \S+\n\n$/.test(greeting)) break; // its last line: what is written later is of a request
    }
    const port = Number(/^listening on .*:(\d+)$/m.exec(greeting)?.[1]);
    child.stdout.destroy();
    const exited = once(child, 'exit');
    const place = { host: '127.0.0.1', port, path: '/status/v1/simple', rejectUnauthorized: false, agent: false };
    const [answer] = await once(get(place), 'response');
    expect(answer.statusCode).toBe(200);
    answer.resume();
    expect(await exited).toEqual([0, null]);
    expect(said).toBe('');
  });

  it('keeps its exit code when nobody reads its words', async () => {
    const child = spawn(process.execPath, [bin, 'identity', 'list', '--certs', dir], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.destroy();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('escapes what a message quotes', () => {
    const { stderr, status } = spawnSync(process.execPath, [bin, 'runs', `${dir}/\u001b[31m\u009b.db`], { encoding: 'utf8' });
    expect(stderr.split('\n')[0]).toBe(`stringtap: there is no capture ${dir}/\\x1b[31m\\x9b.db`);
    expect(status).toBe(1);
  });
});
