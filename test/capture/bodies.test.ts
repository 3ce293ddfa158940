import { expect, test } from 'vitest';
import { createBodies } from '../../src/capture/bodies.ts';
import { openForWriting } from '../../src/capture/database.ts';
import { closing, noise, tempDir } from './rig.ts';

test('the id of a body that was deleted is not given to another one: readers remember bodies by it', () => {
  using dir = tempDir();
  using owned = closing(openForWriting(dir.file('a.db'), 0));
  const bodies = createBodies(owned.db);
  let key = 0;
  const store = (bytes: Buffer): number | null => {
    bodies.append(++key, bytes);
    bodies.settle();
    return bodies.end(key, { size: bytes.length, cut: null });
  };
  const given = [];
  for (const bytes of [noise(100, 1), noise(1 << 20, 2), noise(100, 3), noise(1 << 20, 4)]) {
    given.push(store(bytes));
    owned.db.exec('DELETE FROM body_fresh; DELETE FROM body_chunk; DELETE FROM body');
    bodies.forget();
  }
  expect(given).toEqual([1, 2, 3, 4]);
});
