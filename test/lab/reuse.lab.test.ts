import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ending } from '../../src/analysis/reuse-endings.ts';
import { skipLab } from './available.ts';
import { SCENARIO_MS, useLab } from './lab.ts';
import { type Bench, CONDITIONS, openBench, type Result } from './reuse-experiment.ts';

/**
 * What `stringtap reuse` says of a real agent and a real primary, against relays on both legs that count connections and read the TLS
 * handshakes off the wire by themselves. The runs build on each other: the first one enrols the agent.
 */
describe.skipIf(skipLab())('connection reuse of a real agent', () => {
  const lab = useLab();
  const results = new Map<string, Result>();
  let bench: Bench;
  beforeAll(async () => {
    bench = await openBench(join(lab.folder('reuse'), 'bench'), lab.primary);
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  test.each(CONDITIONS.map(condition => [condition.name, condition] as const))(
    'counts what the observers count: %s',
    async (name, condition) => {
      const result = await bench.run(condition);
      results.set(name, result);
      for (const leg of ['agent', 'primary'] as const) {
        const { connections, handshakes, exchanges, first, reused } = result.report[leg];
        const seen = result.observed[leg];
        expect({ leg, connections, full: handshakes.full, resumed: handshakes.resumed }).toEqual({
          leg,
          connections: seen.connections,
          full: seen.full,
          resumed: seen.resumed,
        });
        expect(handshakes.full + handshakes.resumed + handshakes.failed).toBe(seen.clientHellos);
        expect(first + reused).toBe(exchanges);
        if (seen.offered === 0) expect(handshakes.resumed).toBe(0);
      }
    },
    SCENARIO_MS,
  );

  function of(name: string): Result['report'] {
    const result = results.get(name);
    if (result === undefined) throw new Error(`there was no run "${name}"`);
    return result.report;
  }

  const endings = (leg: Result['report']['agent']): Ending[] => leg.closings.map(closing => closing.ending);

  test('names what a first run does: the probe, the connection that is never pooled, two left idle', () => {
    const { agent } = of('first run, defaults');
    expect(agent.bootstrap).toMatchObject({ connections: 4 });
    expect(agent.unused).toBe(1);
    expect(endings(agent)).toEqual(expect.arrayContaining(['probe', 'agent-at-once', 'left-idle', 'end-of-run']));
    expect(agent.closings.find(({ ending }) => ending === 'left-idle')?.connections).toBe(2);
  });

  test('a second run is one connection on each leg, but where the agent was busy for longer than it keeps one', () => {
    const { agent, primary } = of('second run, defaults');
    expect(primary).toMatchObject({ connections: 1, first: 1 });
    const dropped = agent.closings.find(({ ending }) => ending === 'agent-idle-limit');
    expect(agent.connections).toBe(1 + (dropped?.connections ?? 0));
    if (dropped !== undefined) expect(dropped.idleMs?.min).toBeGreaterThan(4000);
  });

  test.each(['slow facts (5 s), defaults (4 s)', 'slow facts, http_keepalive_timeout=1s'])(
    '%s: the agent drops its connection',
    name => {
      const { agent, advice } = of(name);
      expect(endings(agent)).toContain('agent-idle-limit');
      expect(agent.shortestClosedMs.agent).toBeGreaterThan(1000);
      expect(advice.map(({ setting }) => setting)).toContain('http_keepalive_timeout');
    },
  );

  test('a longer http_keepalive_timeout bridges the same pause', () => {
    const { agent, advice } = of('slow facts, http_keepalive_timeout=25s');
    expect(agent.connections).toBe(1);
    expect(agent.longestSurvivedMs).toBeGreaterThan(4500);
    expect(advice).toEqual([]);
  });

  test('Connection: close of the primary costs a handshake an exchange, which tickets shorten', () => {
    const tls13 = of('Connection: close, TLS 1.3').primary;
    expect(tls13).toMatchObject({ reused: 0, connections: tls13.exchanges });
    expect(endings(tls13)).toEqual(['connection-close']);
    expect(tls13.handshakes.resumed).toBeGreaterThan(0);
    expect(of('Connection: close, TLS 1.2, tickets').primary.handshakes.resumed).toBeGreaterThan(0);
    expect(of('Connection: close, TLS 1.2, no tickets').primary.handshakes.resumed).toBe(0);
    expect(of('Connection: close, TLS 1.3').advice.map(({ leg }) => leg)).toContain('primary');
  });
});
