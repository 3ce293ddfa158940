import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { since } from '../../src/commands/options.ts';
import { START, stringtap, type Tale, temporaryFolder, writeCapture } from './reuse-rig.ts';

/** Two runs of one agent, the second after a pause: slow facts, so that its first connection was dropped; and one run of another. */
const before: Tale = {
  connections: [
    { leg: 'agent', opened: 0, closed: [2010, 'agent', 'end'] },
    { leg: 'primary', opened: 15, tcp: 2, tls: 40, closed: [38_000, 'proxy', 'idle-timeout'] },
    { leg: 'agent', opened: 10_000, closed: [15_600, 'agent', 'end'] },
    { leg: 'agent', opened: 15_602, tls: 14, closed: [17_905, 'agent', 'end'] },
    { leg: 'agent', certname: 'db1.example.com', opened: 60_000, closed: [60_900, 'agent', 'connection-close'] },
    { leg: 'primary', certname: 'db1.example.com', opened: 60_012, tls: 20, closed: [60_700, 'primary', 'connection-close'] },
    { leg: 'agent', certname: null, opened: 70_000, tls: 3, closed: [70_009, 'agent', 'end'] },
  ],
  exchanges: [
    { phase: 'pluginsync', agent: [1, 1], primary: [2, 1], from: 60, to: 100, fields: [['Keep-Alive', 'timeout=30']] },
    { phase: 'catalog', agent: [1, 2], primary: [2, 2], from: 1100, to: 1900 },
    { phase: 'report', agent: [1, 3], primary: [2, 3], from: 1950, to: 2000 },
    { phase: 'pluginsync', agent: [3, 1], primary: [2, 4], from: 10_020, to: 10_100 },
    { phase: 'catalog', agent: [4, 1], primary: [2, 5], from: 15_630, to: 17_500 },
    { phase: 'report', agent: [4, 2], primary: [2, 6], from: 17_800, to: 17_900 },
    {
      ...{ phase: 'report', certname: 'db1.example.com', agent: [5, 1], primary: [6, 1], from: 60_040, to: 60_600 },
      fields: [['Connection', 'close']],
    },
  ],
};

/** The second run once the agent waits longer. */
const after: Tale = {
  connections: [
    { leg: 'agent', opened: 0, closed: [7905, 'agent', 'end'] },
    { leg: 'primary', opened: 15, tcp: 2, tls: 40, closed: [28_000, 'proxy', 'idle-timeout'] },
  ],
  exchanges: [
    { phase: 'pluginsync', agent: [1, 1], primary: [2, 1], from: 60, to: 100 },
    { phase: 'catalog', agent: [1, 2], primary: [2, 2], from: 5630, to: 7500 },
    { phase: 'report', agent: [1, 3], primary: [2, 3], from: 7800, to: 7900 },
  ],
};

const folder = temporaryFolder();
const file = folder.path('before.db');
const second = folder.path('after.db');

beforeAll(async () => {
  await writeCapture(file, before);
  await writeCapture(second, after);
});
afterAll(() => folder[Symbol.dispose]());

async function json(...args: string[]) {
  const { code, out, err } = await stringtap('reuse', '--capture', file, '--json', ...args);
  expect(err).toEqual([]);
  expect(code).toBe(0);
  expect(out).toHaveLength(1);
  return JSON.parse(out[0]!);
}

