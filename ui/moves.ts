import type { Action } from './keymap.ts';
import type { Move } from './list.ts';

/** The move in a list that an action stands for, `null` for any other action. */
export function moveOf({ name }: Action): Move | null {
  switch (name) {
    case 'up':
    case 'down':
    case 'half-up':
    case 'half-down':
    case 'page-up':
    case 'page-down':
    case 'top':
    case 'bottom':
      return name;
    default:
      return null;
  }
}
