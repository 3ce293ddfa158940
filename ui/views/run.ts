import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { line } from '../text.ts';

const VIEW: View<{ id: number }> = {
  scopes: () => ['run'],
  title: ({ id }) => `r${id}`,
  act: () => null,
  refresh: state => state,
  draw: ({ id }) => [line(`run r${id}`)],
};

export function runScreen(id: number, _env: Env): Screen {
  return screenOf(VIEW, { id });
}
