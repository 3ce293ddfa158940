import type { Scope } from '../keymap.ts';
import type { Subject } from '../marks.ts';
import { delegate } from '../pane.ts';
import type { Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';

/** A pane as a screen of its own, with a name and keys of its own. */
interface Titled {
  readonly pane: Screen;
  readonly title: string;
  readonly scopes: readonly Scope[];
  readonly of: Subject | null;
}

const VIEW: View<Titled> = {
  scopes: ({ pane, scopes }) => [...pane.scopes(), ...scopes],
  title: ({ title }) => title,
  act: (state, action, env) => delegate(state.pane, action, env, pane => ({ ...state, pane })),
  refresh(state, env) {
    const pane = state.pane.refresh(env);
    return pane === state.pane ? state : { ...state, pane };
  },
  draw: ({ pane }, env) => pane.draw(env),
  status: ({ pane }, env) => pane.status(env),
  subject: ({ pane, of }) => pane.subject() ?? of,
};

/** @param of what it tells of, when the pane says nothing else */
export function titled(
  pane: Screen,
  { title, scopes, of = null }: { title: string; scopes: readonly Scope[]; of?: Subject | null },
): Screen {
  return screenOf(VIEW, { pane, title, scopes, of });
}
