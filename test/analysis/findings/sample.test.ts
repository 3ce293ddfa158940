import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { resultOf } from '../../../src/capture/run-result.ts';
import { openStore } from '../../../src/capture/store.ts';
import { closing, tempDir } from '../../capture/rig.ts';

const SAMPLE = fileURLToPath(new URL('../../../captures/sample.db', import.meta.url));

test('the sample of real runs: nothing above info in a run that went well, and the compilation that failed', () => {
  using dir = tempDir();
  const file = dir.file('sample.db');
  copyFileSync(SAMPLE, file); // reading an older capture brings it up to date
  using store = closing(openStore(file, 'bodies'));
  const well = [...store.runs({ ended: true })]
    .filter(run => !['failed', 'compile error'].includes(resultOf(store, run)))
    .map(run => run.id);
  expect(well.length).toBeGreaterThan(4);
  const found = [...store.findings()];
  expect(found.filter(row => row.severity !== 'info' && (row.run === null || well.includes(row.run)))).toEqual([]);
  expect(
    found
      .filter(row => row.severity === 'error')
      .map(row => row.rule)
      .sort(),
  ).toEqual(['catalog-compile-failed', 'resource-failed']);
  expect([...store.query('SELECT * FROM finding_note').rows]).toEqual([]);
});
