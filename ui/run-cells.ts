import type { RunResult } from '../src/capture/run-result.ts';
import { type Span, span } from './text.ts';
import type { Signs, StyleName } from './theme.ts';

const RESULTS: Record<RunResult, { sign: keyof Signs; style: StyleName }> = {
  changed: { sign: 'changed', style: 'changed' },
  corrective: { sign: 'changed', style: 'warning' },
  unchanged: { sign: 'ok', style: 'ok' },
  noop: { sign: 'none', style: 'warning' },
  failed: { sign: 'failed', style: 'error' },
  'compile error': { sign: 'failed', style: 'error' },
  bootstrap: { sign: 'none', style: 'dim' },
  partial: { sign: 'none', style: 'dim' },
  'no catalog': { sign: 'failed', style: 'error' },
  reported: { sign: 'none', style: 'dim' },
  'no report': { sign: 'none', style: 'warning' },
  open: { sign: 'live', style: 'live' },
};

/** The result of a run with its sign: colour is never all that tells. */
export function resultSpan(result: RunResult, signs: Signs): Span {
  const { sign, style } = RESULTS[result];
  return span(`${signs[sign] as string} ${result}`, style);
}
