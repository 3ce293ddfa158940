/**
 * Brings lines to a terminal, only those that are not there already, all in one write. Ink would do it, too: it takes every cell of a
 * frame apart and puts it together again, which is most of the time between a key and its frame.
 */
export interface Painter {
  /** @param lines one a row of the screen; none is wider than it, and none holds anything but text and SGR sequences */
  draw(lines: readonly string[]): void;
  /** Somebody else has written to the screen: the next frame is drawn whole. */
  forget(): void;
  /** Draws the last frame again, if it was forgotten. */
  restore(): void;
  /** Writes nothing until the next `restore`: the terminal is somebody else's. */
  pause(): void;
}

/** Terminals that know it show what is between at once (DEC private mode 2026); others pass it over. */
const BEGIN = '\x1b[?2026h';
const END = '\x1b[?2026l';

/** To the start of a row, counted from 1, and nothing on it. */
const atRow = (row: number): string => `\x1b[${row};1H\x1b[2K`;

export function createPainter(stdout: { write(text: string): unknown }): Painter {
  let shown: readonly string[] = [];
  let last: readonly string[] = [];
  let paused = false;

  function draw(lines: readonly string[]): void {
    last = lines;
    if (paused) return;
    let out = '';
    for (let row = 0; row < lines.length; row += 1) {
      if (lines[row] !== shown[row]) out += `${atRow(row + 1)}${lines[row]}`;
    }
    shown = lines;
    // The cursor, which is hidden, waits where nothing that Ink writes does any harm.
    if (out !== '') stdout.write(`${BEGIN}${out}\x1b[H${END}`);
  }

  return {
    draw,
    forget() {
      shown = [];
    },
    restore() {
      paused = false;
      draw(last);
    },
    pause() {
      paused = true;
      shown = [];
    },
  };
}
