/** How the pauses of a captured run are kept when it is replayed. */
export type Pace =
  /** As they were. */
  | { type: 'recorded' }
  /** None at all. */
  | { type: 'fast' }
  /** As many times as short. */
  | { type: 'speed'; factor: number }
  /** As they were, but never longer. */
  | { type: 'max-gap'; ms: number };

/** A pause, ms, at a pace. */
export function paced(pauseMs: number, pace: Pace): number {
  switch (pace.type) {
    case 'recorded':
      return pauseMs;
    case 'fast':
      return 0;
    case 'speed':
      return pauseMs / pace.factor;
    case 'max-gap':
      return Math.min(pauseMs, pace.ms);
    default:
      return pace satisfies never;
  }
}

/** `recorded`, `fast`, `x2` (twice as fast), `max-gap=5` (seconds); `null` for anything else. */
export function parsePace(text: string): Pace | null {
  if (text === 'recorded' || text === 'fast') return { type: text };
  const [, speed, gap] = /^(?:x(\d{1,6}(?:\.\d{1,3})?)|max-gap[=:](\d{1,6}(?:\.\d{1,3})?)s?)$/.exec(text) ?? [];
  if (speed !== undefined && Number(speed) > 0) return { type: 'speed', factor: Number(speed) };
  if (gap !== undefined) return { type: 'max-gap', ms: Number(gap) * 1000 };
  return null;
}
