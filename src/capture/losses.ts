import type { LossCount } from './messages.ts';

/** What was not captured, or not in time, and why: each with what to do about it. */
const HINTS = {
  'writer-dead': 'restart the proxy to go on capturing; the traffic is not affected',
  'disk-full': 'free space on the disk of the capture; capturing goes on by itself',
  locked: 'close the program that writes to the capture file; capturing goes on by itself',
  'file-removed': 'restart the proxy with another --capture FILE; what it captures goes nowhere',
  'write-failed': 'check the disk of the capture file; capturing goes on by itself when it can be written',
  'row-rejected': 'this is a defect of stringtap; the other exchanges are captured',
  late: 'the disk is slow: these answers left before they were on disk; nothing is missing if the proxy is not killed',
  'body-cut': 'the disk is slow: give --max-body BYTES or a faster disk',
  overflow: 'the disk is slow: give --durability async or a faster disk',
  'decoder-dead': 'stop the proxy and run `stringtap redecode`; the exchanges themselves are captured',
} as const;

export type LossReason = keyof typeof HINTS;

export interface Loss {
  reason: LossReason;
  /** How many exchanges (bodies for `body-cut`, 1 for a dead thread) so far. */
  count: number;
  /** The latest error's own words. */
  detail: string;
  /** What to do. */
  hint: string;
}

export interface Losses {
  add(reason: string, count: number, detail: string): void;
  all(): Loss[];
  /** What the writer has not been told yet, so that it can be kept in the capture. */
  untold(): LossCount[];
}

/** Kinds of loss that the writer itself found (it keeps them), or that it can be told of no more. */
const OWN: ReadonlySet<LossReason> = new Set<LossReason>(['body-cut', 'overflow', 'decoder-dead', 'late']);

/** @param onLoss called when a kind of loss happens for the first time */
export function createLosses(onLoss: ((loss: Loss) => void) | undefined): Losses {
  const byReason = new Map<LossReason, Loss>();
  let untold = new Map<LossReason, LossCount>();
  return {
    add(given, count, detail) {
      const reason = isReason(given) ? given : 'write-failed';
      if (OWN.has(reason)) untold.set(reason, { reason, count: count + (untold.get(reason)?.count ?? 0), detail });
      const known = byReason.get(reason);
      if (known !== undefined) {
        known.count += count;
        known.detail = detail;
        return;
      }
      const loss: Loss = { reason, count, detail, hint: HINTS[reason] };
      byReason.set(reason, loss);
      onLoss?.({ ...loss });
    },
    all: () => [...byReason.values()].map(loss => ({ ...loss })),
    untold() {
      if (untold.size === 0) return [];
      const told = [...untold.values()];
      untold = new Map();
      return told;
    },
  };
}

function isReason(text: string): text is LossReason {
  return Object.hasOwn(HINTS, text);
}
