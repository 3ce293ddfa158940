import { describe, expect, test } from 'vitest';
import { foldReuse } from '../../src/analysis/reuse.ts';
import { advise } from '../../src/analysis/reuse-advice.ts';
import type { Ending } from '../../src/analysis/reuse-endings.ts';
import type { ConnectionFacts, ExchangeFacts } from '../../src/analysis/reuse-rows.ts';
import { closedAt, connection, exchange, unnamed } from './reuse-rig.ts';

/** A first run as a real agent makes it: probe, CA, CRL, CSR, then everything else; two connections stay idle to the end. */
const firstRun = {
  connections: [
    connection(1, { ...unnamed, openedMono: 0, ...closedAt(12, 'agent', 'end') }),
    connection(2, { ...unnamed, openedMono: 20, ...closedAt(45, 'agent', 'end') }),
    connection(3, { ...unnamed, openedMono: 50, ...closedAt(9010, 'agent', 'end') }),
    connection(4, { ...unnamed, openedMono: 100, ...closedAt(9011, 'agent', 'end') }),
    connection(5, { openedMono: 1000, handshakeMs: 20, ...closedAt(9012, 'agent', 'end') }),
    connection(6, { leg: 'primary', certname: null, openedMono: 35, connectMs: 2, handshakeMs: 30 }),
    connection(7, { leg: 'primary', openedMono: 1020, connectMs: 2, handshakeMs: 38 }),
  ],
  exchanges: [
    exchange(1, [2, 1], [35, 40], { phase: 'ca' }),
    exchange(2, [3, 1], [62, 80], { phase: 'crl' }),
    exchange(3, [4, 1], [115, 300], { phase: 'csr', primary: [6, 1] }),
    exchange(4, [4, 2], [302, 320], { phase: 'certificate', primary: [6, 2] }),
    exchange(5, [5, 1], [1060, 1100], { phase: 'node', primary: [7, 1] }),
    exchange(6, [5, 2], [1110, 1200], { phase: 'pluginsync', primary: [7, 2] }),
    exchange(7, [5, 3], [4000, 6000], { phase: 'catalog', primary: [7, 3] }),
    exchange(8, [5, 4], [8500, 9000], { phase: 'report', primary: [7, 4] }),
  ],
};

function endings(connections: ConnectionFacts[], exchanges: ExchangeFacts[]): Record<number, Ending> {
  return Object.fromEntries(foldReuse(connections, exchanges).connections.map(({ facts, ending }) => [facts.id, ending]));
}

describe('the figures of a first run', () => {
  const { agent, primary } = foldReuse(firstRun.connections, firstRun.exchanges);

  test('count connections, handshakes and exchanges of each leg', () => {
    expect(agent).toMatchObject({
      connections: 5,
      opened: 5,
      inherited: 0,
      unused: 1,
      handshakes: { full: 5, resumed: 0, failed: 0 },
      exchanges: 8,
      first: 4,
      reused: 4,
      reusePercent: 50,
      perConnection: { min: 1, median: 1, mean: 2, max: 4 },
      distribution: [
        { exchanges: 1, connections: 2 },
        { exchanges: 2, connections: 1 },
        { exchanges: 4, connections: 1 },
      ],
      bytesRead: 500,
      bytesWritten: 1000,
    });
    expect(primary).toMatchObject({ connections: 2, exchanges: 6, first: 2, reused: 4, handshakes: { full: 2, resumed: 0 } });
  });

  test('keep the bootstrap apart: four connections without a client certificate', () => {
    expect(agent.bootstrap).toEqual({ connections: 4, exchanges: 4, first: 3, setupMs: 40 });
    expect(primary.bootstrap.connections).toBe(0);
  });

  test('measure the gaps between the exchanges of one connection', () => {
    expect(agent.gapMs).toEqual({ min: 2, median: 10, mean: (2 + 10 + 2800 + 2500) / 4, max: 2800 });
    expect(agent.longestSurvivedMs).toBe(2800);
    expect(agent.shortestClosedMs).toEqual({ agent: null, proxy: null, primary: null });
  });

  test('tell what handshakes cost, and would cost with perfect reuse and with none', () => {
    expect(agent.cost).toEqual({
      spentMs: 60,
      meanFullMs: 12,
      // The bootstrap's four as they were, and one for the rest.
      perfect: { handshakes: 5, ms: 52 },
      // One for each exchange, and the probe.
      none: { handshakes: 9, ms: 10 + 8 * 12 },
    });
    expect(primary.cost).toEqual({
      spentMs: 72,
      meanFullMs: 36,
      perfect: { handshakes: 2, ms: 72 },
      none: { handshakes: 6, ms: 216 },
    });
  });

  test('tell what each phase met', () => {
    expect(agent.phases.map(row => [row.phase, row.first, row.reused, row.setupMs])).toEqual([
      ['ca', 1, 0, 10],
      ['crl', 1, 0, 10],
      ['csr', 1, 0, 10],
      ['certificate', 0, 1, 0],
      ['node', 1, 0, 20],
      ['pluginsync', 0, 1, 0],
      ['catalog', 0, 1, 0],
      ['report', 0, 1, 0],
    ]);
  });
});

