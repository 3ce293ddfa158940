import type { ExchangeFilter, ExchangeRow } from '../../src/capture/store.ts';
import { exchangeColumns, isProblem } from '../exchange-cells.ts';
import { emptyLines } from '../frame.ts';
import { moveOf } from '../moves.ts';
import { followsAfter, placeText } from '../place.ts';
import type { Env, Screen, StepOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { headOf, layoutOf, rowOf } from '../table.ts';
import type { Line } from '../text.ts';
import { nextTime, type TimeColumn } from '../time.ts';
import {
  currentRow,
  moveWindow,
  type Pages,
  type PageWindow,
  refreshWindow,
  windowAround,
  windowAtEnd,
  windowAtStart,
} from '../window.ts';
import { openExchange } from './exchange.ts';

/** Every request of the capture, also those that belong to no run. */
interface Requests {
  readonly filter: ExchangeFilter;
  readonly newestFirst: boolean;
  readonly follow: boolean;
  readonly time: TimeColumn;
  readonly window: PageWindow<ExchangeRow>;
}

const pagesOf = ({ filter, newestFirst }: Requests, env: Env): Pages<ExchangeRow> => env.source.requests(filter, newestFirst);
/** Rows of the list: its head takes one. */
const heightOf = (env: Env): number => Math.max(1, env.size.rows - 1);
/** Rows that one look for a problem goes through before it lets go. */
const LOOK_ROWS = 400;

const VIEW: View<Requests> = {
  scopes: () => ['requests', 'list'],
  title: () => 'requests',
  act(state, action, env) {
    const pages = pagesOf(state, env);
    const move = moveOf(action);
    if (move !== null) {
      const window = moveWindow(state.window, pages, move, heightOf(env));
      return { state: { ...state, window, follow: followsAfter(state, move) } };
    }
    switch (action.name) {
      case 'open': {
        const row = currentRow(state.window);
        return row === null ? {} : openExchange(row.id, env);
      }
      case 'follow':
        return following(state, env);
      case 'reverse':
        return { state: opened({ ...state, newestFirst: !state.newestFirst, follow: false }, env) };
      case 'time':
        return { state: { ...state, time: nextTime(state.time) } };
      case 'next-problem':
      case 'previous-problem':
        return lookForProblem(state, action.name === 'next-problem', env);
      default:
        return null;
    }
  },
  refresh(state, env) {
    const follow = state.follow && !state.newestFirst;
    if (state.follow && state.newestFirst) return { ...state, window: windowAtStart(pagesOf(state, env), heightOf(env)) };
    return { ...state, window: refreshWindow(state.window, pagesOf(state, env), follow, heightOf(env)) };
  },
  draw(state, env) {
    const { window } = state;
    if (window.rows.length === 0) {
      return emptyLines(env, [
        'no requests yet',
        '',
        'requests show here as soon as an agent sends one:',
        'puppet agent --test --server PROXY --serverport PORT',
      ]);
    }
    const before = new Map(window.rows.map((row, i) => [row, window.rows[i + (state.newestFirst ? 1 : -1)] ?? null]));
    const layout = layoutOf(
      exchangeColumns('capture', state.time, row => before.get(row) ?? null, null),
      env.size.columns,
    );
    const shown = window.rows.slice(window.top, window.top + heightOf(env));
    return [
      headOf(layout),
      ...shown.map((row, i): Line => rowOf(layout, row, { cursor: window.top + i === window.cursor, signs: env.theme.signs })),
    ];
  },
  status: state => placeText(state.window, state.follow),
};

function following(state: Requests, env: Env): StepOf<Requests> {
  if (state.follow) return { state: { ...state, follow: false } };
  return { state: opened({ ...state, follow: true }, env) };
}

/** At the newest row when it is followed, else at the start. */
function opened(state: Requests, env: Env): Requests {
  const pages = pagesOf(state, env);
  const atEnd = state.follow && !state.newestFirst;
  return { ...state, window: atEnd ? windowAtEnd(pages, heightOf(env)) : windowAtStart(pages, heightOf(env)) };
}

/** Looks through the rows behind the cursor, in pages, and can be cancelled: a capture may have a million that are fine. */
function lookForProblem(state: Requests, forward: boolean, env: Env): StepOf<Requests> {
  const pages = pagesOf(state, env);
  const from = currentRow(state.window);
  if (from === null) return {};
  const found = (row: ExchangeRow): Requests => ({
    ...state,
    follow: false,
    window: windowAround(pages, pages.key(row), row, heightOf(env)),
  });
  return {
    job: {
      label: forward ? 'looking for the next problem' : 'looking for the problem before',
      async run(report, signal) {
        let key = pages.key(from);
        for (let seen = 0; !signal.aborted; ) {
          const rows = forward ? pages.after(key, LOOK_ROWS) : pages.before(key, LOOK_ROWS).reverse();
          const problem = rows.find(isProblem);
          if (problem !== undefined) return { screen: screenOf(VIEW, found(problem)) };
          const last = rows.at(-1);
          if (last === undefined) return { say: { text: `no problem ${forward ? 'behind' : 'before'} this row`, kind: 'info' } };
          key = pages.key(last);
          seen += rows.length;
          report(`${seen} requests`);
          await new Promise(resolve => setImmediate(resolve));
        }
        return {};
      },
    },
  };
}

export function requestsScreen(env: Env, filter: ExchangeFilter = {}): Screen {
  const live = env.source.isLive();
  const state: Requests = {
    filter,
    newestFirst: false,
    follow: live,
    time: 'clock',
    window: { rows: [], first: 0, atStart: true, atEnd: true, cursor: 0, top: 0 },
  };
  return screenOf(VIEW, opened(state, env));
}
