import { LIST_START, type ListState } from './list.ts';
import { matcher, textOfLine } from './search.ts';
import { type Line, span } from './text.ts';

/** A tree that is unfolded where somebody looks: what is folded is not even made. Pure; panes/tree.ts shows it. */
export interface TreeNode {
  /** Unique among its siblings, and the same when the tree is made again. */
  readonly key: string;
  readonly label: Line;
  /** Absent: a leaf. */
  readonly kids?: () => readonly TreeNode[];
  /** Unfolded from the start. */
  readonly expanded?: boolean;
  /** What the row is about, for whoever made the tree. */
  readonly ref?: number;
}

export interface TreeRow {
  readonly node: TreeNode;
  readonly path: string;
  readonly depth: number;
  /** `null`: a leaf. */
  readonly folded: boolean | null;
}

export interface TreeState {
  /** Unfolded where nobody has said otherwise. */
  readonly levels: number;
  readonly rows: readonly TreeRow[];
  readonly place: ListState;
}

/** Rows of one tree that are unfolded; nobody reads more, and each frame must stay cheap. */
const MAX_ROWS = 200_000;
/** Nodes that one search looks at. */
const MAX_SEARCHED = 500_000;

function rowsOf(
  nodes: readonly TreeNode[],
  depth: number,
  parent: string,
  isOpen: (path: string, depth: number, node: TreeNode) => boolean,
  limit: number,
): TreeRow[] {
  const rows: TreeRow[] = [];
  for (const node of nodes) {
    if (rows.length >= limit) break;
    const path = `${parent}\0${node.key}`;
    const open = node.kids !== undefined && isOpen(path, depth, node);
    rows.push({ node, path, depth, folded: node.kids === undefined ? null : !open });
    if (open && node.kids !== undefined) {
      for (const row of rowsOf(node.kids(), depth + 1, path, isOpen, limit - rows.length)) rows.push(row);
    }
  }
  return rows;
}

/** @param levels unfolded at the start */
export function openTree(roots: readonly TreeNode[], levels: number): TreeState {
  return { levels, rows: rowsOf(roots, 0, '', (_, depth, node) => node.expanded ?? depth < levels, MAX_ROWS), place: LIST_START };
}

/** The tree made anew, unfolded where it was, and what is new as it is at the start; the cursor on the same node. */
export function rebuildTree(state: TreeState, roots: readonly TreeNode[]): TreeState {
  const folded = new Map(state.rows.map(row => [row.path, row.folded]));
  const isOpen = (path: string, depth: number, node: TreeNode): boolean => {
    const before = folded.get(path) ?? null;
    return before === null ? (node.expanded ?? depth < state.levels) : !before;
  };
  const rows = rowsOf(roots, 0, '', isOpen, MAX_ROWS);
  const at = state.rows[state.place.cursor]?.path;
  const cursor = rows.findIndex(row => row.path === at);
  return { ...state, rows, place: { ...state.place, cursor: cursor < 0 ? state.place.cursor : cursor } };
}

/** Folds or unfolds a row. */
export function toggle(state: TreeState, index: number): TreeState {
  const row = state.rows[index];
  if (row === undefined || row.folded === null) return state;
  const before = state.rows.slice(0, index);
  const end = endOf(state.rows, index);
  if (!row.folded) return { ...state, rows: [...before, { ...row, folded: true }, ...state.rows.slice(end)] };
  const kids = rowsOf(row.node.kids?.() ?? [], row.depth + 1, row.path, () => false, MAX_ROWS - state.rows.length);
  return { ...state, rows: [...before, { ...row, folded: false }, ...kids, ...state.rows.slice(end)] };
}

/** Behind the last row that is below this one. */
function endOf(rows: readonly TreeRow[], index: number): number {
  const depth = rows[index]!.depth;
  let end = index + 1;
  while (end < rows.length && rows[end]!.depth > depth) end += 1;
  return end;
}

/** Folds this row; of one that is folded or a leaf, goes to its parent. */
export function foldOrLeave(state: TreeState): TreeState {
  const { cursor } = state.place;
  const row = state.rows[cursor];
  if (row === undefined) return state;
  if (row.folded === false) return toggle(state, cursor);
  for (let i = cursor - 1; i >= 0; i -= 1) {
    if (state.rows[i]!.depth < row.depth) return { ...state, place: { ...state.place, cursor: i } };
  }
  return state;
}

/** Folds everything when anything below the roots is unfolded, else unfolds all there is room for. */
export function toggleAll(state: TreeState): TreeState {
  const roots = state.rows.filter(row => row.depth === 0).map(row => row.node);
  const anyOpen = state.rows.some(row => row.folded === false);
  return { ...state, rows: rowsOf(roots, 0, '', () => !anyOpen, MAX_ROWS), place: LIST_START };
}

/**
 * The next node that matches, also where it is folded, which unfolds the way to it. `null`: there is none.
 *
 * @param inclusive the row under the cursor may be it
 */
export function searchTree(state: TreeState, query: string, by: 1 | -1, inclusive: boolean): TreeState | null {
  const matches = matcher(query);
  const { rows } = state;
  const budget = { left: MAX_SEARCHED };
  const count = rows.length;
  if (count === 0) return null;
  for (let i = inclusive ? 0 : by === 1 ? 0 : 1; i <= count; i += 1) {
    const index = (((state.place.cursor + i * by) % count) + count) % count;
    const row = rows[index]!;
    const self = !(i === 0 && !inclusive) && matches(textOfLine(row.node.label));
    // Below a row comes behind it: forward the row is first, backward what is below it.
    if (by === 1 && self) return placed(state, index);
    const inner = row.folded === true && !(by === -1 && i === 0) ? inside(row.node, matches, by, budget) : null;
    if (inner !== null) return unfoldTo(state, index, inner);
    if (by === -1 && self) return placed(state, index);
  }
  return null;
}

function placed(state: TreeState, cursor: number): TreeState {
  return { ...state, place: { ...state.place, cursor } };
}

/** Keys of the way from a node to the first (last) match below it. */
function inside(node: TreeNode, matches: (text: string) => boolean, by: 1 | -1, budget: { left: number }): string[] | null {
  const kids = node.kids?.() ?? [];
  for (let i = 0; i < kids.length; i += 1) {
    const kid = kids[by === 1 ? i : kids.length - 1 - i]!;
    budget.left -= 1;
    if (budget.left < 0) return null;
    if (by === 1 && matches(textOfLine(kid.label))) return [kid.key];
    const below = kid.kids === undefined ? null : inside(kid, matches, by, budget);
    if (below !== null) return [kid.key, ...below];
    if (by === -1 && matches(textOfLine(kid.label))) return [kid.key];
  }
  return null;
}

function unfoldTo(state: TreeState, index: number, keys: readonly string[]): TreeState {
  let next = state;
  let at = index;
  for (const key of keys) {
    if (next.rows[at]?.folded === true) next = toggle(next, at);
    const end = endOf(next.rows, at);
    const depth = next.rows[at]!.depth + 1;
    const found = next.rows.findIndex((row, i) => i > at && i < end && row.depth === depth && row.node.key === key);
    if (found < 0) return placed(next, at);
    at = found;
  }
  return placed(next, at);
}

/** Nodes of what is known of something, without what is not. */
export function leavesOf(facts: readonly [string, string | null][]): TreeNode[] {
  return facts.flatMap(([name, value]): TreeNode[] =>
    value === null ? [] : [{ key: name, label: [span(`${name}: `, 'name'), span(value)] }],
  );
}
