import { expect, test } from 'vitest';
import { openSessions } from '../../src/proxy/sessions.ts';

test('a session that is remembered keeps no memory but its own', () => {
  const sessions = openSessions();
  sessions.remember('key', 'ca', Buffer.from('x'.repeat(2000)));
  expect(sessions.ticket('key', 'ca')?.toString()).toBe('x'.repeat(2000));
  expect(sessions.ticket('key', 'ca')?.buffer.byteLength).toBe(2000);
});
