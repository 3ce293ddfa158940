import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runDemoAgent } from '../peers/agent.ts';
import { newAgentState } from '../peers/options.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';
import { rows, startProxyCommand, stringtap } from './stringtap.ts';

let dir: string;
let primary: DemoPrimary;
let origin: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-cli-'));
  primary = await startDemoPrimary({ keyType: 'ec' });
  origin = `localhost:${primary.port}`;
});

afterAll(async () => {
  await primary[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const at = (port: number) => ({ host: '127.0.0.1', port, serverName: 'localhost', via: null });

/** One line that says what, one that says what to do, and no stack. */
function expectOneLine(stderr: string): void {
  expect(stderr).toMatch(/^stringtap: [^\n]+\nhint: [^\n]+\n$/);
}

describe('bad input gets one line, a hint and an exit code', () => {
  test.each([
    ['a primary whose name does not resolve', ['proxy', '--primary', 'no-such-host.invalid', '--listen', '127.0.0.1:0'], 1],
    ['a primary that nobody is behind', ['proxy', '--primary', 'localhost:1', '--listen', '127.0.0.1:0'], 1],
    ['no primary', ['proxy'], 2],
    ['an unknown option', ['runs', '--nonsense'], 2],
    ['an unknown command', ['rums'], 2],
    ['the name of an object member as a command', ['toString'], 2],
    ['a phase that does not exist', ['exchanges', '--phase', 'nonsense'], 2],
    ['a bad id', ['show', 'x1'], 2],
    ['a --listen without a port number', ['proxy', '--primary', 'localhost', '--listen', 'localhost:http'], 2],
    ['no capture at all', ['runs'], 1],
    ['a file that is not there', ['runs', 'nothing.db'], 1],
    ['a --ca-cert that is no PEM', ['proxy', '--primary', 'localhost:1', '--ca-cert', '/dev/null'], 1],
    ['identity import of what is no PEM', ['identity', 'import', '--cert', '/dev/null', '--key', '/dev/null'], 1],
    ['identity import of nothing', ['identity', 'import', '--ssldir', 'nowhere'], 1],
  ])('%s', async (_name, args, code) => {
    const empty = mkdtempSync(join(dir, 'empty-'));
    const result = await stringtap(empty, ...args);
    expect(result.code).toBe(code);
    expect(result.stdout).toBe('');
    expectOneLine(result.stderr);
    const left = existsSync(join(empty, 'captures')) ? readdirSync(join(empty, 'captures')) : [];
    expect(left).toEqual([]);
  });

  test('a file that is no capture, left as it is', async () => {
    writeFileSync(join(dir, 'notes.txt'), 'not a database');
    for (const args of [
      ['runs', 'notes.txt'],
      ['proxy', '--primary', origin, '--listen', '127.0.0.1:0', '--capture', 'notes.txt'],
    ]) {
      const result = await stringtap(dir, ...args);
      expect(result.code).toBe(1);
      expectOneLine(result.stderr);
    }
    expect(statSync(join(dir, 'notes.txt')).size).toBe(14);
  });

  test('a port that is in use', async () => {
    const taken = createServer();
    await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
    const port = (taken.address() as { port: number }).port;
    const result = await stringtap(dir, 'proxy', '--primary', origin, '--listen', `127.0.0.1:${port}`, '--capture', 'taken.db');
    taken.close();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`127.0.0.1:${port} is in use`);
    expectOneLine(result.stderr);
    expect(existsSync(join(dir, 'taken.db'))).toBe(false);
  });

  // /sys takes no folders, from root neither (in /proc Node's mkdir never returns).
  test.runIf(existsSync('/sys/kernel'))('a folder that cannot be written', async () => {
    for (const [option, value] of [
      ['--capture', '/sys/stringtap/x.db'],
      ['--certs', '/sys/stringtap'],
    ] as const) {
      const result = await stringtap(dir, 'proxy', '--primary', origin, '--listen', '127.0.0.1:0', option, value);
      expect(result.code).toBe(1);
      expectOneLine(result.stderr);
    }
  });

  test('captures/ is a file, and --capture is not given', async () => {
    const empty = mkdtempSync(join(dir, 'no-captures-'));
    writeFileSync(join(empty, 'captures'), '');
    const request = { method: 'GET', url: 'https://primary:8140/status/v1/simple' };
    const entry = { startedDateTime: '2026-01-01T00:00:00Z', request };
    writeFileSync(join(empty, 'page.har'), JSON.stringify({ log: { entries: [entry] } }));
    for (const args of [
      ['proxy', '--primary', origin, '--listen', '127.0.0.1:0'],
      ['import', 'page.har'],
      ['demo', '--lines'],
    ]) {
      const result = await stringtap(empty, ...args);
      expect(result.code).toBe(1);
      expectOneLine(result.stderr);
      expect(result.stderr).toContain('cannot make the folder captures: EEXIST');
    }
  });

  test('a folder that is a file', async () => {
    writeFileSync(join(dir, 'plain'), '');
    for (const option of ['--capture', '--certs']) {
      const value = option === '--capture' ? 'plain/x.db' : 'plain/certs';
      const result = await stringtap(dir, 'proxy', '--primary', origin, '--listen', '127.0.0.1:0', option, value);
      expect(result.code).toBe(1);
      expectOneLine(result.stderr);
    }
  });

  test('bundles that cannot be written: nothing listens any more', async () => {
    mkdirSync(join(dir, 'certs-full'), { mode: 0o700 });
    writeFileSync(join(dir, 'certs-full', 'bundle'), '');
    const args = ['--primary', origin, '--listen', '127.0.0.1:0', '--certs', 'certs-full', '--capture', 'full.db'];
    const result = await stringtap(dir, 'proxy', ...args);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/cannot write the bundles .*: EEXIST\n/);
    expectOneLine(result.stderr);
    expect(existsSync(join(dir, 'full.db'))).toBe(false);
  });
});

describe('a proxy from start to end', () => {
  test('prints what it needs to be used, captures runs, ends cleanly at SIGINT, and what it wrote can be read', async () => {
    const capture = join(dir, 'whole.db');
    await using proxy = await startProxyCommand(dir, '--primary', origin, '--capture', capture);
    expect(proxy.text()).toMatch(/our CA {7}SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}\n/);
    expect(proxy.text()).toContain(`puppet agent --test --server localhost --serverport ${proxy.port}\n`);
    expect(proxy.text()).toContain(`--http_proxy_host 127.0.0.1 --http_proxy_port ${proxy.port}`);

    const state = newAgentState();
    const fresh = await runDemoAgent({ certname: 'agent1.example', place: at(proxy.port), state });
    const second = await runDemoAgent({ certname: 'agent1.example', place: at(proxy.port), state });
    expect([fresh.exitCode, second.exitCode]).toEqual([2, 0]);
    proxy.signal('SIGINT');
    const end = await proxy.ended;
    expect(end.code).toBe(0);
    expect(end.stdout).toContain('run r1 agent1.example: ');

    const runs = await rows(dir, 'runs', capture);
    expect(runs).toHaveLength(2);
    expect(runs[0]).toMatchObject({ id: 'r1', certname: 'agent1.example', end: 'report', failed: 0, agentConnections: 5 });
    for (const key of ['transactionUuid', 'environment', 'puppetVersion', 'startedAt', 'endedAt'])
      expect(typeof runs[0]![key]).toBe('string');
    const exchanges = await rows(dir, 'exchanges', capture, '--run', 'r2');
    expect(exchanges.map(row => row.n)).toEqual(exchanges.map((_, i) => i + 1));
    const keys = [
      'id',
      'run',
      'n',
      'phase',
      'method',
      'target',
      'status',
      'outcome',
      'certname',
      'agentConnection',
      'agentOrdinal',
    ];
    for (const key of [
      ...keys,
      'primaryConnection',
      'primaryOrdinal',
      'requestBytes',
      'responseBytes',
      'startedAt',
      'durationMs',
    ]) {
      expect(exchanges[0]).toHaveProperty(key);
    }
    const connections = await rows(dir, 'connections', capture);
    expect(connections.every(row => row.closedAt !== null && row.cause !== null)).toBe(true);
    const ids = new Set(connections.map(row => row.id));
    expect(exchanges.every(row => ids.has(row.agentConnection) && ids.has(row.primaryConnection))).toBe(true);
    expect(statSync(capture).mode & 0o777).toBe(0o600);

    const catalog = exchanges.find(row => row.phase === 'catalog')!;
    const shown = await stringtap(dir, 'show', String(catalog.id), capture, '--headers');
    expect(shown.stdout).toContain('X-Puppet-Version: ');
    const body = await stringtap(dir, 'show', String(catalog.id), capture, '--body', 'request', '--raw');
    expect(body.stdout).toContain('facts_format=');
    const counted = await rows(dir, 'query', 'SELECT count(*) AS n FROM v_exchange WHERE run = 2', capture);
    expect(counted).toEqual([{ n: exchanges.length }]);
    expect(await rows(dir, 'query', 'SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a', capture)).toEqual([
      { a: 1, 'a:1': 2, b: 3, 'a:2': 4 },
    ]);
    const refused = await stringtap(dir, 'query', 'DELETE FROM run', capture);
    expect(refused.code).toBe(1);
    expectOneLine(refused.stderr);
  });

  test('a second proxy on the same capture is refused, and the first goes on', async () => {
    const capture = join(dir, 'shared.db');
    await using first = await startProxyCommand(dir, '--primary', origin, '--capture', capture);
    const second = await stringtap(dir, 'proxy', '--primary', origin, '--listen', '127.0.0.1:0', '--capture', capture);
    expect(second.code).toBe(1);
    expectOneLine(second.stderr);
    const run = await runDemoAgent({ certname: 'agent2.example', place: at(first.port), state: newAgentState() });
    expect(run.exitCode).toBe(2);
    first.signal('SIGTERM');
    expect((await first.ended).code).toBe(0);
    expect(await rows(dir, 'runs', capture)).toHaveLength(1);
  });

  test('SIGINT waits for an exchange under way, a second one does not', async () => {
    await using proxy = await startProxyCommand(dir, '--primary', origin, '--capture', join(dir, 'slow.db'));
    const agent = connect({ host: '127.0.0.1', port: proxy.port, rejectUnauthorized: false });
    agent.on('error', () => undefined); // it is cut at the end
    await once(agent, 'secureConnect');
    const promised =
      'PUT /puppet-ca/v1/certificate_request/agent3.example HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n';
    await new Promise(resolve => agent.write(`${promised}half`, resolve));
    await pause(300);
    proxy.signal('SIGINT');
    expect(await Promise.race([proxy.ended, pause(1000, 'still there')])).toBe('still there');
    proxy.signal('SIGINT');
    expect((await proxy.ended).code).toBe(130);
    agent.destroy();
  });
});
