import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { makeKey } from '../peers/ca.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';

/** `stringtap run` as it ships, in front of a stand-in for `puppet` that speaks real TLS to the embedded primary. */

const BIN = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));
const STUB = fileURLToPath(new URL('./puppet-stub.ts', import.meta.url));
const CERTNAME = 'agent1.example';

interface Host extends AsyncDisposable {
  readonly dir: string;
  readonly primary: DemoPrimary;
  readonly puppet: string;
  readonly ssl: string;
  readonly tmp: string;
  readonly capture: string;
  set(settings: Readonly<Record<string, string>>): void;
  env(more?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
  start(
    command: readonly string[],
    env?: NodeJS.ProcessEnv,
    options?: readonly string[],
  ): { child: ChildProcess; ended: Promise<Ended>; out(): string };
  run(command: readonly string[], env?: NodeJS.ProcessEnv, options?: readonly string[]): Promise<Ended>;
  /** Bytes of every file of the agent. */
  files(): Record<string, string>;
}

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function makeHost(enrolled = true): Promise<Host> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-host-'));
  const primary = await startDemoPrimary({ keyType: 'ec' });
  const ssl = join(dir, 'ssl');
  const tmp = join(dir, 'tmp');
  const bin = join(dir, 'bin');
  for (const folder of [ssl, tmp, bin]) mkdirSync(folder);
  const puppet = join(bin, 'puppet');
  writeFileSync(puppet, `#!/bin/sh\nexec '${process.execPath}' '${STUB}' "$@"\n`);
  chmodSync(puppet, 0o755);
  if (enrolled) {
    const key = await makeKey('ec');
    const certPem = primary.ca.issue(CERTNAME, key.publicKey);
    primary.enter(CERTNAME, certPem);
    writeFileSync(join(ssl, 'key.pem'), key.pem, { mode: 0o640 });
    writeFileSync(join(ssl, 'cert.pem'), certPem);
    writeFileSync(join(ssl, 'ca.pem'), primary.ca.caPem);
    writeFileSync(join(ssl, 'crl.pem'), primary.ca.crlPem);
  }
  const port = String(primary.port);
  const settings: Record<string, string> = {
    ca_fingerprint: '',
    ca_port: port,
    ca_server: 'localhost',
    certificate_revocation: 'chain',
    certname: CERTNAME,
    daemonize: 'true',
    hostcert: join(ssl, 'cert.pem'),
    hostcrl: join(ssl, 'crl.pem'),
    hostprivkey: join(ssl, 'key.pem'),
    http_proxy_host: 'none',
    localcacert: join(ssl, 'ca.pem'),
    no_proxy: 'localhost, 127.0.0.1',
    report_port: port,
    report_server: 'localhost',
    server: 'localhost',
    server_list: '',
    serverport: port,
    srv_domain: 'example',
    ssldir: ssl,
    use_srv_records: 'false',
  };
  const set = (more: Readonly<Record<string, string>>): void => {
    writeFileSync(join(dir, 'conf.json'), JSON.stringify(Object.assign(settings, more)));
  };
  set({});
  const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    PATH: `${bin}:/usr/bin:/bin`,
    TMPDIR: tmp,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    STUB_CONF: join(dir, 'conf.json'),
    ...more,
  });
  const capture = join(dir, 'run.db');
  const children = new Set<ChildProcess>();
  const start: Host['start'] = (command, more, options = []) => {
    const child = spawn(process.execPath, [BIN, 'run', '--capture', capture, ...options, '--', ...command], {
      cwd: dir,
      env: env(more),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', chunk => {
      stdout += String(chunk);
    });
    child.stderr?.on('data', chunk => {
      stderr += String(chunk);
    });
    const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ code, stdout, stderr })));
    return { child, ended, out: () => stdout };
  };
  return {
    dir,
    primary,
    puppet,
    ssl,
    tmp,
    capture,
    set,
    env,
    start,
    run: (command, more, options) => start(command, more, options).ended,
    files: () => Object.fromEntries(readdirSync(ssl).map(name => [name, readFileSync(join(ssl, name), 'latin1')])),
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill('SIGKILL');
      await primary[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The command has started and said so: with stringtap's own start, a few seconds on a busy machine. */
async function said({ out }: { out(): string }): Promise<void> {
  await vi.waitUntil(() => out().includes('\n'), { timeout: 25_000 });
}

const AGENT = ['puppet', 'agent', '--test'];

describe('stringtap run', { timeout: 90_000 }, () => {
  test('--fault does something on purpose, says so at the start, and the command fails by it', async () => {
    await using host = await makeHost();
    const { code, stderr } = await host.run(AGENT, {}, ['--fault', 'status=500 ~phase catalog']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^FAULTS {7}agents get answers that the primary did not give.*\n {13}status=500 ~phase catalog$/m);
    expect(stderr).toContain('stringtap: a fault on purpose (--fault status=500)');
    expect(host.primary.seen.some(({ target }) => target.startsWith('/puppet/v3/catalog/'))).toBe(false);
  });

  test('an enrolled agent: its exit code, its own name at the primary, no file changed, nothing left', async () => {
    await using host = await makeHost();
    const before = host.files();
    const { code, stderr } = await host.run(AGENT);
    expect(stderr).toMatch(/^run r1 agent1\.example: changed, \d+ exchanges, 1 agent and 1 primary connections/m);
    expect(stderr).toMatch(/^ {2}catalog +1 /m);
    expect(stderr).toContain(`capture ${host.capture}`);
    expect(code).toBe(2);
    expect(host.files()).toEqual(before);
    expect(readdirSync(host.tmp)).toEqual([]);
    const asked = host.primary.seen.filter(one => one.target.startsWith('/puppet/'));
    expect(asked.length).toBeGreaterThan(3);
    expect(new Set(asked.map(one => one.certname))).toEqual(new Set([CERTNAME]));
    expect(statSync(host.capture).mode & 0o777).toBe(0o600);
  });

  test('a fresh agent enrols with its own request and keeps what the primary signed', async () => {
    await using host = await makeHost(false);
    const { code, stderr } = await host.run(AGENT);
    expect(stderr).toContain('agent1.example has no certificate yet');
    expect(code).toBe(2);
    expect(host.files()['cert.pem']).toBe(host.primary.certificateOf(CERTNAME));
    expect(host.files()['ca.pem']).toBeUndefined();
    expect(readdirSync(host.tmp)).toEqual([]);
  });

  test('commands that wrap puppet: as words, in a shell, in a script', async () => {
    await using host = await makeHost();
    const log = join(host.dir, 'log');
    const wrapped = await host.run(['env', 'A=b', host.puppet, 'agent', '--test'], { STUB_LOG: log });
    expect(wrapped.stderr).toMatch(/^run r1 /m);
    const [asked, ran] = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as string[]);
    expect(asked!.slice(0, 2)).toEqual(['config', 'print']);
    expect(ran![0]).toBe('agent');
    expect(ran!.at(-1)).toBe('--test');
    expect(ran).toContain('--localcacert');
    // The server is known from the text alone: the configuration names another one.
    host.set({ server: 'other.example', ca_server: 'other.example', report_server: 'other.example' });
    const servers = ['server', 'ca_server', 'report_server'].map(name => `--${name} localhost`).join(' ');
    const shell = await host.run(['sh', '-c', `puppet agent ${servers} --test && exit 9 || exit $?`]);
    expect(shell.code).toBe(2);
    expect(shell.stderr).toMatch(/^run r2 /m);
    expect(shell.stderr).toContain('one called by its path does not');
    host.set({ server: 'localhost', ca_server: 'localhost', report_server: 'localhost' });
    const past = await host.run(['sh', '-c', `${host.puppet} agent --test`]);
    expect(past.code).toBe(2);
    expect(past.stderr).toContain('the command made no connection through stringtap');
  });

  test('the exit code is that of the command, also when a signal ended it', async () => {
    await using host = await makeHost();
    expect((await host.run(AGENT, { STUB_DO: 'exit 6' })).code).toBe(6);
    expect((await host.run(AGENT, { STUB_DO: 'die' })).code).toBe(137);
    expect((await host.run(['sh', '-c', 'nonexistent-program'])).code).toBe(127);
    expect(readdirSync(host.tmp)).toEqual([]);
  });

  test('signals reach the command, and the folder of the run goes with it', async () => {
    await using host = await makeHost();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      const { child, ended, out } = host.start(AGENT, { STUB_DO: 'wait' });
      await said({ out });
      const { settings } = JSON.parse(out().split('\n')[0]!) as { settings: Record<string, string> };
      const folder = join(settings.localcacert!, '..');
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      for (const name of readdirSync(join(folder, 'certs', 'ca', 'keys')))
        expect(statSync(join(folder, 'certs', 'ca', 'keys', name)).mode & 0o077).toBe(0);
      // The key is the agent's own: it is nowhere below our folder.
      const key = readFileSync(join(host.ssl, 'key.pem'), 'latin1');
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        const file = join(folder, name);
        if (statSync(file).isFile()) expect(readFileSync(file, 'latin1')).not.toContain(key.split('\n')[1]);
      }
      child.kill(signal);
      const { code, stdout } = await ended;
      expect(stdout).toContain(`got ${signal}`);
      expect(code).toBe(43);
      expect(readdirSync(host.tmp)).toEqual([]);
    }
  });

  test('what a killed run left is removed by the next one, and nothing else is', async () => {
    await using host = await makeHost();
    const first = host.start(AGENT, { STUB_DO: 'wait' });
    await said(first);
    const { pid } = JSON.parse(first.out().split('\n')[0]!) as { pid: number };
    const second = host.start(AGENT, { STUB_DO: 'wait' });
    // A capture has one writer: the second run is refused, and it has left the first one's folder alone.
    expect((await second.ended).code).toBe(1);
    expect(readdirSync(host.tmp)).toHaveLength(1);
    first.child.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await first.ended;
    expect(readdirSync(host.tmp)).toHaveLength(1);
    mkdirSync(join(host.tmp, 'stringtap-other'));
    expect((await host.run(AGENT, { STUB_DO: 'exit 0' })).code).toBe(0);
    expect(readdirSync(host.tmp)).toEqual(['stringtap-other']);
  });

  test.each([
    ['a daemon', {}, ['puppet', 'agent'], {}, 'puppet agent would go to the background', 2],
    [
      'other identities',
      {},
      ['puppet', 'device', '--target', 'sw1'],
      {},
      'puppet device runs under the certnames of its devices',
      2,
    ],
    ['its own bundle', {}, ['puppet', 'agent', '-t', '--localcacert=/x'], {}, 'the command sets --localcacert', 2],
    ['http_proxy', { http_proxy: 'http://p:3128' }, AGENT, {}, 'http_proxy is set', 1],
    ['no certname', {}, AGENT, { certname: '../x' }, '"../x" is no certname', 1],
    ['no puppet', {}, ['/nowhere/puppet', 'agent', '-t'], {}, 'cannot ask puppet for its settings: there is no such program', 1],
  ])('refused before anything runs: %s', async (_name, env, command, settings, message, code) => {
    await using host = await makeHost();
    const log = join(host.dir, 'log');
    writeFileSync(log, '');
    host.set(settings);
    const ran = await host.run(command, { ...env, STUB_LOG: log });
    expect(ran.stderr).toContain(`stringtap: ${message}`);
    expect(ran.stderr).toContain('\nhint: ');
    expect(ran.code).toBe(code);
    expect(readFileSync(log, 'utf8')).not.toContain('["agent"');
    expect(readdirSync(host.dir)).not.toContain('run.db');
  });

  test('a primary that is down is said before the command runs', async () => {
    await using host = await makeHost();
    await host.primary[Symbol.asyncDispose]();
    const { code, stderr } = await host.run(AGENT);
    expect(code).toBe(1);
    expect(stderr).toContain(`the primary at localhost:${host.primary.port} cannot be used: `);
    expect(readdirSync(host.tmp)).toEqual([]);
    expect(readdirSync(host.dir)).not.toContain('run.db');
  });

  test('the first of server_list that answers is taken, by the agent and by stringtap', async () => {
    await using host = await makeHost();
    const gone = await startDemoPrimary({ keyType: 'ec' });
    await gone[Symbol.asyncDispose]();
    host.set({ server_list: `localhost:${gone.port},localhost:${host.primary.port}`, server: 'nowhere.invalid' });
    host.set({ ca_server: 'localhost', report_server: 'localhost' });
    const { code, stderr } = await host.run(AGENT);
    expect(stderr).toMatch(/the primary at localhost:\d+ cannot be used: .*ECONNREFUSED.*; the next one is taken/);
    expect(stderr).toContain('Unable to connect to server from server_list setting');
    expect(stderr).toMatch(/^run r1 agent1\.example: .* ended by report$/m);
    expect(code).toBe(2);
  });

  test('SRV records that do not exist, or cannot be asked for, are said, and the run goes on with its server', async () => {
    await using host = await makeHost();
    host.set({ use_srv_records: 'true', srv_domain: 'nowhere.invalid' });
    const { code, stderr } = await host.run(AGENT);
    expect(stderr).toMatch(/nowhere\.invalid (has no SRV records of Puppet: server is used|cannot be asked for \()/);
    expect(code).toBe(2);
  });

  test('no_proxy of the environment does not lead past stringtap', async () => {
    await using host = await makeHost();
    const { stderr } = await host.run(AGENT, { no_proxy: 'localhost,.example' });
    expect(stderr).toMatch(/^run r1 /m);
  });
});