describe('a run on a pooled connection that an earlier run opened', () => {
  const connections = [
    connection(1, { openedMono: 0, ...closedAt(3000, 'agent', 'end') }),
    connection(2, { openedMono: 9000, ...closedAt(9500, 'agent', 'end') }),
    connection(3, { leg: 'primary', openedMono: 10, connectMs: 1, handshakeMs: 29 }),
  ];
  const exchanges = [
    exchange(1, [1, 1], [50, 100], { primary: [3, 1], phase: 'report' }),
    exchange(2, [2, 1], [9020, 9100], { primary: [3, 2], run: 2, phase: 'catalog' }),
    exchange(3, [2, 2], [9110, 9200], { primary: [3, 3], run: 2, phase: 'report' }),
  ];
  const { agent, primary } = foldReuse(connections, exchanges, one => one.run === 2);

  test('inherits it: no handshake of its own, all exchanges reused', () => {
    expect(agent).toMatchObject({ connections: 1, opened: 1, exchanges: 2, first: 1 });
    expect(primary).toMatchObject({ connections: 1, opened: 0, inherited: 1, exchanges: 2, first: 0, reusePercent: 100 });
    expect(primary.handshakes).toEqual({ full: 0, resumed: 0, failed: 0 });
  });

  test('measures the pause between the runs, and what perfect reuse would have cost: nothing', () => {
    expect(primary.longestSurvivedMs).toBe(8920);
    expect(primary.cost).toMatchObject({ spentMs: 0, meanFullMs: 30, perfect: { handshakes: 0, ms: 0 }, none: { ms: 60 } });
  });
});

