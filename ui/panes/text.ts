import { moveList, settle, stepOf } from '../list.ts';
import { moveOf } from '../moves.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf, stateIn } from '../screen.ts';
import { emphasise, matcher, NOT_SEARCHED, nextMatch, textOfLine } from '../search.ts';
import type { Line } from '../text.ts';

/** Lines to read, for a pane or a screen of its own: scroll and search. */
export interface TextPaneOptions {
  title?: string;
  /** Made anew for each width. */
  lines(columns: number): readonly Line[];
  /** Whether the lines may differ after the capture has grown. */
  changing?: boolean;
}

interface Text {
  readonly options: TextPaneOptions;
  readonly made: { readonly columns: number; readonly lines: readonly Line[] };
  readonly top: number;
  readonly query: string;
  readonly match: number | null;
}

const VIEW: View<Text> = {
  scopes: () => ['text'],
  title: ({ options }) => options.title ?? '',
  act(before, action, env) {
    const state = madeFor(before, env);
    const { lines } = state.made;
    const move = moveOf(action);
    if (move !== null) {
      // The text moves, not a cursor in it.
      const last = Math.max(1, lines.length - env.size.rows + 1);
      const step = stepOf(move, env.size.rows);
      const to = step === null ? move : { to: state.top + step };
      return { state: { ...state, top: moveList({ cursor: state.top, top: state.top }, to, last, 1).cursor } };
    }
    if (action.name !== 'search' && action.name !== 'next-match' && action.name !== 'previous-match') return null;
    const query = action.name === 'search' ? (action.argument ?? '') : state.query;
    if (query === '') return { state: { ...state, query, match: null }, ...(action.name !== 'search' && { say: NOT_SEARCHED }) };
    const matches = matcher(query);
    const by = action.name === 'previous-match' ? -1 : 1;
    const start = action.name === 'search' ? state.top : (state.match ?? state.top) + by;
    const found = nextMatch(lines.length, start, by, i => matches(textOfLine(lines[i]!)));
    if (found === null)
      return { state: { ...state, query, match: null }, say: { text: `${query} is nowhere here`, kind: 'info' } };
    const shown = found >= state.top && found < state.top + env.size.rows;
    const top = shown ? state.top : settle({ cursor: found, top: found - 2 }, lines.length, env.size.rows).top;
    return { state: { ...state, query, match: found, top } };
  },
  refresh: (state, env) => (state.options.changing ? made(state, env.size.columns) : state),
  draw(before, env) {
    const state = madeFor(before, env);
    const { top } = settle({ cursor: state.top, top: state.top }, state.made.lines.length, env.size.rows);
    return state.made.lines.slice(top, top + env.size.rows).map(text => emphasise(text, state.query));
  },
  status(before, env) {
    const { made, top, query } = madeFor(before, env);
    const place =
      made.lines.length <= env.size.rows
        ? ''
        : `lines ${top + 1} to ${Math.min(made.lines.length, top + env.size.rows)} of ${made.lines.length} `;
    return `${query === '' ? '' : `/${query}  `}${place}`;
  },
};

function made(state: Text, columns: number): Text {
  return { ...state, made: { columns, lines: state.options.lines(columns) } };
}

function madeFor(state: Text, env: Env): Text {
  return state.made.columns === env.size.columns ? state : made(state, env.size.columns);
}

/** @param before another that it takes the place of, with what is searched, and where it was read */
export function textPane(options: TextPaneOptions, env: Env, before: Screen | null = null): Screen {
  const { columns } = env.size;
  const known = before === null ? null : stateIn(VIEW, before);
  const place = known ?? { top: 0, query: '', match: null };
  return screenOf(VIEW, { ...place, options, made: { columns, lines: options.lines(columns) } });
}