describe('stringtap reuse --json', () => {
  test('reports on the whole capture', async () => {
    const report = await json();
    expect(report).toMatchObject({
      capture: file,
      runs: null,
      pools: ['pooled'],
      agent: { connections: 5, exchanges: 7, first: 4, reused: 3, handshakes: { full: 5, resumed: 0, failed: 0 }, unused: 1 },
      primary: { connections: 2, exchanges: 7, first: 2, reused: 5, longestSurvivedMs: 8020 },
      advertised: { answers: 2, keepAlive: ['timeout=30'], connectionClose: 1 },
      compare: null,
    });
    expect(report.connections.map((one: { id: string; ending: string }) => [one.id, one.ending])).toEqual([
      ['c1', 'end-of-run'],
      ['c2', 'idle-timeout'],
      ['c3', 'agent-idle-limit'],
      ['c4', 'end-of-run'],
      ['c5', 'connection-close'],
      ['c6', 'connection-close'],
      ['c7', 'probe'],
    ]);
  });

  test('reports on one run: what it inherited cost it nothing, and the pause before it is known', async () => {
    const report = await json('r2');
    expect(report.runs).toEqual(['r2']);
    expect(report.agent).toMatchObject({ connections: 2, exchanges: 3, first: 2, reused: 1, reusePercent: 100 / 3 });
    expect(report.primary).toMatchObject({ connections: 1, opened: 0, inherited: 1, reusePercent: 100, longestSurvivedMs: 8020 });
    expect(report.agent.cost).toEqual({
      spentMs: 24,
      meanFullMs: 12,
      perfect: { handshakes: 1, ms: 12 },
      none: { handshakes: 3, ms: 36 },
    });
    expect(report.connections.map((one: { id: string }) => one.id)).toEqual(['c2', 'c3', 'c4']);
    expect(report.connections[1].segments).toEqual([
      { type: 'handshake', connectMs: 0, tlsMs: 10, resumed: false },
      { type: 'requests', exchanges: 1, ms: 80, phases: [{ phase: 'pluginsync', exchanges: 1 }] },
    ]);
    expect(report.advice).toHaveLength(1);
    expect(report.advice[0]).toMatchObject({ leg: 'agent', setting: 'http_keepalive_timeout' });
    expect(report.advice[0].change).toContain('http_keepalive_timeout = 7s');
  });

  test('reports on an agent, and since a time', async () => {
    expect((await json('--certname', 'db1.example.com')).agent.exchanges).toBe(1);
    const late = await json('--since', new Date(START + 9000).toISOString());
    expect(late.agent).toMatchObject({ exchanges: 4, connections: 4 });
    expect(late.primary).toMatchObject({ inherited: 1, opened: 1 });
  });

  test('reports on a phase: what other phases opened is not paid for again, and idle is what nothing went over', async () => {
    const report = await json('r2', '--phase', 'report');
    expect(report).toMatchObject({ phase: 'report', runs: ['r2'] });
    expect(report.agent).toMatchObject({ connections: 1, opened: 0, exchanges: 1, reused: 1, reusePercent: 100 });
    expect(report.agent.phases.map((one: { phase: string }) => one.phase)).toEqual(['report']);
    expect(report.connections.map((one: { id: string }) => one.id)).toEqual(['c2', 'c4']);
    const all = await json('--phase', 'report', '--compare', second);
    expect(all.agent).toMatchObject({ connections: 3, exchanges: 3, unused: 0 });
    expect(all.connections[1]).toMatchObject({ id: 'c2', exchanges: 2 });
    expect(all.connections[1].segments).toEqual([
      { type: 'inherited', exchanges: 2 },
      { type: 'requests', exchanges: 1, ms: 50, phases: [{ phase: 'report', exchanges: 1 }] },
      { type: 'pause', ms: 300 },
      { type: 'requests', exchanges: 1, ms: 100, phases: [{ phase: 'report', exchanges: 1 }] },
    ]);
    expect(all.compare).toMatchObject({ phase: 'report', agent: { exchanges: 1 } });
    const { out } = await stringtap('reuse', file, '--phase', 'report');
    expect(out[0]).toContain('everything, phase report');
  });

  test('sets a second capture beside it', async () => {
    const { compare } = await json('--certname', 'web1.example.com', '--compare', second);
    expect(compare).toMatchObject({ capture: second, agent: { exchanges: 3, reused: 2, shortestClosedMs: { agent: null } } });
  });
});

