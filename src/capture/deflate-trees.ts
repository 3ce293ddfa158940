/* The Huffman trees of deflate, chosen as zlib's trees.c does: see deflate.ts. */

/** The symbols of a block: a literal and distance 0, or a length less 3 and its distance. */
export interface Trees {
  literals: Uint16Array;
  distances: Uint16Array;
  count: number;
}

export interface BitWriter {
  bits(value: number, length: number): void;
  /** To the next whole byte. */
  align(): void;
  bytes(bytes: Uint8Array): void;
  finish(): Uint8Array;
}

export function createBitWriter(expected: number): BitWriter {
  let out = new Uint8Array(Math.max(1024, expected));
  let at = 0;
  let held = 0;
  let heldBits = 0;
  const room = (bytes: number): void => {
    if (at + bytes <= out.length) return;
    const larger = new Uint8Array(Math.max(out.length * 2, at + bytes));
    larger.set(out);
    out = larger;
  };
  const align = (): void => {
    if (heldBits > 0) {
      room(1);
      out[at++] = held & 0xff;
    }
    held = 0;
    heldBits = 0;
  };
  return {
    bits(value, length) {
      held |= value << heldBits;
      heldBits += length;
      room(4);
      while (heldBits >= 8) {
        out[at++] = held & 0xff;
        held >>>= 8;
        heldBits -= 8;
      }
    },
    align,
    bytes(bytes) {
      room(bytes.length);
      out.set(bytes, at);
      at += bytes.length;
    },
    finish() {
      align();
      return out.subarray(0, at);
    },
  };
}

const LITERALS = 256;
const END = 256;
const L_CODES = 286;
const D_CODES = 30;
const BL_CODES = 19;
const HEAP_SIZE = 2 * L_CODES + 1;

const EXTRA_LENGTH = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const EXTRA_DISTANCE = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const EXTRA_BL = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];
const BL_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const BASE_LENGTH: number[] = [];
const LENGTH_CODE = new Uint8Array(256);
const BASE_DISTANCE: number[] = [];
const DISTANCE_CODE = new Uint8Array(32_768);
for (let code = 0, length = 0; code < EXTRA_LENGTH.length - 1; code++) {
  BASE_LENGTH.push(length);
  for (let n = 0; n < 1 << EXTRA_LENGTH[code]!; n++) LENGTH_CODE[length++] = code;
}
BASE_LENGTH.push(0);
LENGTH_CODE[255] = 28; // 258 has a code of its own
for (let code = 0, distance = 0; code < D_CODES; code++) {
  BASE_DISTANCE.push(distance);
  for (let n = 0; n < 1 << EXTRA_DISTANCE[code]!; n++) DISTANCE_CODE[distance++] = code;
}

/** A tree: of each symbol how often it is there, and its code. */
interface Tree {
  frequency: Uint32Array;
  length: Uint16Array;
  code: Uint16Array;
  max: number;
}

interface Description {
  symbols: number;
  extra: readonly number[];
  extraFrom: number;
  maxLength: number;
  fixed: Uint16Array | null;
}

/** Bits of a block with trees of its own, and with the fixed ones. */
interface Cost {
  own: number;
  fixed: number;
}

const makeTree = (symbols: number): Tree => ({
  frequency: new Uint32Array(2 * symbols + 1),
  length: new Uint16Array(2 * symbols + 2),
  code: new Uint16Array(symbols),
  max: -1,
});

const FIXED_LITERALS = makeTree(L_CODES + 2);
FIXED_LITERALS.length.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288);
const FIXED_DISTANCES = makeTree(D_CODES);
FIXED_DISTANCES.length.fill(5, 0, D_CODES);
assignCodes(FIXED_LITERALS, L_CODES + 1);
assignCodes(FIXED_DISTANCES, D_CODES - 1);

const LITERAL_TREE: Description = {
  symbols: L_CODES,
  extra: EXTRA_LENGTH,
  extraFrom: LITERALS + 1,
  maxLength: 15,
  fixed: FIXED_LITERALS.length,
};
const DISTANCE_TREE: Description = {
  symbols: D_CODES,
  extra: EXTRA_DISTANCE,
  extraFrom: 0,
  maxLength: 15,
  fixed: FIXED_DISTANCES.length,
};
const BL_TREE: Description = { symbols: BL_CODES, extra: EXTRA_BL, extraFrom: 0, maxLength: 7, fixed: null };

