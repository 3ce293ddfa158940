import type { Action } from './keymap.ts';
import type { Env, Screen, Step, StepOf } from './screen.ts';
import type { Line } from './text.ts';

/** Screens inside of screens: the tabs of a run and of an exchange are panes with states of their own. */

/** What a pane sees: its part of the screen. */
export function paneEnv(env: Env, above: number): Env {
  return { ...env, size: { columns: env.size.columns, rows: Math.max(1, env.size.rows - above) } };
}

export function drawPane(pane: Screen, env: Env, above: number): readonly Line[] {
  const inner = paneEnv(env, above);
  return pane.draw(inner).slice(0, inner.size.rows);
}

/** Lets a pane act; where it changes, the screen around it does. */
export function delegate<S>(pane: Screen, action: Action, env: Env, around: (pane: Screen) => S): StepOf<S> | null {
  const step = pane.act(action, env);
  return step === null ? null : stateOf(step, around);
}

function stateOf<S>(step: Step, around: (pane: Screen) => S): StepOf<S> {
  const { screen, ...rest } = step;
  return screen === undefined ? rest : { ...rest, state: around(screen) };
}
