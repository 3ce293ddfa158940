import { showsRow } from '../hits.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { moveOf } from '../moves.ts';
import type { Env, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { emphasise, matcher, NOT_SEARCHED, nextMatch } from '../search.ts';
import { type Column, headOf, layoutOf, rowOf } from '../table.ts';
import { type Line, line, span, wrapText } from '../text.ts';
import { textPane } from './text.ts';

/** A list of rows that are all at hand, as a pane: search, the whole of the cursor's row below, and enter for all of it. */
export interface TablePaneOptions<Row> {
  rows: readonly Row[];
  columns(env: Env): Column<Row>[];
  /** The rows as the capture has them now; `null`: unchanged. */
  reread?(env: Env): readonly Row[] | null;
  /** What is worth knowing of a row: shown under the list while the cursor is on it, and by enter. */
  details(row: Row): readonly (readonly [name: string, value: string])[];
  title(row: Row): string;
  /** In place of the details on a screen of their own. */
  open?(row: Row, env: Env): Step | null;
  /** What opens has all of the details. */
  opensAll?: true;
  isProblem?(row: Row): boolean;
  empty(env: Env): readonly Line[];
  /** So many rows are read at most. */
  most?: number;
}

interface Table<Row> {
  readonly options: TablePaneOptions<Row>;
  readonly rows: readonly Row[];
  readonly place: ListState;
  readonly query: string;
  readonly whole: boolean;
}

/** Lines below the list that tell of the cursor's row, at least. */
const DETAIL_LINES = 5;
/** Lines of the list, at least: what is below must not jump with each new row of a run that goes on. */
const LIST_LINES = 8;

/** The cursor's row has the room that a short list leaves. */
function heightOf(state: { whole: boolean; rows: readonly unknown[] }, env: Env): number {
  if (!state.whole || env.size.rows < 14) return Math.max(1, env.size.rows - 1);
  return Math.max(1, Math.min(env.size.rows - 2 - DETAIL_LINES, Math.max(LIST_LINES, state.rows.length)));
}

function viewOf<Row>(): View<Table<Row>> {
  return {
    scopes: ({ options }) => (options.isProblem === undefined ? ['table'] : ['table', 'problems']),
    title: () => '',
    act(state, action, env) {
      const height = heightOf(state, env);
      const { rows, options } = state;
      const to = (cursor: number): Table<Row> => ({
        ...state,
        place: moveList(state.place, { to: cursor }, rows.length, height),
      });
      const move = moveOf(action);
      if (move !== null) return { state: { ...state, place: moveList(state.place, move, rows.length, height) } };
      const row = rows[state.place.cursor];
      switch (action.name) {
        case 'open':
          if (row === undefined) return {};
          return (
            options.open?.(row, env) ?? {
              push: textPane({ title: options.title(row), lines: columns => detailLines(options.details(row), columns) }, env),
            }
          );
        case 'wrap':
          return { state: { ...state, whole: !state.whole } };
        case 'next-problem':
        case 'previous-problem': {
          const by = action.name === 'next-problem' ? 1 : -1;
          const found = nextMatch(rows.length, state.place.cursor + by, by, i => options.isProblem?.(rows[i]!) ?? false);
          return found === null ? { say: { text: 'no problem in this list', kind: 'info' } } : { state: to(found) };
        }
        case 'search':
        case 'next-match':
        case 'previous-match': {
          const query = action.name === 'search' ? (action.argument ?? '') : state.query;
          if (query === '') return { state: { ...state, query }, ...(action.name !== 'search' && { say: NOT_SEARCHED }) };
          const by = action.name === 'previous-match' ? -1 : 1;
          const matches = matcher(query);
          const start = state.place.cursor + (action.name === 'search' ? 0 : by);
          const found = nextMatch(rows.length, start, by, i => options.details(rows[i]!).some(([, value]) => matches(value)));
          if (found === null) return { state: { ...state, query }, say: { text: `${query} is nowhere here`, kind: 'info' } };
          return { state: { ...to(found), query } };
        }
        default:
          return null;
      }
    },
    refresh(state, env) {
      const rows = state.options.reread?.(env) ?? null;
      return rows === null
        ? state
        : { ...state, rows, place: settle(state.place, rows.length, heightOf({ ...state, rows }, env)) };
    },
    draw(state, env) {
      const { rows, options, query } = state;
      if (rows.length === 0) return options.empty(env);
      const height = heightOf(state, env);
      const place = settle(state.place, rows.length, height);
      const layout = layoutOf(options.columns(env), env.size.columns);
      const shown = rows.slice(place.top, place.top + height).map((row, i): Line => {
        const drawn = rowOf(layout, row, { cursor: place.top + i === place.cursor, signs: env.theme.signs });
        return showsRow(place.top + i === place.cursor ? drawn : emphasise(drawn, query), place.top + i);
      });
      const list = [headOf(layout), ...shown];
      const current = rows[place.cursor];
      if (height + 1 >= env.size.rows || current === undefined) return list;
      const blank = Array.from({ length: height + 1 - list.length }, () => line(''));
      const room = env.size.rows - height - 2;
      const below = detailLines(options.details(current), env.size.columns, room + 1);
      const more =
        below.length <= room ? '' : options.open === undefined || options.opensAll ? ' enter shows all ' : ' there is more ';
      const rule = line(`${env.theme.signs.rule.repeat(env.size.columns - more.length)}${more}`, 'dim');
      return [...list, ...blank, rule, ...below.slice(0, room)];
    },
    status({ rows, place, query, options: { most } }) {
      const left = most !== undefined && rows.length >= most ? ', more are not shown' : '';
      return `${query === '' ? '' : `/${query}  `}${rows.length === 0 ? '' : `${place.cursor + 1} of ${rows.length}${left} `}`;
    },
  };
}

/** Lines of one value without a line end, at most, and of all of them. */
const VALUE_LINES = 500;
const MOST_LINES = 100_000;

/**
 * `name  value` lines; a long value goes on in the next line with the same indent.
 *
 * @param limit lines that are wanted: of a value of megabytes no more is looked at
 */
export function detailLines(
  details: readonly (readonly [name: string, value: string])[],
  columns: number,
  limit = MOST_LINES,
): Line[] {
  const width = Math.max(4, ...details.map(([name]) => name.length));
  const most = Math.min(limit, VALUE_LINES);
  const lines: Line[] = [];
  for (const [name, value] of details) {
    let shown = name;
    for (const part of value.split('\n', limit)) {
      for (const text of wrapText(part.replaceAll('\t', '    '), columns - width - 4, most)) {
        lines.push([span(` ${shown.padEnd(width)}  `, 'dim'), span(text, 'value')]);
        shown = '';
      }
      if (lines.length >= limit) return lines;
    }
  }
  return lines;
}

export function tablePane<Row>(options: TablePaneOptions<Row>): Screen {
  return screenOf(viewOf<Row>(), { options, rows: options.rows, place: LIST_START, query: '', whole: true });
}
