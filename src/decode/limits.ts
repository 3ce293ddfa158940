/** Bounds of one decoding. Bodies are hostile: every size, depth and count that a body can name is checked against one of these. */
export interface Limits {
  /** Bytes of a body after its content codings are undone. */
  bodyBytes: number;
  /** Nesting of arrays and maps. Puppet's own JSON writer stops at 100 (`max_nesting` of Ruby's json). */
  depth: number;
  /** Values of one structured body. A report of 20 MB has about 700,000. */
  items: number;
  /** Aliases (`*ref`) of one YAML body; each is cheap until it is followed, and what follows is counted in `items`. */
  aliases: number;
}

export const DEFAULT_LIMITS: Limits = {
  bodyBytes: 64 * 1024 * 1024,
  depth: 200,
  items: 2_000_000,
  aliases: 200_000,
};

/** Why a body cannot be decoded, in words for a person. Thrown inside decode/ only; {@link attempt} turns it into data. */
export class Malformed extends Error {}

/** What became of one body: a value with remarks on what was odd or missing, or the reason why there is none. */
export type Decoding<T> = { value: T; notes: readonly string[] } | { error: string };

/** Runs a decoder to an outcome. Total: whatever it throws becomes a reason; no stack reaches a reader. */
export function attempt<T>(decoder: (notes: string[]) => T): Decoding<T> {
  const notes: string[] = [];
  try {
    const value = decoder(notes);
    return { value, notes };
  } catch (error) {
    if (error instanceof Malformed) return { error: error.message };
    if (error instanceof RangeError) return { error: 'too large or too deep to decode' };
    return { error: 'the decoder failed on this body' };
  }
}

/** Counts down what a decoder makes; aliases and references cannot multiply past it. */
export interface Budget {
  left: number;
  readonly depth: number;
}

export function budgetOf(limits: Limits): Budget {
  return { left: limits.items, depth: limits.depth };
}

/** @throws Malformed when the budget is used up, or `depth` is beyond it */
export function spend(budget: Budget, depth: number): void {
  budget.left -= 1;
  if (budget.left < 0) throw new Malformed('more values than the limit');
  if (depth > budget.depth) throw new Malformed(`nested deeper than ${budget.depth}`);
}