describe('stringtap reuse in words', () => {
  test('shows figures, why connections ended, a lane for each, limits and what to change', async () => {
    const { code, out } = await stringtap('reuse', 'r2', '--capture', file);
    expect(code).toBe(0);
    const text = out.join('\n');
    expect(out[0]).toBe(`${file}: r2 of web1.example.com; connections to the primary: pooled`);
    expect(text).toMatch(/^reuse +33\.3 % +100\.0 %$/m);
    expect(text).toMatch(/^connections +2 +1 \(1 opened before\)$/m);
    expect(text).toMatch(/^ {2}with perfect reuse +12 ms \(1 handshake\) +0\.0 ms \(0 handshakes\)$/m);
    expect(text).toMatch(/^agent +agent +agent-idle-limit +1 +5\.50 s/m);
    expect(text).toMatch(/^c3 agent +\[#\.+\| +\]$/m);
    expect(text).toContain('TCP 0.0 ms, TLS 10 ms full; pluginsync in 80 ms; closed by the agent after 5.50 s: agent-idle-limit');
    expect(text).toMatch(/^c2 primary +\[</m);
    expect(text).toContain(
      'opened before, exchanges until then: 3; idle 8.02 s; pluginsync in 80 ms; idle 5.53 s; catalog in 1.87 s; idle 300 ms',
    );
    expect(text).toContain('and closed one after 5.50 s (http_keepalive_timeout, default 4 s)');
    expect(text).toContain("http_keepalive_timeout = 7s bridges them (the agent's puppet.conf, [agent])");
  });

  test('names keep-alive at the primary when answers carry Connection: close', async () => {
    const { out } = await stringtap('reuse', '--certname', 'db1.example.com', '--capture', file);
    expect(out.join('\n')).toContain('turn HTTP keep-alive on there');
    expect(out.join('\n')).toContain('the primary advertises Connection: close in 1 of 1 answers');
  });

  test('says so when there is nothing to change', async () => {
    const { out } = await stringtap('reuse', '--capture', second);
    expect(out.at(-1)).toMatch(/^nothing to change/);
  });

  test('compares two captures column by column', async () => {
    const { out } = await stringtap('reuse', 'r2', '--capture', file, '--compare', second);
    expect(out.find(line => line.includes('AGENT LEG'))).toMatch(/AGENT LEG, A +AGENT LEG, B +PRIMARY LEG, A +PRIMARY LEG, B/);
    expect(out.find(line => line.startsWith('reuse '))).toMatch(/33\.3 % +66\.7 % +100\.0 % +66\.7 %/);
  });
});

describe('wrong usage', () => {
  test.each([
    [['r99'], 1, /no run r99/],
    [['x1'], 2, /number of a run/],
    [['--since', 'yesterday'], 2, /expected a time/],
    [['--certname', 'nobody.example'], 1, /no such run/],
  ])('%j', async (args, code, words) => {
    const printed = await stringtap('reuse', '--capture', file, ...args);
    expect(printed.err.join('\n')).toMatch(words);
    expect(printed.code).toBe(code);
  });

  test('--since takes ages and times', () => {
    expect(since('2h', undefined, 10_000_000)).toBe(2_800_000);
    expect(since('2026-03-01T10:00:00Z')).toBe(START);
  });
});

describe('in a terminal', () => {
  const printed = async (columns: number, ...args: string[]): Promise<string[]> => {
    const lines: string[] = [];
    const nothing = (): void => undefined;
    const io: Io = {
      out: line => void lines.push(line),
      err: nothing,
      chatter: nothing,
      write: nothing,
      stdoutIsTerminal: true,
      columns,
      env: { NO_COLOR: '1' },
      exitCode: 0,
    };
    await main(['node', 'stringtap', 'reuse', ...args], io);
    return lines;
  };
  const sample = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

  test.each([60, 80, 100])('of %i columns no line is wider, and nothing is left out', async columns => {
    const wide = await printed(1000, sample);
    const words = (lines: string[]): string[] =>
      lines
        .join(' ')
        .split(/\s+/)
        .filter(word => /^[a-z,;:()]+$/i.test(word));
    const narrow = await printed(columns, sample);
    expect(narrow.filter(line => line.length > columns)).toEqual([]);
    for (const word of new Set(words(wide))) expect(words(narrow)).toContain(word);
    const compared = await printed(columns, sample, '--compare', sample);
    expect(compared.filter(line => line.length > columns)).toEqual([]);
    expect(compared.join('\n')).toContain('PRIMARY LEG, B');
  });
});
