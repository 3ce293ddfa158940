import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { expectCode, expectSameStory, SCENARIO_MS, shape, useLab } from './lab.ts';
import { type ConnectionJson, stringtapJson } from './proxy.ts';
import { SPEAK } from './site.ts';

/** The other kind of primary: one self-made CA, everything signed, TLS 1.2 only, no static catalogs. */
describe.skipIf(skipLab())('with a primary that made its CA itself', () => {
  const lab = useLab({ ca: 'self', autosign: true, tls: 'TLSv1.2', static: false });

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
});
