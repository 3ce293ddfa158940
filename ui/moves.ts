import type { Action } from './keymap.ts';
import type { Move } from './list.ts';

/** The move in a list that an action stands for, `null` for any other action. */
export function moveOf({ name, argument }: Action): Move | null {
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
    case 'go':
      return /^\d{1,9}$/.test(argument ?? '') ? { to: Number(argument) - 1 } : null;
    default:
      return null;
  }
}
