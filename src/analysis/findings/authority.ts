import type { Side } from '../../model.ts';

/**
 * What the primary said, where stringtap said something else: its own CA, CRL and certificates are not what the node will live with. Where the
 * two are the same only the answer is kept.
 */
export function saidByPrimary<Row extends { exchange: number; side: Side }>(rows: readonly Row[]): Row[] {
  const own = new Set(rows.filter(row => row.side === 'primary-response').map(row => row.exchange));
  return rows.filter(row => row.side === 'primary-response' || (row.side === 'response' && !own.has(row.exchange)));
}

export const DAY_MS = 86_400_000;
