import type { Action } from './keymap.ts';
import type { Env, Step } from './screen.ts';
import { requestsScreen } from './views/requests.ts';
import { runsScreen } from './views/runs.ts';

/** Commands that open a screen from anywhere. `null`: no such command. */
export function navigate(action: Action, env: Env): Step | null {
  switch (action.name) {
    case 'runs':
      return { root: runsScreen(env) };
    case 'requests':
      return { root: requestsScreen(env) };
    case 'run':
    case 'exchange':
      return null;
    default:
      return null;
  }
}
