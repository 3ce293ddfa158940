import { counted } from '../analysis/words.ts';
import type { LossRow, Store } from '../capture/store.ts';
import { type Io, printable } from './io.ts';

/**
 * What a reader must know before it trusts a list: exchanges or bodies that the capture lacks, a line for each kind, on stderr. Runs that
 * --retain deleted were meant to go, and answers that were late are there: a person is told, a program is not.
 */
export function tellLosses(io: Io, store: Store): void {
  for (const loss of summed(store.losses())) {
    const { reason, count, detail, at } = loss;
    const why = `${reason}, the last at ${at}: ${printable(detail)}`;
    if (reason === 'retained') io.chatter(`note: older runs were deleted, as --retain asked: ${count}`);
    else if (reason === 'late') io.chatter(`note: ${counted(count, 'answer')} left before being on disk (${why})`);
    else if (reason === 'body-cut') io.err(`note: not whole in this capture: ${counted(count, 'body', 'bodies')} (${why})`);
    else if (reason === 'decoder-dead') io.err(`note: the decoder ended; stringtap redecode goes on (${why})`);
    else io.err(`note: missing from this capture: ${counted(count, 'exchange')} (${why})`);
  }
}

/** One row a reason: each recording has its own. */
function summed(losses: readonly LossRow[]): LossRow[] {
  const byReason = new Map<string, LossRow>();
  for (const loss of losses) {
    const known = byReason.get(loss.reason);
    byReason.set(loss.reason, known === undefined ? loss : { ...loss, count: loss.count + known.count });
  }
  return [...byReason.values()];
}
