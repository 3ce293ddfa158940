import { commandsFor, type KeyMap, keysText } from '../keymap.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { moveOf } from '../moves.ts';
import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Line, line, pad, span, wrapText } from '../text.ts';

interface Help {
  lines: readonly Line[];
  place: ListState;
}

const VIEW: View<Help> = {
  scopes: () => ['help'],
  title: () => 'help',
  act({ lines, place }, action, env) {
    const move = moveOf(action);
    if (move === null) return null;
    // The text moves, not a cursor in it.
    const top = moveList({ cursor: place.top, top: place.top }, move, Math.max(1, lines.length - env.size.rows + 1), 1).cursor;
    return { state: { lines, place: { cursor: top, top } } };
  },
  refresh: state => state,
  draw: ({ lines, place }, env) => lines.slice(settle(place, lines.length, env.size.rows).top),
  status: ({ lines, place }, env) =>
    lines.length > env.size.rows ? `${Math.min(lines.length, place.top + env.size.rows)} of ${lines.length} lines` : '',
};

/** The keys of a screen, from the same table that runs them. */
export function helpScreen(screen: Screen, map: KeyMap, env: Env): Screen {
  const scopes = screen.scopes();
  const wide = env.size.columns >= 70;
  const left = wide ? 41 : 15;
  const row = (name: string, keys: string, help: string): Line[] =>
    wrapText(help, env.size.columns - left).map((text, i) =>
      i > 0
        ? [span(`${' '.repeat(left)}${text}`)]
        : [span(` ${pad(keys, wide ? 18 : 12)}  `, 'key'), span(wide ? `${pad(name, 18)}  ` : '', 'name'), span(text)],
    );
  const specs = commandsFor(scopes);
  const rows = (own: boolean): Line[] =>
    specs
      .filter(spec => spec.scopes.includes('any') !== own)
      .flatMap(spec =>
        row(`${spec.name}${spec.argument === undefined ? '' : ` ${spec.argument}`}`, keysText(map, spec.name) || ':', spec.help),
      );
  const own = rows(true);
  const lines: Line[] = [
    line(` Keys of this view: ${screen.title()}`, 'bold'),
    ...(own.length === 0 ? [line('  none of its own', 'dim')] : own),
    line(''),
    line(' Keys of every view', 'bold'),
    ...rows(false),
    line(''),
    ...wrapText('Any command runs by its name after : as well. keys.yaml binds others (docs/ui.md).', env.size.columns - 2).map(
      text => line(` ${text}`, 'dim'),
    ),
  ];
  return screenOf(VIEW, { lines, place: LIST_START });
}
