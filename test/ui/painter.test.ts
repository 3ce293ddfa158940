import { expect, test } from 'vitest';
import { createPainter } from '../../ui/painter.ts';

const ESCAPE = '\x1b';
const SENT = new RegExp(`${ESCAPE}\\[(?:(\\d*)(?:;1)?H)|(${ESCAPE}\\[2K)|(${ESCAPE}\\[\\?2026[hl])|([^${ESCAPE}]+)`, 'g');

/** A terminal that understands what a painter sends, and nothing else. */
function terminal(rows: number): { writes: string[]; write(text: string): void; screen: string[] } {
  const screen = Array.from({ length: rows }, () => '');
  const writes: string[] = [];
  return {
    writes,
    screen,
    write(text) {
      writes.push(text);
      let row = 0;
      for (const [, place, erase, , plain] of text.matchAll(SENT)) {
        if (place !== undefined) row = Number(place || 1) - 1;
        if (erase !== undefined) screen[row] = '';
        if (plain !== undefined) screen[row] += plain;
      }
    },
  };
}

test('a frame is one write, and only of lines that are not there already', () => {
  const to = terminal(3);
  const painter = createPainter(to);
  painter.draw(['one', 'two', 'three']);
  expect(to.screen).toEqual(['one', 'two', 'three']);
  painter.draw(['one', '2', 'three']);
  expect(to.screen).toEqual(['one', '2', 'three']);
  expect(to.writes).toHaveLength(2);
  expect(to.writes[1]).not.toContain('one');
  painter.draw(['one', '2', 'three']);
  expect(to.writes).toHaveLength(2);
});

test('a shorter line leaves nothing of the one before, and a line that has nothing is empty', () => {
  const to = terminal(2);
  const painter = createPainter(to);
  painter.draw(['a long line', 'another']);
  painter.draw(['short', '']);
  expect(to.screen).toEqual(['short', '']);
});

test('what somebody else wrote is drawn over when it is said so', () => {
  const to = terminal(2);
  const painter = createPainter(to);
  painter.draw(['one', 'two']);
  to.screen[1] = 'a warning of Node';
  painter.forget();
  painter.restore();
  expect(to.screen).toEqual(['one', 'two']);
});

test('nothing is written while the terminal is somebody else\u2019s; then the last frame is', () => {
  const to = terminal(2);
  const painter = createPainter(to);
  painter.draw(['one', 'two']);
  painter.pause();
  painter.draw(['three', 'four']);
  expect(to.writes).toHaveLength(1);
  to.screen.fill('the shell');
  painter.restore();
  expect(to.screen).toEqual(['three', 'four']);
});
