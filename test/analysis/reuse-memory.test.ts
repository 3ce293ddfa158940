import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createGroups, createNumbers, numbersOf } from '../../src/analysis/columns.ts';
import { foldReuse } from '../../src/analysis/reuse.ts';
import { fc } from '../rig/properties.ts';
import { connection, exchange } from './reuse-rig.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('what is held of an exchange is a few numbers', async () => {
  const EXCHANGES = 100_000;
  const PER_CONNECTION = 25;
  const connections = Array.from({ length: (2 * EXCHANGES) / PER_CONNECTION }, (_, n) =>
    connection(n + 1, { leg: n % 2 === 0 ? 'agent' : 'primary', closedMono: 1e9, closedBy: 'agent', cause: 'end' }),
  );
  function* exchanges() {
    for (let n = 0; n < EXCHANGES; n++) {
      const pair = Math.floor(n / PER_CONNECTION);
      const ordinal = (n % PER_CONNECTION) + 1;
      yield exchange(n + 1, [2 * pair + 1, ordinal], [n, n + 0.5], { run: pair + 1, primary: [2 * pair + 2, ordinal] });
    }
  }
  collect();
  const before = process.memoryUsage();
  const reuse = foldReuse(connections, exchanges());
  collect();
  await setImmediate();
  collect();
  const after = process.memoryUsage();
  expect(reuse.agent).toMatchObject({ exchanges: EXCHANGES, first: EXCHANGES / PER_CONNECTION });
  expect(reuse.connections[0]!.uses).toHaveLength(PER_CONNECTION);
  const held = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  expect(held / EXCHANGES).toBeLessThan(200);
});

test('numbers come back as they were put in, each group in its order', () => {
  const rows = fc.array(fc.tuple(fc.nat(9), fc.double({ noNaN: true }), fc.nat()), { maxLength: 500 });
  fc.assert(
    fc.property(rows, added => {
      const groups = createGroups();
      const numbers = createNumbers();
      for (const [group, first, second] of added) {
        groups.add(group, first, second);
        numbers.push(first);
      }
      expect([...numbersOf(numbers)]).toEqual(added.map(([, first]) => first));
      for (let group = 0; group < 11; group++) {
        const { firsts, seconds } = groups.of(group);
        const mine = added.filter(([of]) => of === group);
        expect([...firsts]).toEqual(mine.map(([, first]) => first));
        expect([...seconds]).toEqual(mine.map(([, , second]) => second));
      }
    }),
  );
});
