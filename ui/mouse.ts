/** Reports of the mouse, among the keys that a terminal sends. */
export interface MouseEvent {
  readonly type: 'press' | 'wheel-up' | 'wheel-down';
  /** From 0, the corner at the upper left. */
  readonly column: number;
  readonly row: number;
}

/** Presses and the wheel (xterm's mode 1000), in the format without limits (1006). While they are on, the terminal selects no text. */
export const MOUSE_ON = '\x1b[?1000h\x1b[?1006h';
export const MOUSE_OFF = '\x1b[?1006l\x1b[?1000l';

const ESCAPE = '\x1b';
const REPORT = new RegExp(`${ESCAPE}\\[<(\\d+);(\\d+);(\\d+)([Mm])`, 'g');
/** A report that goes on in the next read. */
const BEGUN = new RegExp(`${ESCAPE}\\[<[\\d;]*$`);

/** Bits that shift, alt and ctrl add. */
const MODIFIERS = 4 + 8 + 16;

/**
 * Takes the reports out of what a terminal sends; the rest are keys.
 *
 * @returns reads the next piece
 */
export function createMouseReader(on: (event: MouseEvent) => void): (text: string) => string {
  let begun = '';
  return text => {
    const whole = begun + text;
    begun = BEGUN.exec(whole)?.[0] ?? '';
    return whole
      .slice(0, whole.length - begun.length)
      .replace(REPORT, (_, code: string, column: string, row: string, end: string) => {
        const type = typeOf(Number(code) & ~MODIFIERS, end === 'M');
        if (type !== null) on({ type, column: Number(column) - 1, row: Number(row) - 1 });
        return '';
      });
  };
}

/** Of the buttons only the left one is ours; what it does is done when it goes down. */
function typeOf(button: number, down: boolean): MouseEvent['type'] | null {
  if (button === 64) return 'wheel-up';
  if (button === 65) return 'wheel-down';
  return button === 0 && down ? 'press' : null;
}

/** The terminal's input without the reports, which Ink would drop. All but `read` is that of the stream itself. */
export function withoutReports(stdin: NodeJS.ReadStream, read: (text: string) => string): NodeJS.ReadStream {
  return new Proxy(stdin, {
    get(target, name) {
      if (name === 'read') {
        return (size?: number): unknown => {
          const chunk: unknown = target.read(size);
          return typeof chunk === 'string' ? read(chunk) : chunk;
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
