import { commandsFor, type KeyMap, keysText } from '../keymap.ts';
import { textPane } from '../panes/text.ts';
import { titled } from '../panes/titled.ts';
import type { Env, Screen } from '../screen.ts';
import { type Line, line, pad, span, wrapText } from '../text.ts';

/** The keys of a screen, from the same table that runs them. */
export function helpScreen(screen: Screen, map: KeyMap, env: Env): Screen {
  const pane = textPane({ lines: columns => linesOf(screen, map, columns) }, env);
  return titled(pane, { title: 'help', scopes: ['help'] });
}

function linesOf(screen: Screen, map: KeyMap, columns: number): Line[] {
  const scopes = screen.scopes();
  const wide = columns >= 70;
  const left = wide ? 41 : 15;
  const row = (name: string, keys: string, help: string): Line[] =>
    wrapText(help, columns - left).map((text, i) =>
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
  return [
    line(` Keys of this view: ${screen.title()}`, 'bold'),
    ...(own.length === 0 ? [line('  none of its own', 'dim')] : own),
    line(''),
    line(' Keys of every view', 'bold'),
    ...rows(false),
    line(''),
    ...wrapText('Any command runs by its name after : as well. keys.yaml binds others (docs/ui.md).', columns - 2).map(text =>
      line(` ${text}`, 'dim'),
    ),
  ];
}
