import { editInput, type InputState, insertText, MAX_TEXT, remember } from './input.ts';
import type { Action, Binding, KeyMap } from './keymap.ts';
import { commandsFor, resolveKey, specOf } from './keymap.ts';
import type { KeyName } from './keys.ts';
import type { Marks, Names } from './marks.ts';
import { argumentPrompt, commandPrompt, palette } from './prompts.ts';
import type { Env, Job, Notice, Prompt, Screen, Size, Step, Task } from './screen.ts';
import type { Source } from './source.ts';
import type { Theme } from './theme.ts';

/**
 * The program behind the screens: the stack of them, the line that is typed, work under way. It is outside React, which only draws it; keys
 * and the growing capture are the only things that change it.
 */

export interface AppState {
  readonly size: Size;
  /** Never empty; the last one is shown. */
  readonly stack: readonly Screen[];
  readonly prompt: Prompt | null;
  readonly notice: Notice | null;
  /** Keys of a sequence that was begun, and what may follow. */
  readonly pending: { readonly keys: string; readonly next: readonly Binding[] } | null;
  readonly hints: boolean;
  readonly marks: Marks;
  readonly names: Names;
  /** The mouse is ours; off, the terminal selects text. */
  readonly mouse: boolean;
  readonly job: { readonly label: string; readonly progress: string } | null;
  readonly live: boolean;
}

export interface Engine {
  state(): AppState;
  /** Runs `listener` after each change; the result ends that. */
  subscribe(listener: () => void): () => void;
  press(keys: readonly KeyName[]): void;
  /** Pasted text goes into the line that is typed, and nowhere else: it is no keys. */
  paste(text: string): void;
  act(action: Action): void;
  resize(size: Size): void;
  /** The capture has grown, or time has passed while it may. */
  refresh(): void;
  say(notice: Notice): void;
  /** Lines that a view has for itself. */
  env(): Env;
  readonly map: KeyMap;
  readonly theme: Theme;
}

export interface EngineOptions {
  source: Source;
  theme: Theme;
  map: KeyMap;
  size: Size;
  /** The first screen; it may want to read for its size. */
  first(env: Env): Screen;
  /** Screens that `:NAME` opens from anywhere; `null`: no such command. */
  navigate(action: Action, env: Env, screen: Screen): Step | null;
  help(screen: Screen, map: KeyMap, env: Env): Screen;
  notice?: Notice;
  now?: () => number;
  /** Effects on the terminal. */
  onQuit(): void;
  onSuspend(): void;
  onMouse?(on: boolean): void;
  onRedraw(): void;
  onEscape(sequence: string): void;
}

/** Lines of the frame that are not the view's: title above, status and keys below; tabs where there are some. */
export function viewSize(size: Size, hasTabs: boolean, hints: boolean): Size {
  return { columns: size.columns, rows: Math.max(1, size.rows - 2 - (hasTabs ? 1 : 0) - (hints ? 1 : 0)) };
}

