/*
 * Numbers of a million rows, held as numbers: an object for each would take ten times as much, and as long to collect.
 */

type Numbers = Float64Array | Uint32Array;

/** Numbers that grow at their end. What is there is never copied: each piece is as long as all before it. */
export interface Column {
  readonly length: number;
  push(value: number): void;
  at(n: number): number;
}

export const createNumbers = (): Column => column(length => new Float64Array(length));
export const createIntegers = (): Column => column(length => new Uint32Array(length));

const FIRST_BITS = 6;

function column(make: (length: number) => Numbers): Column {
  const pieces: Numbers[] = [];
  let length = 0;
  /** Which piece the n-th number is in, and where the piece begins. */
  const pieceOf = (n: number): number => 31 - Math.clz32((n >> FIRST_BITS) + 1);
  const beginOf = (piece: number): number => ((1 << piece) - 1) << FIRST_BITS;
  return {
    get length() {
      return length;
    },
    push(value) {
      const piece = pieceOf(length);
      pieces[piece] ??= make((1 << piece) << FIRST_BITS);
      pieces[piece][length - beginOf(piece)] = value;
      length += 1;
    },
    at(n) {
      const piece = pieceOf(n);
      return pieces[piece]?.[n - beginOf(piece)] ?? 0;
    },
  };
}

/** @returns all of a column in one piece */
export function numbersOf(column: Column): Float64Array {
  const numbers = new Float64Array(column.length);
  for (let n = 0; n < numbers.length; n++) numbers[n] = column.at(n);
  return numbers;
}

/** Pairs of numbers by their group. */
export interface Groups {
  /** @param group an index from 0 */
  add(group: number, first: number, second: number): void;
  /** The pairs of a group in the order in which they were added. Nothing is added afterwards. */
  of(group: number): { firsts: Float64Array; seconds: Float64Array };
}

interface Sorted {
  begins: Uint32Array;
  firsts: Float64Array;
  seconds: Float64Array;
}

export function createGroups(): Groups {
  let added: { groups: Column; firsts: Column; seconds: Column } | null = {
    groups: createIntegers(),
    firsts: createNumbers(),
    seconds: createNumbers(),
  };
  let most = 0;
  let sorted: Sorted | null = null;

  function sort(): Sorted {
    const { groups, firsts, seconds } = added!;
    added = null;
    const begins = new Uint32Array(most + 1);
    for (let n = 0; n < groups.length; n++) begins[groups.at(n) + 1]! += 1;
    for (let group = 1; group <= most; group++) begins[group]! += begins[group - 1]!;
    const next = begins.slice();
    const made = { begins, firsts: new Float64Array(groups.length), seconds: new Float64Array(groups.length) };
    for (let n = 0; n < groups.length; n++) {
      const place = next[groups.at(n)]!;
      made.firsts[place] = firsts.at(n);
      made.seconds[place] = seconds.at(n);
      next[groups.at(n)] = place + 1;
    }
    return made;
  }

  return {
    add(group, first, second) {
      most = Math.max(most, group + 1);
      added?.groups.push(group);
      added?.firsts.push(first);
      added?.seconds.push(second);
    },
    of(group) {
      sorted ??= sort();
      const [from, to] = [sorted.begins[group] ?? 0, sorted.begins[group + 1] ?? 0];
      return { firsts: sorted.firsts.subarray(from, to), seconds: sorted.seconds.subarray(from, to) };
    },
  };
}
