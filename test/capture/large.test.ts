import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import type { Side } from '../../src/model.ts';
import { closing, noise, tempDir } from './rig.ts';

const MIB = 1 << 20;

test('a body of 128 MiB is captured whole, in memory that does not depend on its size', () => {
  using dir = tempDir();
  const child = fileURLToPath(new URL('large.ts', import.meta.url));
  const said = execFileSync(process.execPath, [child, dir.file('a.db'), '128'], { encoding: 'utf8' });
  const { id, before, peak, losses } = JSON.parse(said) as { id: number; before: number; peak: number; losses: unknown[] };
  expect(losses).toEqual([]);
  expect(peak).toBeLessThan(250 * MIB);
  expect(peak - before).toBeLessThan(125 * MIB); // the ring, what the writer holds, SQLite's cache, what V8 has not collected
  using store = closing(openStore(dir.file('a.db')));
  expect(store.exchange(id)?.bodies).toMatchObject([{ size: 128 * MIB, kept: 128 * MIB, cut: null }]);
  const block = noise(64 << 10, 1);
  const expected = createHash('sha256');
  for (let i = 0; i < 128 * 16; i++) {
    block.writeUInt32LE(i, 0);
    expected.update(block);
  }
  const sha256 = expected.digest('hex');
  const read = createHash('sha256');
  const side: Side = 'response';
  for (const piece of store.body(id, side)) read.update(piece);
  expect(read.digest('hex')).toBe(sha256);
  expect(store.exchange(id)?.bodies[0]?.sha256).toBe(sha256);
  expect(statSync(dir.file('a.db')).size).toBeLessThan(140 * MIB);
}, 60_000);
