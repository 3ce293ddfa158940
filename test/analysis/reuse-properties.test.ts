import { describe, expect, test } from 'vitest';
import { foldReuse, type LegReuse } from '../../src/analysis/reuse.ts';
import type { ConnectionFacts, ExchangeFacts } from '../../src/analysis/reuse-rows.ts';
import { PHASES } from '../../src/model.ts';
import { fc } from '../rig/properties.ts';
import { connection, exchange } from './reuse-rig.ts';

interface Trace {
  connections: ConnectionFacts[];
  exchanges: ExchangeFacts[];
}

const handshake = fc.record({
  connectMs: fc.option(fc.integer({ min: 0, max: 50 })),
  handshakeMs: fc.option(fc.integer({ min: 0, max: 500 })),
  resumed: fc.boolean(),
  certname: fc.constantFrom('a.example', 'b.example', null),
});
const close = fc.constantFrom(
  { closedBy: null, cause: null },
  { closedBy: 'agent', cause: 'end' },
  { closedBy: 'primary', cause: 'end' },
  { closedBy: 'proxy', cause: 'idle-timeout' },
  { closedBy: 'primary', cause: 'reset' },
  { closedBy: 'agent', cause: 'tls-alert' },
  { closedBy: 'primary', cause: 'connection-close' },
) as fc.Arbitrary<Pick<ConnectionFacts, 'closedBy' | 'cause'>>;

/** Agents' connections with what came over each, spread over pooled connections to the primary; in random time. */
const traces: fc.Arbitrary<Trace> = fc
  .record({
    agents: fc.array(fc.record({ handshake, close, opened: fc.integer({ min: 0, max: 20_000 }) }), { maxLength: 8 }),
    primaries: fc.array(fc.record({ handshake, close }), { maxLength: 4 }),
    requests: fc.array(
      fc.record({
        agent: fc.nat(),
        primary: fc.option(fc.nat()),
        pause: fc.integer({ min: 0, max: 40_000 }),
        took: fc.integer({ min: 0, max: 900 }),
        phase: fc.constantFrom(...PHASES),
        run: fc.option(fc.integer({ min: 1, max: 3 })),
      }),
      { maxLength: 40 },
    ),
  })
  .map(({ agents, primaries, requests }) => {
    const clocks = agents.map(({ opened }) => opened);
    const ordinals = new Map<number, number>();
    const use = (id: number): [number, number] => {
      ordinals.set(id, (ordinals.get(id) ?? 0) + 1);
      return [id, ordinals.get(id)!];
    };
    const exchanges = agents.length === 0 ? [] : requests.map(toExchange);
    function toExchange(request: (typeof requests)[number], n: number): ExchangeFacts {
      const agent = request.agent % agents.length;
      const start = clocks[agent]! + request.pause;
      clocks[agent] = start + request.took;
      const { phase, run } = request;
      const goes = request.primary !== null && primaries.length > 0;
      return exchange(n + 1, use(agent + 1), [start, start + request.took], {
        phase,
        run,
        ...(goes && { primary: use(100 + (request.primary! % primaries.length)) }),
      });
    }
    const secure = (facts: Partial<ConnectionFacts>, used: boolean): Partial<ConnectionFacts> =>
      used && facts.handshakeMs === null ? { ...facts, handshakeMs: 7 } : facts;
    const end = 1_000_000;
    const closing = (way: Pick<ConnectionFacts, 'closedBy' | 'cause'>) => ({
      ...way,
      closedMono: way.cause === null ? null : end,
    });
    return {
      connections: [
        ...agents.map((agent, i) =>
          connection(i + 1, {
            ...secure(agent.handshake, ordinals.has(i + 1)),
            ...closing(agent.close),
            openedMono: agent.opened,
          }),
        ),
        ...primaries.map((primary, i) =>
          connection(100 + i, { ...secure(primary.handshake, ordinals.has(100 + i)), ...closing(primary.close), leg: 'primary' }),
        ),
      ],
      exchanges,
    };
  });

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function consistent(leg: LegReuse): void {
  expect(leg.first + leg.reused).toBe(leg.exchanges);
  expect(leg.opened + leg.inherited).toBe(leg.connections);
  expect(sum(leg.distribution.map(row => row.exchanges * row.connections))).toBe(leg.exchanges);
  expect(sum(leg.closings.map(row => row.connections))).toBe(leg.connections);
  expect(sum(leg.phases.map(row => row.exchanges))).toBe(leg.exchanges);
  expect(sum(leg.phases.map(row => row.first))).toBe(leg.first);
  expect(leg.handshakes.full + leg.handshakes.resumed + leg.handshakes.failed).toBeLessThanOrEqual(leg.opened);
  expect(leg.cost.perfect.handshakes).toBeLessThanOrEqual(leg.cost.none.handshakes);
}

describe('over random traces', () => {
  test('exchanges are the sum over connections, first and reused are all, handshakes are connections that got that far', () => {
    fc.assert(
      fc.property(traces, ({ connections, exchanges }) => {
        const reuse = foldReuse(connections, exchanges);
        for (const leg of ['agent', 'primary'] as const) {
          const mine = connections.filter(one => one.leg === leg);
          const figures = reuse[leg];
          consistent(figures);
          const onLeg = leg === 'agent' ? exchanges : exchanges.filter(one => one.primaryConnection !== null);
          expect(figures.exchanges).toBe(onLeg.length);
          expect(figures.connections).toBe(mine.length);
          expect(figures.inherited).toBe(0);
          const secured = mine.filter(one => one.handshakeMs !== null);
          expect(figures.handshakes.full).toBe(secured.filter(one => !one.resumed).length);
          expect(figures.handshakes.resumed).toBe(secured.filter(one => one.resumed).length);
          expect(figures.first).toBe(figures.opened - figures.unused);
        }
      }),
    );
  });

  test('a TLS session that was resumed makes no exchange a reused one', () => {
    fc.assert(
      fc.property(traces, fc.boolean(), ({ connections, exchanges }, resumed) => {
        const plain = foldReuse(connections, exchanges);
        const changed = foldReuse(
          connections.map(one => ({ ...one, resumed })),
          exchanges,
        );
        for (const leg of ['agent', 'primary'] as const) {
          expect(changed[leg].reused).toBe(plain[leg].reused);
          const { full, resumed: again } = changed[leg].handshakes;
          expect(resumed ? full : again).toBe(0);
        }
      }),
    );
  });

  test('the parts of a set, by run or by phase, add up to the whole', () => {
    fc.assert(
      fc.property(traces, fc.constantFrom('run', 'phase'), ({ connections, exchanges }, by) => {
        const whole = foldReuse(connections, exchanges);
        const used = connections.filter(one =>
          exchanges.some(({ agentConnection, primaryConnection }) => [agentConnection, primaryConnection].includes(one.id)),
        );
        const parts = [...new Set(exchanges.map(one => one[by]))].map(part =>
          foldReuse(used, exchanges, one => one[by] === part),
        );
        for (const leg of ['agent', 'primary'] as const) {
          for (const part of parts) consistent(part[leg]);
          const total = (figure: (part: LegReuse) => number): number => sum(parts.map(part => figure(part[leg])));
          expect(total(part => part.exchanges)).toBe(whole[leg].exchanges);
          expect(total(part => part.reused)).toBe(whole[leg].reused);
          expect(total(part => part.opened)).toBe(whole[leg].opened - whole[leg].unused);
        }
      }),
    );
  });
});
