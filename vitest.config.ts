import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Minutes before seconds: the files that start a real primary go first, the longest of them before all, so that no worker ends alone. */
class LabFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number =>
      moduleId.endsWith('/test/lab/lab.test.ts') ? 0 : moduleId.includes('/test/lab/') ? 1 : 2;
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
    globalSetup: ['test/build.ts', 'test/lab/primaries.ts'],
    sequence: { sequencer: LabFirst },
    pool: 'forks',
    // One more than there are cores, for tests that wait; each may come to hold a primary, which takes 600 MB.
    maxWorkers: Math.min(availableParallelism() + 1, 8),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
