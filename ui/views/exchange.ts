import type { Env, Screen, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { line } from '../text.ts';

const VIEW: View<{ id: number }> = {
  scopes: () => ['exchange'],
  title: ({ id }) => `e${id}`,
  act: () => null,
  refresh: state => state,
  draw: ({ id }) => [line(`exchange e${id}`)],
};

export function exchangeScreen(id: number, _env: Env): Screen {
  return screenOf(VIEW, { id });
}
