import { sized } from '../analysis/words.ts';
import { resultOf } from '../capture/run-result.ts';
import { openStore, type RunRow } from '../capture/store.ts';
import { PHASES } from '../model.ts';
import { findingLines } from './findings-text.ts';
import { duration } from './present.ts';
import { runLine } from './proxy.ts';

/** What is said of a run when it is over: its line, a line a phase, and what the rules found. */
export function summary(capture: string, runs: readonly RunRow[]): string[] {
  const store = openStore(capture, 'bodies');
  try {
    return runs.flatMap(run => {
      const sums = new Map(PHASES.map(phase => [phase, { count: 0, ms: 0, bytes: 0, failed: 0 }]));
      for (const one of store.exchanges({ run: run.id })) {
        const sum = sums.get(one.phase)!;
        sum.count += 1;
        sum.ms += one.durationMs;
        sum.bytes += one.requestBytes + one.responseBytes;
        if (one.outcome !== 'answered') sum.failed += 1;
      }
      const phases = [...sums].filter(([, sum]) => sum.count > 0);
      return [
        runLine(run, resultOf(store, run)),
        ...phases.map(([phase, sum]) => {
          const failed = sum.failed === 0 ? '' : `, ${sum.failed} failed`;
          return `  ${phase.padEnd(11)} ${String(sum.count).padStart(4)}  ${duration(sum.ms).padStart(9)}  ${sized(sum.bytes).padStart(7)}${failed}`;
        }),
        ...findingLines(store, run.id).map(line => `  ${line}`),
      ];
    });
  } finally {
    store.close();
  }
}