/** Canonical codes for the lengths, bits reversed as deflate writes them. */
function assignCodes(tree: Tree, max: number): void {
  const counts = new Uint16Array(17);
  for (let n = 0; n <= max; n++) if (tree.length[n]! > 0) counts[tree.length[n]!]!++;
  const next = new Uint16Array(17);
  for (let bits = 1, code = 0; bits <= 15; bits++) {
    code = (code + counts[bits - 1]!) << 1;
    next[bits] = code;
  }
  for (let n = 0; n <= max; n++) {
    const length = tree.length[n]!;
    if (length === 0) continue;
    let code = next[length]!++;
    let reversed = 0;
    for (let bit = 0; bit < length; bit++, code >>= 1) reversed = (reversed << 1) | (code & 1);
    tree.code[n] = reversed;
  }
}

/** Chooses the lengths of a tree's codes. */
function build(tree: Tree, about: Description, cost: Cost): void {
  const { frequency, length } = tree;
  const heap = new Int32Array(HEAP_SIZE);
  const depth = new Uint8Array(2 * about.symbols + 1);
  const parent = new Uint16Array(2 * about.symbols + 1);
  let heapLength = 0;
  let heapMax = HEAP_SIZE;
  tree.max = -1;
  for (let n = 0; n < about.symbols; n++) {
    if (frequency[n] === 0) length[n] = 0;
    else {
      heap[++heapLength] = n;
      tree.max = n;
    }
  }
  // at least two codes, for decoders that want them
  while (heapLength < 2) {
    const node = tree.max < 2 ? ++tree.max : 0;
    heap[++heapLength] = node;
    frequency[node] = 1;
    cost.own--;
    if (about.fixed !== null) cost.fixed -= about.fixed[node]!;
  }
  const smaller = (n: number, m: number): boolean =>
    frequency[n]! < frequency[m]! || (frequency[n] === frequency[m] && depth[n]! <= depth[m]!);
  const down = (from: number): void => {
    let place = from;
    const value = heap[place]!;
    for (let child = place << 1; child <= heapLength; child <<= 1) {
      if (child < heapLength && smaller(heap[child + 1]!, heap[child]!)) child++;
      if (smaller(value, heap[child]!)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = value;
  };
  for (let n = heapLength >> 1; n >= 1; n--) down(n);
  let node = about.symbols;
  do {
    const n = heap[1]!;
    heap[1] = heap[heapLength--]!;
    down(1);
    const m = heap[1]!;
    heap[--heapMax] = n;
    heap[--heapMax] = m;
    frequency[node] = frequency[n]! + frequency[m]!;
    depth[node] = Math.max(depth[n]!, depth[m]!) + 1;
    parent[n] = node;
    parent[m] = node;
    heap[1] = node++;
    down(1);
  } while (heapLength >= 2);
  heap[--heapMax] = heap[1]!;
  measure(tree, about, cost, { heap, heapMax, parent });
  assignCodes(tree, tree.max);
}

function measure(
  { frequency, length, max }: Tree,
  { extra, extraFrom, maxLength, fixed }: Description,
  cost: Cost,
  { heap, heapMax, parent }: { heap: Int32Array; heapMax: number; parent: Uint16Array },
): void {
  const counts = new Int32Array(17);
  let overflow = 0;
  length[heap[heapMax]!] = 0;
  for (let h = heapMax + 1; h < HEAP_SIZE; h++) {
    const n = heap[h]!;
    let bits = length[parent[n]!]! + 1;
    if (bits > maxLength) {
      bits = maxLength;
      overflow++;
    }
    length[n] = bits;
    if (n > max) continue;
    counts[bits]!++;
    const more = n >= extraFrom ? extra[n - extraFrom]! : 0;
    cost.own += frequency[n]! * (bits + more);
    if (fixed !== null) cost.fixed += frequency[n]! * (fixed[n]! + more);
  }
  if (overflow === 0) return;
  for (; overflow > 0; overflow -= 2) {
    let bits = maxLength - 1;
    while (counts[bits] === 0) bits--;
    counts[bits]!--;
    counts[bits + 1]! += 2;
    counts[maxLength]!--;
  }
  let h = HEAP_SIZE;
  for (let bits = maxLength; bits !== 0; bits--) {
    for (let n = counts[bits]!; n !== 0; ) {
      const m = heap[--h]!;
      if (m > max) continue;
      cost.own += (bits - length[m]!) * frequency[m]!;
      length[m] = bits;
      n--;
    }
  }
}

/** The lengths of a tree's codes as run lengths: a code length, or 16 to 18 with a count. */
function* runs({ length, max }: Tree): Generator<readonly [symbol: number, extra: number, bits: number]> {
  let before = -1;
  for (let n = 0; n <= max; ) {
    const current = length[n]!;
    const most = current === 0 ? 138 : current === before ? 6 : 7;
    const least = current !== 0 && current !== before ? 4 : 3;
    let count = 1;
    while (count < most && n + count <= max && length[n + count] === current) count++;
    n += count;
    if (count < least) for (; count > 0; count--) yield [current, 0, 0];
    else if (current !== 0) {
      if (current !== before) {
        yield [current, 0, 0];
        count--;
      }
      yield [16, count - 3, 2];
    } else if (count <= 10) yield [17, count - 3, 3];
    else yield [18, count - 11, 7];
    before = current;
  }
}

/** Writes a block in the way that is the shortest. */
export function writeBlock(out: BitWriter, symbols: Trees, bytes: Uint8Array, last: boolean): void {
  const literals = makeTree(L_CODES);
  const distances = makeTree(D_CODES);
  const lengths = makeTree(BL_CODES);
  literals.frequency[END] = 1;
  for (let i = 0; i < symbols.count; i++) {
    const distance = symbols.distances[i]!;
    const literal = symbols.literals[i]!;
    if (distance === 0) literals.frequency[literal]!++;
    else {
      literals.frequency[LENGTH_CODE[literal]! + LITERALS + 1]!++;
      distances.frequency[DISTANCE_CODE[distance - 1]!]!++;
    }
  }
  const cost: Cost = { own: 0, fixed: 0 };
  build(literals, LITERAL_TREE, cost);
  build(distances, DISTANCE_TREE, cost);
  for (const tree of [literals, distances]) for (const [symbol] of runs(tree)) lengths.frequency[symbol]!++;
  build(lengths, BL_TREE, cost);
  let orders = BL_CODES;
  while (orders > 4 && lengths.length[BL_ORDER[orders - 1]!] === 0) orders--;
  cost.own += 3 * orders + 5 + 5 + 4;
  const fixed = (cost.fixed + 3 + 7) >>> 3;
  const shortest = Math.min((cost.own + 3 + 7) >>> 3, fixed);
  if (bytes.length + 4 <= shortest) {
    out.bits(Number(last), 3);
    out.align();
    out.bits(bytes.length, 16);
    out.bits(~bytes.length & 0xffff, 16);
    out.bytes(bytes);
  } else if (fixed === shortest) {
    out.bits(2 + Number(last), 3);
    writeSymbols(out, symbols, FIXED_LITERALS, FIXED_DISTANCES);
  } else {
    out.bits(4 + Number(last), 3);
    out.bits(literals.max + 1 - 257, 5);
    out.bits(distances.max, 5);
    out.bits(orders - 4, 4);
    for (let i = 0; i < orders; i++) out.bits(lengths.length[BL_ORDER[i]!]!, 3);
    for (const tree of [literals, distances]) {
      for (const [symbol, extra, bits] of runs(tree)) {
        out.bits(lengths.code[symbol]!, lengths.length[symbol]!);
        if (bits > 0) out.bits(extra, bits);
      }
    }
    writeSymbols(out, symbols, literals, distances);
  }
}

function writeSymbols(out: BitWriter, symbols: Trees, literals: Tree, distances: Tree): void {
  for (let i = 0; i < symbols.count; i++) {
    const distance = symbols.distances[i]!;
    const literal = symbols.literals[i]!;
    if (distance === 0) {
      out.bits(literals.code[literal]!, literals.length[literal]!);
      continue;
    }
    const length = LENGTH_CODE[literal]!;
    out.bits(literals.code[length + LITERALS + 1]!, literals.length[length + LITERALS + 1]!);
    if (EXTRA_LENGTH[length]! > 0) out.bits(literal - BASE_LENGTH[length]!, EXTRA_LENGTH[length]!);
    const code = DISTANCE_CODE[distance - 1]!;
    out.bits(distances.code[code]!, distances.length[code]!);
    if (EXTRA_DISTANCE[code]! > 0) out.bits(distance - 1 - BASE_DISTANCE[code]!, EXTRA_DISTANCE[code]!);
  }
  out.bits(literals.code[END]!, literals.length[END]!);
}
