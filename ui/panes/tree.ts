import { widthOf } from '../../src/commands/columns.ts';
import { showsRow } from '../hits.ts';
import type { Action } from '../keymap.ts';
import { moveList, settle } from '../list.ts';
import { moveOf } from '../moves.ts';
import { highlighted } from '../paint.ts';
import type { Env, Screen, Step, StepOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { emphasise, NOT_SEARCHED, textOfLine } from '../search.ts';
import { type Line, line, span, wrapText } from '../text.ts';
import {
  foldOrLeave,
  openTree,
  rebuildTree,
  searchTree,
  type TreeNode,
  type TreeRow,
  type TreeState,
  toggle,
  toggleAll,
} from '../tree.ts';

/** A tree as a pane: unfold, search, and the whole of a long value under it. */

export interface TreePaneOptions {
  /** Of a screen of its own. */
  title?: string;
  roots: readonly TreeNode[];
  /** Unfolded at the start. */
  levels?: number;
  /** The roots as the capture has them now; `null`: unchanged. */
  reread?(env: Env): readonly TreeNode[] | null;
  /** What enter does on a row, before it unfolds. */
  open?(node: TreeNode, env: Env): Step | null;
  /** Lines when there are no roots. */
  empty?: (env: Env) => readonly Line[];
}

interface Tree {
  readonly options: TreePaneOptions;
  readonly tree: TreeState;
  readonly query: string;
  /** The whole value of the cursor's row is shown below when it was cut. */
  readonly whole: boolean;
}

/** Lines that the whole of a cut value takes at most. */
const WHOLE_LINES = 6;

const VIEW: View<Tree> = {
  scopes: () => ['tree'],
  title: ({ options }) => options.title ?? '',
  act(state, action, env) {
    const { tree } = state;
    const height = treeHeight(state, env);
    const set = (next: TreeState): StepOf<Tree> => ({
      state: { ...state, tree: { ...next, place: settle(next.place, next.rows.length, height) } },
    });
    const move = moveOf(action);
    if (move !== null) return set({ ...tree, place: moveList(tree.place, move, tree.rows.length, height) });
    const row = tree.rows[tree.place.cursor];
    switch (action.name) {
      case 'open': {
        const step = row === undefined ? null : (state.options.open?.(row.node, env) ?? null);
        if (step !== null) return step;
        if (row?.folded === null) return { say: { text: 'there is nothing below this row', kind: 'info' } };
        return set(toggle(tree, tree.place.cursor));
      }
      case 'fold':
        return set(row?.folded === null ? foldOrLeave(tree) : toggle(tree, tree.place.cursor));
      case 'right':
        return set(
          row?.folded === true
            ? toggle(tree, tree.place.cursor)
            : { ...tree, place: moveList(tree.place, 'down', tree.rows.length, height) },
        );
      case 'left':
        return set(foldOrLeave(tree));
      case 'fold-all':
        return set(toggleAll(tree));
      case 'wrap':
        return { state: { ...state, whole: !state.whole } };
      case 'search':
      case 'next-match':
      case 'previous-match':
        return searched(state, action, set);
      default:
        return null;
    }
  },
  refresh(state, env) {
    const roots = state.options.reread?.(env) ?? null;
    return roots === null ? state : { ...state, tree: rebuildTree(state.tree, roots) };
  },
  draw(state, env) {
    const { tree, options, query } = state;
    if (tree.rows.length === 0) return options.empty?.(env) ?? [line(' nothing here', 'dim')];
    const height = treeHeight(state, env);
    const place = settle(tree.place, tree.rows.length, height);
    const rows = tree.rows.slice(place.top, place.top + height).map((row, i): Line => {
      const drawn = drawRow(row, env);
      const cursor = place.top + i === place.cursor && !env.unfocused;
      const look = cursor
        ? highlighted([span(env.theme.signs.cursor), ...drawn.slice(1)], env.size.columns, 'selected')
        : emphasise(drawn, query);
      return showsRow(look, place.top + i);
    });
    const whole = wholeOf(state, env);
    if (whole.length === 0) return rows;
    const blank = Array.from({ length: Math.max(0, height - rows.length) }, () => line(''));
    return [
      ...rows,
      ...blank,
      line(env.theme.signs.rule.repeat(env.size.columns), 'dim'),
      ...whole.map(text => line(` ${text}`)),
    ];
  },
  status: ({ tree, query }) =>
    `${query === '' ? '' : `/${query}  `}${tree.rows.length === 0 ? '' : `${tree.place.cursor + 1} of ${tree.rows.length} `}`,
};

function drawRow(row: TreeRow, { theme }: Env): Line {
  const sign = row.folded === null ? ' ' : row.folded ? theme.signs.folded : theme.signs.open;
  return [span(' '), span(`${'  '.repeat(Math.min(row.depth, 20))}${sign} `, 'dim'), ...row.node.label];
}

/** The text of the cursor's row in lines, when the row cannot hold it. */
function wholeOf(state: Tree, env: Env): string[] {
  const row = state.tree.rows[state.tree.place.cursor];
  if (!state.whole || row === undefined || env.size.rows < 8 || env.unfocused) return [];
  const { columns } = env.size;
  const drawn = textOfLine(drawRow(row, env));
  const text = drawn.trimStart();
  // What is far longer than the line need not be measured.
  if (text.length <= columns / 2 || (text.length <= columns * 8 && widthOf(drawn) <= columns)) return [];
  return wrapText(text, env.size.columns - 2, Math.min(WHOLE_LINES, Math.floor(env.size.rows / 3)));
}

function treeHeight(state: Tree, env: Env): number {
  const whole = wholeOf(state, env).length;
  return Math.max(1, env.size.rows - (whole === 0 ? 0 : whole + 1));
}

function searched(state: Tree, action: Action, set: (next: TreeState) => StepOf<Tree>): StepOf<Tree> {
  const query = action.name === 'search' ? (action.argument ?? '') : state.query;
  if (query === '') return { state: { ...state, query }, ...(action.name !== 'search' && { say: NOT_SEARCHED }) };
  const found = searchTree(state.tree, query, action.name === 'previous-match' ? -1 : 1, action.name === 'search');
  if (found === null) return { state: { ...state, query }, say: { text: `${query} is nowhere here`, kind: 'info' } };
  return { state: { ...set(found).state!, query } };
}

export function treePane(options: TreePaneOptions): Screen {
  return screenOf(VIEW, { options, tree: openTree(options.roots, options.levels ?? 1), query: '', whole: true });
}
