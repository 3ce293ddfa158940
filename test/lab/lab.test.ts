import { describe } from 'vitest';
import { skipLab } from './available.ts';
import { useLab } from './lab.ts';
import { catalogs } from './scenarios/catalogs.ts';
import { plainRuns } from './scenarios/runs.ts';
import { security } from './scenarios/security.ts';
import { signing } from './scenarios/signing.ts';

/**
 * Real agents and a real primary, with and without the proxy in between. All scenarios share one primary, which takes 20 s to
 * start; each has certnames and a proxy of its own.
 */
describe.skipIf(skipLab())('with a real agent and a real primary', () => {
  const lab = useLab();
  describe('runs', () => plainRuns(lab));
  describe('certificates', () => signing(lab));
  describe('catalogs', () => catalogs(lab));
  describe('who gets in', () => security(lab));
});
