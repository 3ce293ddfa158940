import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RULES } from '../../../src/analysis/findings/registry.ts';
import type { FindingRow, Store } from '../../../src/capture/store.ts';
import { fixture } from '../../decode/rig.ts';
import { ERRORS, plugins } from './cases.ts';
import { COSTS, goodRuns } from './cases-cost.ts';
import { bySubject, makeWorld, type World } from './world.ts';

const CASES = [...ERRORS, ...COSTS];

let world: World;
let store: Store;
let found: Map<string, FindingRow[]>;

beforeAll(async () => {
  world = await makeWorld();
  for (const one of CASES) {
    const fires = world.node(`${one.rule}.fires`, one.options);
    await one.fires(fires);
    fires.end();
    const quiet = world.node(`${one.rule}.quiet`, one.quietOptions);
    await one.quiet(quiet);
    quiet.end();
  }
  await goodRuns(world.node('good.example'));
  world.failedConnection('10.9.9.9:40001', 'tlsv1 alert unknown ca');
  world.failedConnection('10.9.9.9:40002', 'tlsv1 alert unknown ca');
  world.failedConnection('10.9.9.8:40003', 'http request');
  for (const error of ['tlsv1 alert unknown ca', 'tlsv1 alert unknown ca', 'left after the handshake', 'tlsv1 alert unknown ca'])
    world.failedConnection('10.9.9.7:40004', error);
  store = await world.store();
  found = bySubject(store);
}, 120_000);

afterAll(async () => world[Symbol.asyncDispose]());

const of = (subject: string, rule: string): FindingRow[] => (found.get(subject) ?? []).filter(row => row.rule === rule);

describe('rules', () => {
  test('each has a case', () => {
    expect(CASES.map(one => one.rule).sort()).toEqual(RULES.map(one => one.id).sort());
  });

  test.each(CASES)('$rule speaks', ({ rule, severity, says }) => {
    const [row, ...more] = of(`${rule}.fires`, rule);
    expect(row).toMatchObject({ severity, summary: expect.stringMatching(says) });
    expect(more).toEqual([]);
    expect(row?.evidence.exchanges.length ?? 0).toBeGreaterThan(0);
    const run = new Set([...store.exchanges({ run: row?.run ?? 0 })].map(one => one.id as number));
    for (const id of row?.evidence.exchanges ?? []) expect(run).toContain(id);
    expect(RULES.find(one => one.id === rule)?.severities).toContain(severity);
  });

  test.each(CASES)('$rule stays quiet', ({ rule }) => {
    expect(of(`${rule}.quiet`, rule)).toEqual([]);
  });

  test('nothing is found in good runs', () => {
    expect([...store.runs({ certname: 'good.example' })]).toHaveLength(6);
    expect(found.get('good.example')).toBeUndefined();
  });

  test('what was done on purpose is no fault of the primary', () => {
    expect((found.get('faults-injected.fires') ?? []).map(row => row.rule)).toEqual(['faults-injected']);
  });

  test('no rule gave up', () => {
    expect([...store.query('SELECT run, rule, text FROM finding_note').rows]).toEqual([]);
  });

  test('connections without a run are told by address, those of scanners are not', () => {
    expect(found.get('10.9.9.9')).toMatchObject([
      {
        run: null,
        rule: 'untrusted-tls',
        severity: 'error',
        summary: expect.stringContaining('2 connections of the agent at 10.9.9.9'),
      },
    ]);
    expect(found.get('10.9.9.8')).toBeUndefined();
  });

  test('agents behind one address that fail for different reasons are told together', () => {
    const rows = found.get('10.9.9.7');
    expect(rows).toHaveLength(1);
    expect(rows?.[0]).toMatchObject({
      summary: expect.stringMatching(
        /^3 connections of the agent at 10\.9\.9\.7 failed: the agent does not know our CA.*; 1 other: the agent left after the handshake/,
      ),
      fix: expect.stringMatching(/--localcacert.*; for the others: --name NAME/),
      evidence: { figures: { connections: 3, otherCause: 'agent-finds-another-name', otherConnections: 1 } },
    });
    expect(rows?.[0]?.evidence.connections).toHaveLength(4);
  });

  test('no finding holds a secret', () => {
    const all = [...store.findings()].map(row => JSON.stringify(row)).join('\n');
    expect(all).not.toContain('hunter2');
  });
});

describe('clock-skew of a primary', () => {
  const HOUR_MS = 3_600_000;

  /** What is found of a second run, whose answers are all dated an hour ahead. */
  async function found(firstDateMs: number): Promise<string[]> {
    await using other = await makeWorld();
    const node = other.node('skewed.example');
    for (const dateMs of [firstDateMs, HOUR_MS]) {
      await node.ask(plugins, { dateMs, response: fixture('file_metadatas.json') });
      await node.catalog({}, { dateMs });
      await node.report({}, { dateMs });
      node.end();
    }
    return [...(await other.store()).findings({ run: 2 })].map(row => row.summary);
  }

  test('speaks when all its answers are dated so', async () => {
    expect(await found(HOUR_MS)).toEqual([
      expect.stringMatching(/^the clock of the primary is (59 min 5\d s|1 h 0 min) ahead of the clock of this host$/),
    ]);
  });

  test('stays quiet when others have the right time: a captured run is served', async () => {
    expect(await found(0)).toEqual([]);
  });
});
