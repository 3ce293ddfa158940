import { expect, test } from 'vitest';
import { greatest, least } from '../../src/analysis/extremes.ts';

test('of more numbers than a call takes arguments, and of none', () => {
  const many = Array.from({ length: 500_000 }, (_, n) => n - 7);
  expect([least(many), greatest(many)]).toEqual([-7, 499_992]);
  expect([least([]), greatest([])]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
});