export function createEngine(options: EngineOptions): Engine {
  const { source, theme, map, now = Date.now } = options;
  const listeners = new Set<() => void>();
  const histories = new Map<string, string[]>();
  let running: AbortController | null = null;
  const envFor = (size: Size, marks: Marks, names: Names): Env => ({ source, theme, size, marks, names, now });
  let state: AppState = {
    size: options.size,
    stack: [options.first(envFor(viewSize(options.size, true, true), [], new Map()))],
    prompt: null,
    notice: options.notice ?? null,
    pending: null,
    hints: true,
    marks: [],
    names: new Map(),
    mouse: !theme.reader,
    job: null,
    live: source.isLive(),
  };

  const top = (): Screen => state.stack.at(-1)!;
  const env = (screen = top()): Env =>
    envFor(viewSize(state.size, screen.tabs() !== null, state.hints), state.marks, state.names);

  function set(change: Partial<AppState>): void {
    state = { ...state, ...change };
    if (change.stack !== undefined) tend();
    for (const listener of listeners) listener();
  }

  /** Tasks under way, of the screen that is shown and of those below it. */
  const tasks = new Map<object, Map<string, AbortController>>();

  /** Starts what the screen that is shown wants, and ends what nobody wants any more. */
  function tend(): void {
    const there = new Set(state.stack.map(screen => screen.id));
    for (const [id, known] of tasks) {
      if (there.has(id)) continue;
      for (const controller of known.values()) controller.abort();
      tasks.delete(id);
    }
    const screen = top();
    const wanted = screen.wants(env(screen));
    const known = tasks.get(screen.id) ?? new Map<string, AbortController>();
    for (const [key, controller] of known) {
      if (wanted.some(task => task.key === key)) continue;
      controller.abort();
      known.delete(key);
    }
    for (const task of wanted) if (!known.has(task.key)) begin(screen.id, known, task);
    if (known.size > 0) tasks.set(screen.id, known);
  }

  function begin(id: object, known: Map<string, AbortController>, task: Task): void {
    const controller = new AbortController();
    known.set(task.key, controller);
    const update = (change: (screen: Screen, at: Env) => Screen): void => {
      if (controller.signal.aborted) return;
      set({ stack: state.stack.map(screen => (screen.id === id ? change(screen, env(screen)) : screen)) });
    };
    const done = (): void => {
      if (known.get(task.key) === controller) known.delete(task.key);
    };
    task.run(controller.signal, update).then(done, (error: unknown) => {
      done();
      if (!controller.signal.aborted) set({ notice: noticeOf(error) });
    });
  }

  function replaced(screen: Screen): readonly Screen[] {
    return [...state.stack.slice(0, -1), screen];
  }

  function take(step: Step): void {
    let { stack } = state;
    if (step.screen !== undefined) stack = replaced(step.screen);
    if (step.back === true && stack.length > 1) {
      stack = stack.slice(0, -1);
      // What was below may have grown meanwhile.
      stack = [...stack.slice(0, -1), stack.at(-1)!.refresh(env(stack.at(-1)!))];
    }
    if (step.root !== undefined) stack = [step.root];
    if (step.push !== undefined) stack = [...stack, step.push];
    if (step.prompt !== undefined && state.prompt !== null) keep(state.prompt);
    const prompt = step.prompt === undefined ? null : withHistory(step.prompt);
    set({
      stack,
      ...(step.say && { notice: step.say }),
      ...(prompt && { prompt }),
      ...(step.marks && { marks: step.marks }),
      ...(step.names && { names: step.names }),
    });
    if (step.escape !== undefined) options.onEscape(step.escape);
    if (step.job !== undefined) start(step.job);
    if (step.quit === true) options.onQuit();
  }

  /** What was typed behind the same label before is there again with the arrow up. */
  function withHistory(prompt: Prompt): Prompt {
    const history = histories.get(prompt.history ?? prompt.label);
    return history === undefined ? prompt : prompt.change({ ...prompt.input, history }, env()).prompt;
  }

  function start(job: Job): void {
    running?.abort();
    const controller = new AbortController();
    const { id } = top();
    running = controller;
    set({ job: { label: job.label, progress: '' } });
    const report = (progress: string): void => {
      if (running === controller) set({ job: { label: job.label, progress } });
    };
    const done = (step: Step): void => {
      if (running !== controller) return;
      running = null;
      set({ job: null });
      // What would have been the next state of a screen is nothing to one that was gone to meanwhile.
      const { screen, ...rest } = step;
      guarded(() => take(screen === undefined || top().id !== id ? rest : step));
    };
    job.run(report, controller.signal).then(done, (error: unknown) => done({ say: noticeOf(error) }));
  }

  function cancelJob(): void {
    if (running === null) return;
    running.abort();
    running = null;
    set({ job: null, notice: { text: 'cancelled', kind: 'info' } });
  }

  /** A row that cannot be read must not end the session at which somebody looks. */
  function guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      set({ notice: noticeOf(error) });
    }
  }

  function act(action: Action): void {
    const here = env();
    const step = top().act(action, here) ?? options.navigate(action, here, top()) ?? common(action, here);
    if (step !== null) take(step);
  }

  function quitKey(): string {
    return map.find(({ action }) => action.name === 'quit')?.keys ?? ':quit';
  }

  /** Commands that no view need know; `null`: it is done. */
  function common(action: Action, here: Env): Step | null {
    const screen = top();
    switch (action.name) {
      case 'back':
        return state.stack.length > 1 ? { back: true } : { say: { text: `${quitKey()} quits`, kind: 'info' } };
      case 'quit':
        return { quit: true };
      case 'help':
        return screen.scopes().includes('help') ? { back: true } : { push: options.help(screen, map, here) };
      case 'command':
        return { prompt: commandPrompt(screen.scopes(), histories.get(':') ?? []) };
      case 'palette':
        return { prompt: palette(screen.scopes(), map) };
      case 'suspend':
        options.onSuspend();
        return null;
      case 'mouse': {
        const mouse = !state.mouse;
        options.onMouse?.(mouse);
        const text = mouse ? 'the wheel moves, a click goes to a row' : 'the mouse selects text';
        set({ mouse, notice: { text: `${text}; ctrl-y turns that ${mouse ? 'off' : 'around'}`, kind: 'info' } });
        return null;
      }
      case 'redraw':
        options.onRedraw();
        return null;
      case 'hints':
        set({ hints: !state.hints });
        return null;
      default: {
        const known = commandsFor(screen.scopes()).some(spec => spec.name === action.name);
        return {
          say: { text: known ? `${action.name} does nothing here` : `${action.name} is not for this view`, kind: 'info' },
        };
      }
    }
  }

  /** A command that needs an argument and has none asks for it. */
  function actOrAsk(action: Action): void {
    const spec = specOf(action.name);
    if (action.name === 'search' && action.argument === null) {
      set({ prompt: argumentPrompt(spec.name, '/', histories.get('/') ?? [], true) });
    } else act(action);
  }

  function pressPrompt(prompt: Prompt, key: KeyName): void {
    if (key === 'esc' || key === 'ctrl-c' || key === 'ctrl-g') leavePrompt(prompt);
    else if (key === 'enter') submit(prompt);
    else {
      const other = prompt.key(key, env());
      if (other !== null) set({ prompt: other });
      else edit(prompt, key);
    }
  }

  /** What was typed is there again with the arrow up, also when it was not run. */
  function keep({ history, label, input }: Prompt): void {
    const name = history ?? label;
    histories.set(name, remember(histories.get(name) ?? [], input.text));
  }

  function leavePrompt(prompt: Prompt): void {
    keep(prompt);
    set({ prompt: null });
    if (prompt.cancel !== undefined) act(prompt.cancel);
  }

  function submit(prompt: Prompt): void {
    if (prompt.problem !== null) {
      set({ notice: { text: prompt.problem, kind: 'error' } });
      return;
    }
    keep(prompt);
    set({ prompt: null });
    const { action, step } = prompt.submit(env());
    if (step !== undefined) take(step);
    if (action !== undefined) actOrAsk(action);
  }

  function edit(prompt: Prompt, key: KeyName): void {
    // Backspace on an empty line leaves it, as in vim and less.
    if (key === 'backspace' && prompt.input.text === '') {
      leavePrompt(prompt);
      return;
    }
    const input = editInput(prompt.input, key);
    if (input !== null) change(prompt, input);
  }

  function change(prompt: Prompt, input: InputState): void {
    const changed = prompt.change(input, env());
    set({ prompt: changed.prompt });
    if (changed.action !== undefined) act(changed.action);
  }

  function press(key: KeyName): void {
    if (state.notice !== null) state = { ...state, notice: null };
    if (state.prompt !== null) pressPrompt(state.prompt, key);
    else if (state.job !== null && key === 'esc') cancelJob();
    else pressView(key);
  }

  function pressView(key: KeyName): void {
    const resolved = resolveKey(map, top().scopes(), state.pending?.keys ?? '', key);
    const began = state.pending !== null;
    state = { ...state, pending: null };
    switch (resolved.type) {
      case 'action':
        actOrAsk(resolved.action);
        break;
      case 'pending':
        set({ pending: { keys: resolved.keys, next: resolved.next } });
        break;
      case 'none':
        set(began ? {} : { notice: { text: `${key} does nothing here; ? shows the keys`, kind: 'info' } });
        break;
      default:
        resolved satisfies never;
    }
  }

  tend();

  return {
    state: () => state,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    press(keys) {
      for (const key of keys) guarded(() => press(key));
    },
    paste(text) {
      const { prompt } = state;
      if (prompt === null) return;
      // Lines become blanks: a pasted newline must not run what was pasted.
      const line = text
        .slice(0, MAX_TEXT)
        .replace(/\s+/g, ' ')
        .replace(/\p{Cc}/gu, '');
      guarded(() => change(prompt, insertText(prompt.input, line)));
    },
    act: action => guarded(() => act(action)),
    resize(size) {
      if (size.columns === state.size.columns && size.rows === state.size.rows) return;
      state = { ...state, size };
      guarded(() => set({ stack: replaced(top().refresh(env())) }));
    },
    refresh() {
      guarded(() => {
        source.grown();
        const live = source.isLive();
        const lost = state.live && !live && source.isCutOff();
        set({ stack: replaced(top().refresh(env())), live, ...(lost && { notice: CUT_OFF }) });
      });
    },
    say: notice => set({ notice }),
    env,
    map,
    theme,
  };
}

const CUT_OFF: Notice = {
  text: 'the proxy is gone without having closed the capture; leaving and opening it again settles runs that were open',
  kind: 'warning',
};

function noticeOf(error: unknown): Notice {
  const hint = error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? ` (${error.hint})` : '';
  return { text: `${error instanceof Error ? error.message : String(error)}${hint}`, kind: 'error' };
}
