import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { exchangesOf, expectCode, expectSameStory, ofAgents, SCENARIO_MS, shape, useLab } from './lab.ts';
import { BIN, type ConnectionJson, type RunJson, stringtapJson } from './proxy.ts';
import { blob, SPEAK } from './site.ts';

/** A fresh run and a second one by each way in, next to the same two runs without a proxy. */
describe.skipIf(skipLab())('with a real agent and a real primary: runs', () => {
  const lab = useLab();

  describe.each(['address', 'connect'] as const)('a fresh run and a second one, by %s', how => {
    test('are the same as without a proxy, and captured one for one', { timeout: SCENARIO_MS }, async () => {
      const baseline = await lab.baseline();
      await using proxy = await lab.proxy();
      const certname = `plain-${how}.lab`;
      const agent = lab.through(proxy, certname, {}, how);
      const since = await lab.primary.mark();
      const runs = [await agent.run([], SPEAK), await agent.run()];
      expectCode(runs[0]!, 2);
      expectCode(runs[1]!, 0);
      expect(outcome(agent, runs[0]!)).toEqual(baseline.runs[0]);
      expect(outcome(agent, runs[1]!)).toEqual(baseline.runs[1]);

      const exchanges = await expectSameStory(lab, proxy, since, certname);
      expect(exchanges.map(one => shape(one, certname))).toEqual(
        ofAgents(baseline.lines).map(line => shape(line, baseline.certname)),
      );
      expect(exchanges.every(one => one.outcome === 'answered')).toBe(true);

      await proxy.stop();
      const rows = await stringtapJson<RunJson>(['runs', proxy.capture]);
      expect(rows.map(row => [row.certname, row.transactionUuid, row.environment, row.end])).toEqual(
        runs.map(run => [certname, run.lastRunReport!.transaction_uuid, 'production', 'report']),
      );
      expect(rows.map(row => row.exchanges)).toEqual(rows.map(row => exchanges.filter(one => one.run === row.id).length));
      expect(rows[0]!.exchanges + rows[1]!.exchanges).toBe(exchanges.length);
      expect(rows.every(row => row.puppetVersion === runs[0]!.lastRunSummary!.version.puppet && row.failed === 0)).toBe(true);

      const connections = await stringtapJson<ConnectionJson>(['connections', proxy.capture, '--leg', 'agent']);
      expect(new Set(connections.map(one => one.via))).toEqual(new Set([how === 'address' ? 'direct' : 'connect']));
      // The agent's first connection is a probe: a handshake without a request, answered by nothing upstream.
      expect(connections.filter(one => one.exchanges === 0 && one.error === null)).toHaveLength(1);
    });
  });

  test('a binary file of 300 kB arrives and is captured byte for byte', { timeout: SCENARIO_MS }, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'binary.lab');
    const run = await agent.run();
    expectCode(run, 2);
    const sha256 = createHash('sha256').update(blob()).digest('hex');
    expect(run.files.find(file => file.path === 'tree/blob.bin')).toMatchObject({ sha256 });
    const [exchange] = (await exchangesOf(proxy)).filter(one => one.target.includes('/blob.bin'));
    const args = [BIN, 'show', exchange!.id, proxy.capture, '--body', 'response', '--raw'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { encoding: 'buffer', maxBuffer: 16 << 20 });
    expect(stdout.length).toBe(exchange!.responseBytes);
    expect(createHash('sha256').update(gunzipSync(stdout)).digest('hex')).toBe(sha256);
  });

  test('the pool policies: pooled connections outlive a run, mirrored ones are one for one', {
    timeout: SCENARIO_MS,
  }, async () => {
    for (const policy of ['pooled', 'mirror']) {
      await using proxy = await lab.proxy('--pool', policy);
      const certname = `${policy}.lab`;
      const agent = lab.through(proxy, certname);
      const since = await lab.primary.mark();
      expectCode(await agent.run(), 2);
      expectCode(await agent.run(), 0);
      const exchanges = await expectSameStory(lab, proxy, since, certname);
      const log = ofAgents(await lab.primary.accessLog(since));
      const sessions = new Set(log.filter(line => line.user === certname).map(line => line.session));
      // An agent that is busy for longer than it keeps a connection makes another.
      const ofAgent = new Set(exchanges.filter(one => one.certname === certname).map(one => one.agentConnection));
      expect(ofAgent.size, policy).toBeGreaterThanOrEqual(2);
      expect(sessions.size, policy).toBe(policy === 'pooled' ? 1 : ofAgent.size);
      if (policy === 'mirror') {
        const pairs = new Set(exchanges.map(one => `${one.agentConnection} ${one.primaryConnection}`));
        expect(pairs.size).toBe(new Set(exchanges.map(one => one.agentConnection)).size);
        expect(pairs.size).toBe(new Set(exchanges.map(one => one.primaryConnection)).size);
        expect(exchanges.map(one => one.primaryOrdinal)).toEqual(exchanges.map(one => one.agentOrdinal));
      }
    }
  });

  test('each run has what is its own: without keep-alive, with server_list and no report, and after an ssldir that was wiped', {
    timeout: SCENARIO_MS,
  }, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'own.lab');
    expectCode(await agent.run(), 2);
    expectCode(await agent.run(['--http_keepalive_timeout', '0']), 0);
    for (let n = 0; n < 2; n += 1) expectCode(await agent.run(['--server_list', `localhost:${proxy.port}`, '--no-report']), 0);
    const waiting = lab.through(proxy, 'waiting.hand');
    expectCode(await waiting.run(), 1);
    waiting.wipeSsl();
    expectCode(await waiting.run(), 1);
    expectCode(await lab.through(proxy, 'next.lab').run(), 2);
    await proxy.stop();

    const rows = await stringtapJson<RunJson & { outcome: string }>(['runs', proxy.capture]);
    expect(rows.map(row => [row.certname, row.outcome, row.exchanges])).toEqual([
      ['own.lab', 'changed', 28],
      ['own.lab', 'unchanged', 9],
      ['own.lab', 'no report', 9],
      ['own.lab', 'no report', 9],
      ['waiting.hand', 'bootstrap', 4],
      ['waiting.hand', 'bootstrap', 4],
      ['next.lab', 'changed', 28],
    ]);
    const [, hasty] = rows;
    expect(hasty!.agentConnections).toBeGreaterThan(9);
    const connections = await stringtapJson<ConnectionJson>(['connections', proxy.capture, '--leg', 'agent']);
    expect(connections.filter(one => one.error !== null)).toEqual([]);
    const found = await stringtapJson<{ run: string | null; rule: string }>(['findings', proxy.capture]);
    const hers = (id: string) => found.filter(one => one.run === id).map(one => one.rule);
    expect(hers(hasty!.id)).toContain('keepalive-gap');
    const meant = ['report-missing', 'csr-conflict', 'waiting-for-signature', 'untrusted-tls'];
    expect(rows.map(row => hers(row.id).filter(rule => meant.includes(rule)))).toEqual([
      [],
      [],
      ['report-missing'],
      ['report-missing'],
      ['waiting-for-signature'],
      ['csr-conflict', 'waiting-for-signature'],
      [],
    ]);
  });

  test('two agents at once keep apart', { timeout: SCENARIO_MS }, async () => {
    const baseline = await lab.baseline();
    await using proxy = await lab.proxy();
    const names = ['twin-a.lab', 'twin-b.lab'];
    const agents = names.map((certname, n) => lab.through(proxy, certname, {}, n === 0 ? 'address' : 'connect'));
    const since = await lab.primary.mark();
    for (const nth of [0, 1] as const) {
      const runs = await Promise.all(agents.map(agent => agent.run([], nth === 0 ? SPEAK : {})));
      for (const [n, run] of runs.entries()) expect(outcome(agents[n]!, run)).toEqual(baseline.runs[nth]);
    }
    const lines = ofAgents(await lab.primary.accessLog(since));
    const exchanges = await exchangesOf(proxy);
    for (const certname of names) {
      const own = exchanges.filter(one => one.certname === certname);
      const seen = lines.filter(line => line.user === certname);
      expect(own.map(one => shape(one, certname))).toEqual(seen.map(line => shape(line, certname)));
      const expected = baseline.lines.filter(line => line.user === baseline.certname);
      expect(seen.map(line => shape(line, certname))).toEqual(expected.map(line => shape(line, baseline.certname)));
    }
    const rows = await stringtapJson<RunJson>(['runs', proxy.capture]);
    expect(rows.map(row => row.certname).sort()).toEqual([...names, ...names].sort());
  });

  test('SIGINT ends the proxy cleanly, and another one goes on with its CA, its identities and its capture', {
    timeout: SCENARIO_MS,
  }, async () => {
    await using first = await lab.proxy();
    const certname = 'lasting.lab';
    const agent = lab.through(first, certname);
    expectCode(await agent.run(), 2);
    await first.stop();
    await using second = await lab.proxy('--capture', first.capture, '--certs', first.certs);
    expectCode(await agent.run(['--server', 'localhost', '--serverport', String(second.port)]), 0);
    await second.stop();
    const rows = await stringtapJson<RunJson>(['runs', first.capture]);
    expect(rows.map(row => [row.certname, row.end])).toEqual([
      [certname, 'report'],
      [certname, 'report'],
    ]);
    const counted = await stringtapJson<{ n: number }>(['query', 'SELECT count(*) AS n FROM v_exchange', first.capture]);
    expect(counted).toEqual([{ n: rows[0]!.exchanges + rows[1]!.exchanges }]);
  });
});
