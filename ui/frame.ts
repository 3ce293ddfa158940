import { basename } from 'node:path';
import { widthOf } from '../src/commands/columns.ts';
import { type AppState, type Engine, viewSize } from './engine.ts';
import { characterAt } from './input.ts';
import { type CommandName, type CommandSpec, commandsFor, type KeyMap, type Scope, specOf } from './keymap.ts';
import { paint } from './paint.ts';
import type { Env, Prompt, Screen, Tabs } from './screen.ts';
import { cut, cutStart, EMPTY, type Line, line, pad, type Span, span, wrapText } from './text.ts';

/** Below this nothing can be laid out. */
export const SMALLEST = { columns: 40, rows: 10 } as const;

/** The whole screen, exactly as many lines as the terminal has: title, tabs, the view, what is typed, keys. */
export function frameOf(engine: Engine): string[] {
  const state = engine.state();
  const { columns, rows } = state.size;
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) {
    const words = `too small: ${SMALLEST.columns}x${SMALLEST.rows} is needed, this is ${columns}x${rows}; all fits in 80x24`;
    return paint([line(words)], columns, rows, engine.theme);
  }
  return paint(linesOf(engine, state), columns, rows, engine.theme);
}

function linesOf(engine: Engine, state: AppState): Line[] {
  const screen = state.stack.at(-1)!;
  const env = engine.env();
  const tabs = screen.tabs();
  const size = viewSize(state.size, tabs !== null, state.hints);
  const over = state.prompt === null ? longWords(state, env) : [...state.prompt.draw(env), ...problemLines(state.prompt, env)];
  const view = covered(drawn(screen, env).slice(0, size.rows), over.slice(0, Math.max(0, size.rows - 1)), env);
  const filled = [...view, ...Array.from({ length: size.rows - view.length }, () => EMPTY)];
  return [
    titleLine(engine, state),
    ...(tabs === null ? [] : [tabLine(tabs, state.size.columns)]),
    ...filled,
    statusLine(state, screen.status(env)),
    ...(state.hints ? [keyLine(engine.map, screen.scopes(), screen.tabs(), state)] : []),
  ];
}

/** A row that cannot be drawn is told of, and the keys go on: nobody is thrown out of a session for it. */
function drawn(screen: Screen, env: Env): readonly Line[] {
  try {
    return screen.draw(env);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    return emptyLines(env, ['this view cannot be drawn', '', cut(words, env.size.columns - 4), 'esc goes back']);
  }
}

/** What a prompt shows, or what was said at length, covers the lowest lines of the view. */
function covered(view: readonly Line[], over: readonly Line[], env: Env): readonly Line[] {
  if (over.length === 0) return view;
  const room = env.size.rows - over.length - 1;
  const below = Array.from({ length: room }, (_, i) => view[i] ?? EMPTY);
  return [...below, line(env.theme.signs.rule.repeat(env.size.columns), 'dim'), ...over];
}

function problemFits({ label, input, problem }: Pick<Prompt, 'label' | 'input' | 'problem'>, columns: number): boolean {
  return widthOf(`${label}${input.text}   ${problem ?? ''}`) <= columns;
}

/** What is wrong with the line that is typed, when there is no room for all of it behind it. */
function problemLines({ label, input, problem }: Prompt, env: Env): Line[] {
  const { columns } = env.size;
  if (problem === null || input.text === '' || problemFits({ label, input, problem }, columns)) return [];
  return wrapText(problem, columns - 2, 4).map(text => line(` ${text}`, 'error'));
}

/** What was said, when the line for it has no room for all of it: the end of an error is what to do. */
function longWords(state: AppState, env: Env): Line[] {
  const { columns } = env.size;
  const words = said(state);
  if (words === null || widthOf(words.text) <= columns) return [];
  return wrapText(words.text.trimStart(), columns - 2, 8).map(text => [{ ...words, text: ` ${text}` }]);
}

function titleLine(engine: Engine, state: AppState): Line {
  const { signs } = engine.theme;
  const { columns } = state.size;
  const live = state.live ? `${signs.live} capturing ` : `${signs.ended} ended `;
  const file = basename(engine.env().source.store.file);
  const crumbs = state.stack.map(screen => screen.title()).join(` ${signs.crumb} `);
  const room = columns - widthOf(live) - 1;
  // The end of the path is where one is; the file's name goes first when there is no room.
  const full = ` ${file} ${signs.crumb} ${crumbs}`;
  const left = widthOf(full) <= room ? full : cutStart(` ${crumbs}`, room);
  return [span(pad(left, room + 1), 'title'), span(live, 'title')];
}

/** The words of the tabs, as long as there is room for. */
function tabWords({ names, short = names, current }: Tabs, columns: number): readonly string[] {
  const labels = (texts: readonly string[]): string[] => texts.map((name, i) => (i < 9 ? `${i + 1} ${name}` : name));
  const fits = (texts: readonly string[]): boolean => texts.reduce((sum, text) => sum + text.length + 1, 1) <= columns;
  // Where not even the short names fit, only the current one has its name.
  const bare = labels(short).map((text, i) => (i === current ? text : text.split(' ', 1)[0]!));
  return [labels(names), labels(short)].find(fits) ?? bare;
}

/** Which tab is drawn in a column of the line of tabs. */
export function tabAt(tabs: Tabs, columns: number, column: number): number | null {
  let end = 1;
  const found = tabWords(tabs, columns).findIndex(text => {
    end += text.length + 1;
    return column < end;
  });
  return found < 0 ? null : found;
}

