/** Remembers what is expensive to make and ends some day: the least recently used goes first, one that ends is made anew. */
export interface Leaves<Leaf> {
  /** @param names clean and sorted: the same set is the same leaf */
  get(names: readonly string[]): Promise<Leaf>;
}

/** One agent asks for one name; 256 covers a host with many, and bounds what a client can make us keep by inventing names. */
const MAX_LEAVES = 256;

/** @param make a leaf, and from when on (ms) another one is to take its place */
export function leafCache<Leaf>(
  make: (names: readonly string[]) => Promise<{ leaf: Leaf; renewAt: number }>,
  now: () => number,
): Leaves<Leaf> {
  // Promises, so that agents that arrive together wait for one key instead of making one each.
  const kept = new Map<string, Promise<{ leaf: Leaf; renewAt: number }>>();

  function start(key: string, names: readonly string[]): Promise<{ leaf: Leaf; renewAt: number }> {
    const made = make(names);
    kept.set(key, made);
    made.catch(() => {
      if (kept.get(key) === made) kept.delete(key);
    });
    for (const oldest of kept.keys()) {
      if (kept.size <= MAX_LEAVES) break;
      kept.delete(oldest);
    }
    return made;
  }

  return {
    async get(names) {
      const key = names.join(' ');
      const known = kept.get(key);
      if (known !== undefined) {
        kept.delete(key);
        kept.set(key, known); // newest again
        const { leaf, renewAt } = await known;
        if (now() < renewAt) return leaf;
        if (kept.get(key) !== known) return (await (kept.get(key) ?? start(key, names))).leaf;
      }
      return (await start(key, names)).leaf;
    },
  };
}
