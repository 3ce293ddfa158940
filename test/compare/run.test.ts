import { expect, test } from 'vitest';
import { compareRuns } from '../../src/analysis/compare.ts';
import { catalogExchange, runOf } from './rig.ts';

test('smoke', () => {
  const a = runOf([catalogExchange({ resources: [{ type: 'File', title: '/x', parameters: { mode: '0644', content: 'a\nb\n' } }] }, {kernel: 'x'})]);
  const b = runOf([catalogExchange({ resources: [{ type: 'File', title: '/x', parameters: { mode: '0600', content: 'a\nc\n' } }] }, {kernel: 'y'})]);
  console.log(JSON.stringify(compareRuns(a, b), null, 1));
  expect(compareRuns(a, a).same).toBe(true);
});