function tabLine(tabs: Tabs, columns: number): Line {
  const { current } = tabs;
  const shown = tabWords(tabs, columns);
  const spans: Span[] = [span(current === 0 ? '[' : ' ', 'bold')];
  shown.forEach((text, i) => {
    spans.push(span(text, i === current ? 'bold' : 'dim'), span(i === current ? ']' : i + 1 === current ? '[' : ' ', 'bold'));
  });
  return spans;
}

/** What is typed, or what was said, or what a begun key sequence may go on with; on the right the view's own words. */
function statusLine(state: AppState, status: string): Line {
  const { columns } = state.size;
  if (state.prompt !== null) return promptLine(state.prompt, columns);
  const words = said(state);
  const left = words === null || widthOf(words.text) > columns ? null : words;
  const marked = state.marks.length === 0 ? '' : `${state.marks.length} marked  `;
  const right = cut(`${marked}${status}`, Math.max(0, columns - 2));
  if (left === null) return [span(pad('', Math.max(0, columns - widthOf(right)))), span(right, 'dim')];
  const room = Math.max(widthOf(left.text), columns - widthOf(right) - 2);
  return [{ ...left, text: pad(left.text, room) }, span('  '), span(columns - room > 4 ? right : '', 'dim')];
}

function said(state: AppState): Span | null {
  if (state.pending !== null) {
    const next = state.pending.next.map(({ keys, action }) => {
      const key = keys.slice(state.pending!.keys.length + 1);
      const does = action.argument ?? action.name;
      return key === does ? key : `${key} ${does}`;
    });
    // Letters for rows are too many to be told one by one.
    const words = next.length > 9 ? `${next[0]} … ${next.at(-1)}` : next.join('  ');
    return span(` ${state.pending.keys} … ${words}`, 'key');
  }
  if (state.notice !== null) {
    const { kind, text } = state.notice;
    if (kind === 'error') return span(` error: ${text}`, 'error');
    return kind === 'warning' ? span(` warning: ${text}`, 'warning') : span(` ${text}`);
  }
  return state.job === null ? null : span(` ${state.job.label}: ${state.job.progress || 'working'} (esc cancels)`, 'bold');
}

/** The line that is typed, with its cursor as an inverse cell, and what is wrong with it. */
function promptLine({ label, input, problem }: Prompt, columns: number): Line {
  const bad = problem !== null && input.text !== '';
  const before = input.text.slice(0, input.cursor);
  const at = characterAt(input) || ' ';
  const room = columns - widthOf(label) - 2;
  const shown = cutStart(before, Math.max(1, Math.floor(room * 0.8)));
  const rest = input.text.slice(input.cursor + at.length);
  return [
    span(label, 'key'),
    span(shown, bad ? 'error' : 'value'),
    span(at, 'selected'),
    span(rest, bad ? 'error' : 'value'),
    span(bad && problemFits({ label, input, problem }, columns) ? `  ${problem}` : '', 'warning'),
  ];
}

/** What leads on, back, and to all that there is no room for. */
const ALWAYS: ReadonlySet<string | undefined> = new Set((['open', 'back', 'help'] as const).map(name => specOf(name).short));

/** Keys of this view, as many as fit; the view's own come first. */
function keyLine(map: KeyMap, scopes: readonly Scope[], tabs: Tabs | null, state: AppState): Line {
  if (state.prompt !== null) return [span('enter', 'key'), span(' run  ', 'dim'), span('esc', 'key'), span(' leave  ', 'dim')];
  const leadsBack = state.stack.length > 1 || scopes.includes('filtered');
  const does = ({ name }: { name: CommandName }): boolean => {
    if (name === 'next-tab') return tabs !== null;
    if (name === 'back') return leadsBack;
    // Nothing newer comes to a capture that has ended.
    return name !== 'follow' || state.live;
  };
  const shown = commandsFor(scopes).filter(spec => spec.short !== undefined && does(spec));
  const hints = shown.flatMap(spec => hint(map, spec));
  const widthOfHint = ({ key, short }: { key: string; short: string }): number => widthOf(key) + 1 + widthOf(short) + 2;
  const isKept = ({ short }: { short: string }): boolean => ALWAYS.has(short);
  let left = hints.filter(isKept).reduce((room, one) => room - widthOfHint(one), state.size.columns);
  const spans: Span[] = [];
  for (const one of hints) {
    const width = isKept(one) ? 0 : widthOfHint(one);
    if (width > left) continue;
    left -= width;
    spans.push(span(one.key, 'key'), span(` ${one.short}  `, 'dim'));
  }
  return spans;
}

function hint(map: KeyMap, spec: CommandSpec & { name: CommandName }): { key: string; short: string }[] {
  const binding = map.find(({ action }) => action.name === spec.name);
  return binding === undefined || spec.short === undefined ? [] : [{ key: binding.keys, short: spec.short }];
}

/** Lines in the middle of a view that has nothing to show: what to do next. */
export function emptyLines(env: { size: { columns: number; rows: number } }, texts: readonly string[]): Line[] {
  const wrapped = texts.flatMap((text, i) =>
    wrapText(text, env.size.columns - 2).map(part => ({ text: part, style: i === 0 ? ('bold' as const) : ('value' as const) })),
  );
  const above = Math.max(0, Math.floor((env.size.rows - wrapped.length) / 3));
  const width = Math.max(0, ...wrapped.map(({ text }) => widthOf(text)));
  const indent = ' '.repeat(Math.max(1, Math.floor((env.size.columns - width) / 2)));
  return [...Array.from({ length: above }, () => EMPTY), ...wrapped.map(({ text, style }) => line(`${indent}${text}`, style))];
}
