import { copyFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { judge, RULES } from '../../src/analysis/findings/registry.ts';
import { openUpToDate } from '../../src/capture/opening.ts';
import { redecode, rederive } from '../../src/capture/rederive.ts';
import { openStore } from '../../src/capture/store.ts';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { good, plugins } from '../analysis/findings/cases.ts';
import { makeWorld, resource, type World } from '../analysis/findings/world.ts';
import { closing, tempDir, until } from '../capture/rig.ts';
import { fixture } from '../decode/rig.ts';

interface Said {
  out: string[];
  err: string[];
  code: number;
}

async function said(...args: string[]): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const io: Io = {
    out: text => void out.push(text),
    err: text => void err.push(text),
    chatter: text => void err.push(text),
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 80,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  const code = io.exitCode;
  process.exitCode = 0;
  return { out, err, code };
}

let world: World;
let file: string;

beforeAll(async () => {
  world = await makeWorld();
  file = world.file;
  await good(world.node('quiet.example'));
  const broken = world.node('broken.example');
  await broken.ask(plugins, { response: fixture('file_metadatas.json') });
  await broken.catalog({}, { status: 500, response: fixture('error-syntax.json'), type: 'application/json' });
  await broken.report({ status: 'unchanged', cached_catalog_status: 'on_failure' });
  broken.end();
  const leaky = world.node('leaky.example');
  await good(leaky, { resources: [resource('Db_user', 'evil\u001b[31m', { password: 'hunter2' })] });
  (await world.store()).close();
});
afterAll(async () => world[Symbol.asyncDispose]());

describe('stringtap findings', () => {
  test('lists them run by run, with the fix and the evidence', async () => {
    const { out, code } = await said('findings', file);
    expect(code).toBe(0);
    expect(out[0]).toMatch(/^r2 {2}broken\.example {2}\d{4}-/);
    expect(out.join('\n')).toMatch(/^ {2}error {4}masked-by-cache: .*\n {11}fix: .*\n {11}see: e5 e6$/m);
    expect(out.join('\n')).not.toContain('quiet.example');
  });

  test('filters, and says by its exit code that something was found', async () => {
    const { out, code, err } = await said('findings', file, '--severity', 'warning', '--run', 'r3', '--fail-on', 'warning');
    expect(code).toBe(3);
    expect(out.filter(line => line.startsWith('  warning'))).toHaveLength(1);
    expect(err).toEqual(['1 warning']);
    expect((await said('findings', file, '--run', 'r3', '--fail-on', 'error')).code).toBe(0);
    expect((await said('findings', file, '--fail-on', 'error')).code).toBe(3);
    expect((await said('findings', file, '--run', 'r1', '--fail-on', 'warning')).code).toBe(0);
    expect((await said('findings', file, '--rule', 'cached-catalog-used')).out.join()).not.toContain('masked-by-cache');
  });

  test('as JSON: one object a line, ids as people meet them', async () => {
    const { out } = await said('findings', file, '--json', '--rule', 'masked-by-cache');
    expect(out).toHaveLength(1);
    expect(JSON.parse(out[0] ?? '')).toEqual({
      run: 'r2',
      rule: 'masked-by-cache',
      severity: 'error',
      subject: 'broken.example',
      at: expect.stringMatching(/Z$/),
      summary: expect.stringContaining('the report says unchanged'),
      fix: expect.stringContaining('usecacheonfailure'),
      evidence: { exchanges: ['e5', 'e6'], connections: [], rows: [], figures: { status: 'unchanged' } },
    });
  });

  test('shows no control character and no secret', async () => {
    const all = [...(await said('findings', file)).out, ...(await said('show', 'r3', file)).out].join('\n');
    expect(all).toContain('Db_user[evil\\x1b[31m] password');
    expect(all).not.toContain('hunter2');
    expect(all).not.toContain('\u001b');
  });

  test('explains a rule, lists rules, and knows no others', async () => {
    const one = (await said('findings', '--explain', 'masked-by-cache')).out.join('\n');
    expect(one).toMatch(/^rule {8}masked-by-cache\nseverity {4}error\n/);
    expect((await said('findings', '--explain')).out).toHaveLength(RULES.length);
    expect(await said('findings', '--explain', 'nope')).toMatchObject({ code: 2, out: [] });
    expect(await said('findings', file, '--rule', 'nope')).toMatchObject({ code: 2, out: [] });
    expect(await said('findings', file, '--run', 'r99')).toMatchObject({ code: 1, out: [] });
  });

  test('show tells them on the page of a run, and in its JSON', async () => {
    expect((await said('show', 'r2', file)).out.join('\n')).toMatch(/^findings {5}error {3}catalog-compile-failed: /m);
    const [json] = (await said('show', 'r2', file, '--json')).out;
    expect(JSON.parse(json ?? '')).toMatchObject({ findings: [{ rule: 'catalog-compile-failed' }, {}, {}] });
  });
});

describe('judging', () => {
  const rowsOf = (path: string): unknown => {
    using store = closing(openStore(path, 'bodies'));
    return [...store.findings()];
  };

  test('is rebuilt by redecode, of all runs and of one, and of a capture whose end nobody judged', () => {
    using dir = tempDir();
    const copy = dir.file('copy.db');
    copyFileSync(file, copy);
    const before = rowsOf(copy);
    expect(before).toHaveLength(4);
    rederive(copy);
    expect(rowsOf(copy)).toEqual(before);
    expect(redecode(copy, 3)).toBeGreaterThan(0);
    expect(rowsOf(copy)).toEqual(before);
    {
      using db = closing(new Database(copy));
      db.exec('DELETE FROM finding; UPDATE run SET judged = 0');
    }
    expect(openUpToDate(copy, 'bodies')).toBeNull();
    expect(rowsOf(copy)).toEqual(before);
  });

  test('a rule that throws is noted, and the others go on', () => {
    const thrower = {
      ...RULES[0]!,
      id: 'thrower',
      judge: (): never => {
        throw new Error('no such thing');
      },
    };
    const facts = { rows: () => [], phase: () => [] } as unknown as Parameters<typeof judge>[0];
    const { found, notes } = judge(facts, [thrower, ...RULES.filter(rule => rule.id === 'fact-limit')]);
    expect(found).toEqual([]);
    expect(notes).toEqual([{ rule: 'thrower', text: 'no such thing' }]);
  });

  test('goes on while the capture is written: a reader has the findings of a run that just ended', async () => {
    await using live = await makeWorld();
    const node = live.node('live.example');
    await node.catalog({}, { status: 500, response: fixture('error-syntax.json'), type: 'application/json' });
    await node.report({ status: 'failed' });
    using store = closing(openStore(live.file));
    await until(() => [...store.findings()].length > 0);
    expect([...store.findings()]).toMatchObject([{ run: 1, rule: 'catalog-compile-failed' }]);
    // A run that its connections ended is judged after a pause, for the agent may come back to it; then it is judged anew.
    const waiting = live.node('waiting.example');
    await waiting.ask(plugins, { status: 403, response: 'Forbidden request', type: 'text/plain' });
    waiting.end();
    await until(() => [...store.findings({ run: 2 })].length > 0);
    await waiting.catalog({}, { status: 500, response: fixture('error-syntax.json'), type: 'application/json' });
    await waiting.report({ status: 'failed' });
    await until(() => [...store.findings({ run: 2 })].length === 2);
    expect([...store.findings({ run: 2 })].map(row => row.rule)).toEqual(['catalog-compile-failed', 'auth-denied']);
  });
});