describe('why a connection ended', () => {
  test('in a first run: the probe, one that is never pooled, two left idle, the end of the run', () => {
    expect(endings(firstRun.connections, firstRun.exchanges)).toEqual({
      1: 'probe',
      2: 'agent-at-once',
      3: 'left-idle',
      4: 'left-idle',
      5: 'end-of-run',
      6: 'open',
      7: 'open',
    });
  });

  test("the agent's idle limit: it closes when it wants a connection again, and opens another", () => {
    const connections = [
      connection(1, { openedMono: 0, ...closedAt(5200, 'agent', 'end') }),
      connection(2, { openedMono: 5201, ...closedAt(6000, 'agent', 'end') }),
    ];
    const exchanges = [exchange(1, [1, 1], [20, 100]), exchange(2, [2, 1], [5220, 5900], { phase: 'report' })];
    expect(endings(connections, exchanges)).toEqual({ 1: 'agent-idle-limit', 2: 'end-of-run' });
    expect(foldReuse(connections, exchanges).agent.shortestClosedMs).toEqual({ agent: 5100, proxy: null, primary: null });
  });

  test('an agent without keep-alive closes each connection when it wants the next one', () => {
    const connections = [0, 100, 200, 300].map((openedMono, n) =>
      connection(n + 1, { openedMono, ...closedAt(openedMono + 99, 'agent', 'end') }),
    );
    const exchanges = connections.map(({ id, openedMono }, n) => exchange(n + 1, [id, 1], [openedMono + 20, openedMono + 80]));
    const none = 'agent-no-keep-alive';
    expect(endings(connections, exchanges)).toEqual({ 1: none, 2: none, 3: none, 4: 'end-of-run' });
    const [advice, ...more] = advise(foldReuse(connections, exchanges));
    expect(advice).toMatchObject({
      setting: 'http_keepalive_timeout',
      seen: expect.stringContaining('closed 3 connections right after'),
    });
    expect(more).toEqual([]);
  });

  test("the primary's goodbye after a pause is its idle limit, right after an answer it is not", () => {
    const connections = [
      connection(1, { leg: 'primary', ...closedAt(30_100, 'primary', 'end') }),
      connection(2, { leg: 'primary', ...closedAt(110, 'primary', 'end') }),
      connection(3, { leg: 'primary', ...closedAt(20_100, 'proxy', 'idle-timeout') }),
      connection(4, { leg: 'primary', ...closedAt(500, 'primary', 'end') }),
    ];
    const exchanges = [
      exchange(1, [9, 1], [20, 100], { primary: [1, 1] }),
      exchange(2, [9, 2], [20, 100], { primary: [2, 1] }),
      exchange(3, [9, 3], [20, 100], { primary: [3, 1] }),
    ];
    expect(endings(connections, exchanges)).toEqual({
      1: 'primary-idle-limit',
      2: 'primary-at-once',
      3: 'idle-timeout',
      4: 'unused',
    });
    expect(foldReuse(connections, exchanges).primary.shortestClosedMs).toEqual({ agent: null, proxy: 20_000, primary: 30_000 });
  });

  test.each([
    ['no-handshake', { handshakeMs: null, ...closedAt(5, 'agent', 'end') }],
    ['tls-alert', { handshakeMs: null, ...closedAt(5, 'agent', 'tls-alert') }],
    ['reset', closedAt(5, 'agent', 'reset')],
    ['end', { via: 'blind', ...closedAt(5, 'primary', 'end') }],
    ['shutdown', closedAt(5, 'proxy', 'shutdown')],
    ['open', {}],
  ] as const)('an unused connection: %s', (ending, facts) => {
    expect(endings([connection(1, facts)], [])).toEqual({ 1: ending });
  });

  test('a handshake that failed is counted as one, a peer that only connected is not', () => {
    const { agent } = foldReuse(
      [
        connection(1, { handshakeMs: null, ...closedAt(5, 'agent', 'tls-alert') }),
        connection(2, { handshakeMs: null, ...closedAt(5, 'agent', 'end') }),
        connection(3, { handshakeMs: null, via: 'blind', ...closedAt(5, 'agent', 'reset') }),
      ],
      [],
    );
    expect(agent.handshakes).toEqual({ full: 0, resumed: 0, failed: 1 });
  });
});

describe('perfect reuse', () => {
  test('needs as many connections as exchanges were under way at once, for each agent', () => {
    const connections = [1, 2, 3].map(id => connection(id, { leg: 'primary', certname: id < 3 ? 'a.example' : 'b.example' }));
    const exchanges = [
      exchange(1, [9, 1], [0, 100], { primary: [1, 1] }),
      exchange(2, [10, 1], [50, 150], { primary: [2, 1] }),
      exchange(3, [9, 2], [100, 200], { primary: [1, 2] }),
      exchange(4, [11, 1], [0, 100], { primary: [3, 1] }),
    ];
    expect(foldReuse(connections, exchanges).primary.cost.perfect.handshakes).toBe(3);
  });
});
