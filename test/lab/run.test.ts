import { execFile } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Agent, type AgentRun, direct, makeAgent } from './agent.ts';
import { type LastReport, listFiles, outcome, readYaml } from './applied.ts';
import { skipLab, skipTshark } from './available.ts';
import { expectCode, ofAgents, SCENARIO_MS, useLab } from './lab.ts';
import { type ConnectionJson, type ExchangeJson, startProxy, stringtapJson } from './proxy.ts';
import { rubyEnv } from './ruby.ts';
import { agentEnv, fingerprint, puppet, type Ran, stringtapRun } from './run-rig.ts';
import { SPEAK } from './site.ts';
import { startWiretap } from './wiretap.ts';

/** `stringtap run` on the host of a real agent, in front of a real primary that knows nothing of it. */
describe.skipIf(skipLab())('stringtap run', () => {
  const lab = useLab();

  /** Nothing is left of the folders that `stringtap run` makes. */
  function expectNothingLeft(agent: Agent): void {
    expect(readdirSync(join(agent.dir, 'tmp')).filter(name => name.startsWith('stringtap-'))).toEqual([]);
  }

  /** Enrols it straight with the primary, and runs nothing. */
  async function bootstrap(agent: Agent): Promise<void> {
    const [program, ...args] = puppet(agent, 'ssl', 'bootstrap');
    const env = agentEnv(agent, rubyEnv(agent.dir, { tls12: true, plain: false }));
    await promisify(execFile)(program!, args, { env });
  }

  function asRun(agent: Agent, ran: Ran): AgentRun {
    const [report] = readYaml([join(agent.dir, 'var', 'state', 'last_run_report.yaml')]);
    return {
      ...ran,
      ms: 0,
      lastRunReport: (report ?? null) as LastReport | null,
      lastRunSummary: null,
      files: listFiles(agent.root),
    };
  }

  test('the run of an enrolled agent is the one that it would have been; no file of the agent changes', {
    timeout: SCENARIO_MS,
  }, async () => {
    const baseline = await lab.baseline();
    const agent = lab.direct('run.lab');
    await bootstrap(agent);
    const ssl = fingerprint(agent.ssldir);
    const conf = fingerprint(join(agent.dir, 'conf'));
    const since = await lab.primary.mark();
    const capture = join(lab.folder('capture'), 'run.db');

    // On a machine that is busy facts may take longer than the 4 s for which the agent keeps a connection.
    const command = puppet(agent, 'agent', '--http_keepalive_timeout=25s');
    const ran = await stringtapRun(capture, command, agentEnv(agent, SPEAK));
    expectCode(asRun(agent, ran), 2);
    expect(outcome(agent, asRun(agent, ran))).toEqual(baseline.runs[0]);
    expect(fingerprint(agent.ssldir)).toEqual(ssl);
    expect(fingerprint(join(agent.dir, 'conf'))).toEqual(conf);
    expectNothingLeft(agent);
    expect(ran.stderr).toMatch(/^run r1 run\.lab: \w+, \d+ exchanges, 1 agent and 1 primary connections, .* ended by report$/m);
    expect(ran.stderr).toContain(`capture ${capture}`);

    const lines = (await lab.primary.accessLog(since)).filter(line => line.userAgent !== 'stringtap');
    const exchanges = await stringtapJson<ExchangeJson>(['exchanges', capture]);
    expect(exchanges.map(one => `${one.method} ${one.target} ${one.status}`)).toEqual(
      lines.map(line => `${line.method} ${line.target} ${line.status}`),
    );
    expect(exchanges.length).toBeGreaterThan(10);
    expect(new Set(lines.map(line => line.user))).toEqual(new Set(['run.lab']));
    expect(new Set(exchanges.map(one => one.phase))).toContain('report');
  });

  test('a fresh agent enrols with its own request, and goes on without stringtap', { timeout: SCENARIO_MS }, async () => {
    const agent = lab.direct('fresh.lab');
    const capture = join(lab.folder('capture'), 'fresh.db');
    const ran = await stringtapRun(capture, puppet(agent, 'agent'), agentEnv(agent));
    expectCode(asRun(agent, ran), 2);
    expect(ran.stderr).toContain('fresh.lab has no certificate yet');
    const phases = (await stringtapJson<ExchangeJson>(['exchanges', capture])).map(one => one.phase);
    expect(phases.slice(0, 4)).toEqual(['ca', 'crl', 'csr', 'certificate']);
    expect(existsSync(join(agent.ssldir, 'certs', 'ca.pem'))).toBe(false);
    expectNothingLeft(agent);
    expectCode(await agent.run(), 0);
  });

  test('exit codes and other commands', { timeout: SCENARIO_MS }, async () => {
    const agent = lab.direct('commands.lab');
    expectCode(await agent.run(), 2);
    const ssl = fingerprint(agent.ssldir);
    const capture = join(lab.folder('capture'), 'commands.db');
    const go = (command: readonly string[], env: NodeJS.ProcessEnv = {}) => stringtapRun(capture, command, agentEnv(agent, env));

    const wrapped = await go(['env', 'LC_ALL=C', ...puppet(agent, 'agent', '--noop')]);
    expectCode(asRun(agent, wrapped), 0);
    expect(wrapped.stderr).toMatch(/^run r1 commands\.lab: /m);
    expectCode(asRun(agent, await go(puppet(agent, 'agent'), { FACTER_break_apply: '1' })), 4);
    expectCode(asRun(agent, await go(puppet(agent, 'plugin', 'download'))), 0);
    expectCode(asRun(agent, await go(puppet(agent, 'facts', 'upload'))), 0);
    const verified = await go(puppet(agent, 'ssl', 'verify'));
    expectCode(asRun(agent, verified), 0);
    expect(verified.stderr).toContain('the command made no connection through stringtap');

    const shell = await go(['sh', '-c', puppet(agent, 'agent').join(' ')]);
    expectCode(asRun(agent, shell), 0);
    expect(shell.stderr).toMatch(/^run r\d+ commands\.lab: /m);

    // Another name of the same primary, and a command that is no agent's run.
    const other = await go(puppet(agent, 'agent', '--server=127.0.0.1'));
    expectCode(asRun(agent, other), 0);
    expect(other.stderr).toMatch(/^run r\d+ commands\.lab: /m);
    const file = join(agent.dir, 'kept.txt');
    writeFileSync(file, `kept ${Date.now()}\n`);
    const bucket = await go(puppet(agent, 'filebucket', 'backup', file));
    expectCode(asRun(agent, bucket), 0);
    expect(bucket.stdout).toContain(file);

    expect(fingerprint(agent.ssldir)).toEqual(ssl);
    expectNothingLeft(agent);
    const exchanges = await stringtapJson<ExchangeJson>(['exchanges', capture]);
    expect(exchanges.map(one => `${one.method} ${one.phase}`)).toContain('PUT other');
    expect(exchanges.map(one => `${one.method} ${one.phase} ${one.status}`)).toContain('PUT filebucket 200');
    const connections = await stringtapJson<ConnectionJson>(['connections', capture]);
    expect(connections.some(one => one.target?.startsWith('127.0.0.1:') === true && one.exchanges > 5)).toBe(true);
  });

  test.skipIf(skipTshark())('tshark decrypts both legs of a run with the key log', { timeout: SCENARIO_MS }, async () => {
    const dir = lab.folder('keylog');
    const keys = join(dir, 'keys.log');
    await using behind = await startWiretap(lab.primary.port);
    await using proxy = await startProxy({ dir, primaryPort: behind.port, args: ['--keylog', keys] });
    await using before = await startWiretap(proxy.port);
    const agent = makeAgent({ dir: lab.folder('tapped.lab'), certname: 'tapped.lab', ...direct(before.port) });
    const since = await lab.primary.mark();
    expectCode(await agent.run([], SPEAK), 2);
    const lines = ofAgents(await lab.primary.accessLog(since)).map(line => `${line.method} ${line.target}`);
    await proxy.stop();
    expect(lines.length).toBeGreaterThan(10);
    for (const [name, tap] of [
      ['agent', before],
      ['primary', behind],
    ] as const) {
      const file = join(dir, `${name}.pcap`);
      tap.write(file);
      const wanted = ['-Y', 'http.request', '-T', 'fields', '-e', 'http.request.method', '-e', 'http.request.uri'];
      const decode = ['-d', `tcp.port==${tap.port},tls`];
      const { stdout } = await promisify(execFile)('tshark', [
        '-n',
        '-r',
        file,
        '-o',
        `tls.keylog_file:${keys}`,
        ...decode,
        ...wanted,
      ]);
      const seen = stdout
        .trim()
        .split('\n')
        .map(line => line.replace('\t', ' '));
      // What the proxy asks for itself is no agent's traffic: its secrets are not logged, and tshark sees nothing of it.
      expect(seen, name).toEqual(lines);
    }
  });
});
