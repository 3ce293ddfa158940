import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Minutes before seconds: files that need a real primary go first, and of them last the one that ends it, which nobody can have then. */
class LabFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number =>
      !moduleId.includes('/test/lab/') ? 2 : moduleId.endsWith('/serve.lab.test.ts') ? 1 : 0;
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
    globalSetup: ['test/build.ts', 'test/lab/primaries.ts'],
    sequence: { sequencer: LabFirst },
    pool: 'forks',
    // A worker a core: with fewer, one core idles; with more, agents are late for limits of seconds that tests look at. Each may hold a primary (600 MB).
    maxWorkers: Math.min(availableParallelism(), 8),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
