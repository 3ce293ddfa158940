import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { exchangesOf, expectCode, expectSameStory, ofAgents, SCENARIO_MS, SELF_MADE, shape, useLab } from './lab.ts';
import { type ConnectionJson, type ExchangeJson, startProxy, stringtapJson } from './proxy.ts';
import { agentEnv, fingerprint, puppet, stringtapRun } from './run-rig.ts';
import { SPEAK } from './site.ts';

describe.skipIf(skipLab())('with a primary that made its CA itself', () => {
  const lab = useLab(SELF_MADE);

  test('a fresh run and a second one are the same as without a proxy', { timeout: SCENARIO_MS }, async () => {
    const baseline = await lab.baseline();
    // The lab itself: this primary is of the other kind, and the runs did what they should.
    expect(readFileSync(lab.primary.caFile, 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    expect(baseline.runs.map(run => [run.code, run.status])).toEqual([
      [2, 'changed'],
      [0, 'unchanged'],
    ]);
    expect(baseline.lines.some(line => line.target.includes('/static_file_content/'))).toBe(false);

    await using proxy = await lab.proxy();
    const certname = 'plain.example';
    const agent = lab.through(proxy, certname);
    const since = await lab.primary.mark();
    const first = await agent.run([], SPEAK);
    expectCode(first, 2);
    expect(outcome(agent, first)).toEqual(baseline.runs[0]);
    expect(outcome(agent, await agent.run())).toEqual(baseline.runs[1]);
    const exchanges = await expectSameStory(lab, proxy, since, certname);
    expect(exchanges.map(one => shape(one, certname))).toEqual(baseline.lines.map(line => shape(line, baseline.certname)));
    await proxy.stop();
    const upstream = await stringtapJson<ConnectionJson>(['connections', proxy.capture, '--leg', 'primary']);
    expect(new Set(upstream.map(one => one.tlsVersion))).toEqual(new Set(['TLSv1.2']));
  });

  test('stringtap run, with each certificate_revocation, and while the agent refreshes its CRL', {
    timeout: SCENARIO_MS,
  }, async () => {
    const agent = lab.direct('modes.example');
    expectCode(await agent.run([], SPEAK), 2);
    const before = [agent.ssldir, join(agent.dir, 'conf')].map(fingerprint);
    const capture = join(lab.folder('capture'), 'modes.db');
    const since = await lab.primary.mark();
    for (const mode of ['leaf', 'false', 'chain']) {
      // The refresh: a CRL that is older than a second is asked for again.
      const refresh = mode === 'chain' ? ['--crl_refresh_interval=1s'] : [];
      // The first entry is down: agent and stringtap take the next.
      const list = mode === 'leaf' ? [`--server_list=localhost:1,localhost:${lab.primary.port}`] : [];
      const command = puppet(agent, 'agent', `--certificate_revocation=${mode}`, ...refresh, ...list);
      const { code, stdout, stderr } = await stringtapRun(capture, command, agentEnv(agent));
      expect(code, `${mode}:\n${stdout}${stderr}`).toBe(0);
      expect(stderr.includes('localhost:1 cannot be used'), stderr).toBe(mode === 'leaf');
      expect(stdout + stderr, mode).not.toContain('tunnelled unread');
      expect(stderr).toMatch(/^run r\d+ modes\.example: \w+, \d+ exchanges, \d agent and \d primary connections/m);
    }
    expect([agent.ssldir, join(agent.dir, 'conf')].map(fingerprint)).toEqual(before);
    const exchanges = await stringtapJson<ExchangeJson>(['exchanges', capture]);
    const crls = exchanges.filter(one => one.phase === 'crl');
    expect(crls.map(one => one.status)).toEqual([expect.toSatisfy((status: number) => status === 200 || status === 304)]);
    expect(new Set(exchanges.map(one => one.run))).toEqual(new Set(['r1', 'r2', 'r3']));
    const users = ofAgents(await lab.primary.accessLog(since)).flatMap(line => line.user ?? []);
    expect(new Set(users)).toEqual(new Set(['modes.example']));
    const upstream = await stringtapJson<ConnectionJson>(['connections', capture, '--leg', 'primary']);
    expect(new Set(upstream.map(one => one.tlsVersion))).toEqual(new Set(['TLSv1.2']));
    expectCode(await agent.run(), 0);
  });
});

/** One that has a TLS terminator in front of it, and believes what that says of agents. */
describe.skipIf(skipLab())('with a primary that has allow-header-cert-info', () => {
  const lab = useLab({ ca: 'self', autosign: true, headers: true });

  test('agents enrol and run as themselves, over TLS and over plain HTTP; a revoked one gets nothing', {
    timeout: SCENARIO_MS,
  }, async () => {
    await using secure = await lab.proxy('--identity', 'headers');
    const certname = 'said.example';
    const agent = lab.through(secure, certname);
    const since = await lab.primary.mark();
    expectCode(await agent.run([], SPEAK), 2);
    const exchanges = await expectSameStory(lab, secure, since, certname);
    expect(exchanges.map(one => one.phase)).toContain('report');
    await secure.stop();
    const upstream = await stringtapJson<ConnectionJson>(['connections', secure.capture, '--leg', 'primary']);
    expect(upstream.filter(one => one.certname === certname && one.via === 'direct').length).toBeGreaterThan(0);

    // The same agent, its certificate and our CA, with nothing but HTTP behind the proxy.
    const primary = `http://localhost:${lab.primary.httpPort}`;
    const args = ['--certs', secure.certs];
    await using plain = await startProxy({ dir: lab.folder('plain'), primaryPort: lab.primary.port, primary, args });
    const again = await lab.primary.mark();
    expectCode(await agent.run(['--serverport', String(plain.port)]), 0);
    const lines = ofAgents(await lab.primary.accessLog(again));
    expect(lines.length).toBeGreaterThan(5);
    expect(new Set(lines.map(line => line.user))).toEqual(new Set([certname]));
    const rows = await stringtapJson<ConnectionJson>(['connections', plain.capture, '--leg', 'primary']);
    expect(rows.map(one => [one.via, one.tlsVersion, one.certname])).toContainEqual(['plain', null, certname]);

    await lab.primary.revoke(certname);
    await sleep(11_000); // the age up to which a list is believed
    const before = (await exchangesOf(plain)).length;
    const late = await lab.primary.mark();
    const refused = await agent.run(['--serverport', String(plain.port)]);
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toContain('Client certificate refused');
    expect(ofAgents(await lab.primary.accessLog(late)).filter(line => line.target.startsWith('/puppet/'))).toEqual([]);
    const refusals = (await exchangesOf(plain)).slice(before);
    expect(refusals.length).toBeGreaterThan(0);
    for (const one of refusals) expect(one).toMatchObject({ status: 403, outcome: 'failed', primaryConnection: null });
  });
});
