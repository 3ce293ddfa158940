import type { InputState } from './input.ts';
import type { Action, Scope } from './keymap.ts';
import type { KeyName } from './keys.ts';
import type { Marks, Names, Subject } from './marks.ts';
import type { Source } from './source.ts';
import type { Line } from './text.ts';
import type { Theme } from './theme.ts';

/** What views are: plain states, with pure functions from a state and an action to the next state, and from a state to lines. */

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What a view may look at. `size` is that of its own part of the screen. */
export interface Env {
  readonly source: Source;
  readonly theme: Theme;
  readonly size: Size;
  /** Keys go elsewhere: no cursor is drawn. */
  readonly unfocused?: true;
  /** Rows that were marked, in any list. */
  readonly marks: Marks;
  /** Rows that were given a letter. */
  readonly names: Names;
  /** Wall clock, ms since the epoch. */
  now(): number;
}

export interface Notice {
  readonly text: string;
  readonly kind: 'info' | 'warning' | 'error';
}

/** What an action leads to; all of it happens. */
export interface Step {
  /** The screen in place of the one that acted. */
  readonly screen?: Screen;
  /** On top of it; `back` leads to where it was. */
  readonly push?: Screen;
  /** The only screen from now on. */
  readonly root?: Screen;
  readonly back?: true;
  readonly say?: Notice;
  readonly prompt?: Prompt;
  readonly job?: Job;
  readonly marks?: Marks;
  readonly names?: Names;
  /** Written to the terminal as it is (OSC 52); must not move the cursor. */
  readonly escape?: string;
  readonly quit?: true;
}

/** Work that takes longer than a frame: it is told how far it is, and esc ends it. */
export interface Job {
  readonly label: string;
  /** @param report words for how far it is */
  run(report: (progress: string) => void, signal: AbortSignal): Promise<Step>;
}

export interface Tabs {
  readonly names: readonly string[];
  /** For a narrow terminal. */
  readonly short?: readonly string[];
  readonly current: number;
}

/**
 * What a screen lacks, and how it is got: rows of a thread, a count. A screen names what it wants whenever it has changed; what is wanted
 * already goes on, what is not wanted any more is aborted.
 */
export interface Task {
  /** The same as long as the same thing is wanted. */
  readonly key: string;
  run(signal: AbortSignal, update: (change: (screen: Screen, env: Env) => Screen) => void): Promise<void>;
}

/** A view with its state: what the stack of screens holds. */
export interface Screen {
  scopes(): readonly Scope[];
  /** Its part of the line at the top. */
  title(): string;
  tabs(): Tabs | null;
  /** `null`: it does not know this action. */
  act(action: Action, env: Env): Step | null;
  /** The screen after the capture has grown, or was returned to. */
  refresh(env: Env): Screen;
  /** At most `env.size.rows` lines; the rest is cut. */
  draw(env: Env): readonly Line[];
  /** What stands on the right of the last line: place in the list, filter. */
  status(env: Env): string;
  wants(env: Env): readonly Task[];
  /** The run or exchange that is looked at: what copies, marks, compares and sends again. */
  subject(): Subject | null;
  /** The same for all states that follow from one another. */
  readonly id: object;
}

/** The functions of one kind of screen. */
export interface View<S> {
  scopes(state: S): readonly Scope[];
  title(state: S): string;
  tabs?(state: S): Tabs;
  act(state: S, action: Action, env: Env): StepOf<S> | null;
  refresh(state: S, env: Env): S;
  draw(state: S, env: Env): readonly Line[];
  status?(state: S, env: Env): string;
  wants?(state: S, env: Env): readonly TaskOf<S>[];
  subject?(state: S): Subject | null;
}

/** A task of a view: `update` changes its state, whatever that has become meanwhile. */
export interface TaskOf<S> {
  readonly key: string;
  run(signal: AbortSignal, update: (change: (state: S, env: Env) => S) => void): Promise<void>;
}

/** A step of a view: `state` is the next state of its own. */
export type StepOf<S> = Omit<Step, 'screen'> & { readonly state?: S };

/** A screen of a view. */
export function screenOf<S>(view: View<S>, state: S, id: object = {}): Screen {
  const screen: Screen = {
    id,
    scopes: () => view.scopes(state),
    title: () => view.title(state),
    tabs: () => view.tabs?.(state) ?? null,
    act(action, env) {
      const step = view.act(state, action, env);
      if (step === null) return null;
      const { state: next, ...rest } = step;
      return next === undefined ? rest : { ...rest, screen: screenOf(view, next, id) };
    },
    refresh(env) {
      const next = view.refresh(state, env);
      return next === state ? this : screenOf(view, next, id);
    },
    draw: env => view.draw(state, env),
    status: env => view.status?.(state, env) ?? '',
    wants: env => (view.wants?.(state, env) ?? []).map(task => taskOf(view, task)),
    subject: () => view.subject?.(state) ?? null,
  };
  states.set(screen, { view, state });
  return screen;
}

/** The states that screens were made of, for the tasks of their views. */
const states = new WeakMap<Screen, { view: object; state: unknown }>();

/** The state of a screen of this view, for one that takes its place. */
export function stateIn<S>(view: View<S>, screen: Screen): S | null {
  const known = states.get(screen);
  return known?.view === view ? (known.state as S) : null;
}

function taskOf<S>(view: View<S>, task: TaskOf<S>): Task {
  return {
    key: task.key,
    run: (signal, update) =>
      task.run(signal, change =>
        update((screen, env) => {
          const known = stateIn(view, screen);
          return known === null ? screen : screenOf(view, change(known, env), screen.id);
        }),
      ),
  };
}

/** A line that is being typed at the bottom of the screen, with what belongs to it above. */
export interface Prompt {
  /** In front of the line: `:`, `/`. */
  readonly label: string;
  /** What was typed before is remembered under this name; absent: under the label. */
  readonly history?: string;
  readonly input: InputState;
  /** What is wrong with the line, in words; `null` when it is fine. */
  readonly problem: string | null;
  /** Lines above it: completions, a palette. At most `env.size.rows`. */
  draw(env: Env): readonly Line[];
  /** After the text has changed. The step is run on the screen below (a search as one types). */
  change(input: InputState, env: Env): { prompt: Prompt; action?: Action };
  /** A key that is no part of a line: tab, shift-tab, … `null`: nothing. */
  key(key: KeyName, env: Env): Prompt | null;
  submit(env: Env): { action?: Action; step?: Step };
  /** Esc: what undoes what was done as one typed. */
  cancel?: Action;
}
