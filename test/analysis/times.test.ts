import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { percentiles } from '../../src/analysis/percentiles.ts';
import { foldTimes, type TimedExchange } from '../../src/analysis/times.ts';

const exchange: fc.Arbitrary<TimedExchange & { group: string | null }> = fc.record({
  phase: fc.constant('file' as const),
  method: fc.constant('GET'),
  target: fc.constant('/'),
  status: fc.constantFrom(200, 404, 500, 502, null),
  outcome: fc.constantFrom('answered', 'failed', 'abandoned'),
  durationMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
  requestBytes: fc.nat(1e6),
  responseBytes: fc.nat(1e6),
  group: fc.constantFrom('a', 'b', null),
});

describe('percentiles', () => {
  test.each([
    [[7], { p50Ms: 7, p95Ms: 7, p99Ms: 7, maxMs: 7 }],
    [[4, 1, 3, 2], { p50Ms: 2, p95Ms: 4, p99Ms: 4, maxMs: 4 }],
    [Array.from({ length: 100 }, (_, i) => 100 - i), { p50Ms: 50, p95Ms: 95, p99Ms: 99, maxMs: 100 }],
  ])('by the nearest rank', (times, expected) => {
    expect(percentiles(times)).toEqual(expected);
  });
});

describe('times of groups', () => {
  test('each exchange is in one group, and each percentile is a time of its group', () => {
    fc.assert(
      fc.property(fc.array(exchange), exchanges => {
        const groups = foldTimes(exchanges, row => row.group);
        expect([...groups.values()].reduce((sum, times) => sum + times.requests, 0)).toBe(exchanges.length);
        for (const [name, times] of groups) {
          const own = exchanges.filter(row => row.group === name);
          expect(times.requests).toBe(own.length);
          expect(times.responseBytes).toBe(own.reduce((sum, row) => sum + row.responseBytes, 0));
          expect(times.failed).toBe(own.filter(row => row.outcome !== 'answered' || (row.status ?? 0) >= 500).length);
          for (const ms of [times.p50Ms, times.p95Ms, times.p99Ms, times.maxMs])
            expect(own.map(row => row.durationMs)).toContain(ms);
          expect(own.filter(row => row.durationMs <= times.p95Ms).length).toBeGreaterThanOrEqual(own.length * 0.95);
        }
        const totals = [...groups.values()].map(times => times.totalMs);
        expect(totals).toEqual(totals.toSorted((a, b) => b - a));
      }),
    );
  });
});
