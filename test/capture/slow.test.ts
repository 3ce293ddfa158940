import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Loss } from '../../src/capture/recorder.ts';
import { createRing } from '../../src/capture/ring.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, joined, lossCounts, noise, open, tempDir } from './rig.ts';

const MIB = 1 << 20;

/** Another program that keeps the writer waiting. */
function writeLock(file: string): { release(): void } {
  const db = new Database(file);
  db.exec('BEGIN IMMEDIATE');
  return {
    release() {
      db.exec('COMMIT');
      db.close();
    },
  };
}

describe('a writer that cannot keep up', () => {
  test('asks for a pause, and calls back when it has caught up', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    await line.send('GET /first');
    const lock = writeLock(dir.file('a.db'));
    const chunk = noise(64 << 10, 1);
    let pauses = 0;
    let longest = 0;
    async function* body(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 24 * 16; i++) {
        yield chunk;
        const since = performance.now();
        await new Promise<void>(resolve => {
          if (recorder.ready(resolve)) resolve();
          else if (pauses++ === 0) setTimeout(() => lock.release(), 300);
        });
        longest = Math.max(longest, performance.now() - since);
      }
    }
    const id = await line.sendStream('GET /large', body());
    await recorder.close();
    expect(pauses).toBeGreaterThan(0);
    expect(longest).toBeGreaterThan(250);
    expect(recorder.losses).toEqual([]);
    using store = closing(openStore(dir.file('a.db')));
    expect(store.exchange(id)?.bodies).toMatchObject([{ size: 24 * MIB, kept: 24 * MIB, cut: null }]);
  });

  test('lets go those who wait one after another: together they would overrun it', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'), { commitWaitMs: 60_000 });
    const line = agent(recorder, 'web1.lab').connect();
    await line.send('GET /first');
    const chunk = noise(64 << 10, 1);
    const filling = recorder.exchangeId();
    recorder.tap(filling, 'response').write(noise(10 * MIB, 2));
    const senders = Array.from({ length: 400 }, async () => {
      const id = recorder.exchangeId();
      const tap = recorder.tap(id, 'response');
      expect(recorder.ready(() => undefined)).toBe(false);
      for (let part = 0; part < 3; part++) {
        await new Promise<void>(resolve => {
          const go = (): void => {
            tap.write(chunk);
            resolve();
          };
          if (recorder.ready(go)) go();
        });
      }
      recorder.drop(id);
    });
    await Promise.all(senders);
    recorder.drop(filling);
    await recorder.close();
    expect(recorder.losses).toEqual([]);
  });

  test('is waited for no longer than an answer is', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'), { commitWaitMs: 100 });
    const line = agent(recorder, 'web1.lab').connect();
    await line.send('GET /first');
    const lock = writeLock(dir.file('a.db'));
    const id = recorder.exchangeId();
    recorder.tap(id, 'response').write(noise(10 * MIB, 1));
    const since = performance.now();
    expect(await new Promise(resolve => resolve(recorder.ready(() => undefined)))).toBe(false);
    await new Promise<void>(resolve => void recorder.ready(resolve));
    const waited = performance.now() - since;
    expect(waited).toBeGreaterThan(80);
    expect(waited).toBeLessThan(5_000);
    lock.release();
    recorder.drop(id);
    await recorder.close();
  });

  test('costs bodies whose sender does not pause, and never memory; what is kept is their beginning', async () => {
    using dir = tempDir();
    const losses: Loss[] = [];
    const recorder = await open(dir.file('a.db'), { onLoss: loss => losses.push(loss) });
    const line = agent(recorder, 'web1.lab').connect();
    await line.send('GET /first');
    const lock = writeLock(dir.file('a.db'));
    const body = noise(24 * MIB, 2);
    const chunks = Array.from({ length: 24 * 16 }, (_, i) => body.subarray(i << 16, (i + 1) << 16));
    const sent = line.send('GET /large', { bodies: { response: chunks } });
    const small = line.send('GET /small', { bodies: { response: noise(100, 3) } });
    lock.release();
    const [large, other] = await Promise.all([sent, small]);
    const after = await line.send('GET /after', { bodies: { response: noise(1_000, 4) } });
    await recorder.close();
    expect(losses).toMatchObject([{ reason: 'body-cut' }]);
    using store = closing(openStore(dir.file('a.db')));
    const [info] = store.exchange(large)!.bodies;
    expect(info).toMatchObject({ size: 24 * MIB, kept: 16 * MIB, cut: 'lost' });
    expect(joined(store.body(large, 'response')).equals(body.subarray(0, 16 * MIB))).toBe(true);
    expect(store.exchange(other)?.bodies).toMatchObject([{ size: 100, kept: 0, cut: 'lost' }]);
    expect(joined(store.body(after, 'response')).equals(noise(1_000, 4))).toBe(true);
    expect(lossCounts(store.losses())).toEqual({ 'body-cut': 2 });
  });

  test('takes only so many exchanges', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'), { commitWaitMs: 100 });
    const line = agent(recorder, 'web1.lab').connect();
    await line.send('GET /first');
    const lock = writeLock(dir.file('a.db'));
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < 20_100; i++) sent.push(line.send('GET /'));
    await Promise.all(sent); // late, or at once
    lock.release();
    await recorder.close();
    const counts = Object.fromEntries(recorder.losses.map(loss => [loss.reason, loss.count]));
    expect(counts.overflow).toBe(100);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.query('SELECT count(*) FROM exchange').rows]).toEqual([[20_001]]);
    expect(store.losses().map(loss => loss.reason)).toContain('overflow');
  });
});

test.each(['removed', 'replaced'])('a capture file that is %s: told, and nobody is held up', async what => {
  using dir = tempDir();
  const losses: Loss[] = [];
  const recorder = await open(dir.file('a.db'), { onLoss: loss => losses.push(loss) });
  const line = agent(recorder, 'web1.lab').connect();
  await line.send('GET /first');
  if (what === 'removed') rmSync(dir.file('a.db'));
  else {
    writeFileSync(dir.file('b.db'), '');
    renameSync(dir.file('b.db'), dir.file('a.db'));
  }
  await sleep(1_100); // it is looked for once a second
  await line.send('GET /second');
  await line.send('GET /third');
  const removed = { reason: 'file-removed', detail: expect.stringContaining('was removed or replaced') };
  expect(losses).toContainEqual(expect.objectContaining(removed));
  await recorder.close();
});

describe('the ring', () => {
  test('wraps round, refuses what does not fit, and is empty again when all is released', () => {
    const shared = new SharedArrayBuffer(100);
    const ring = createRing(shared);
    const bytes = new Uint8Array(shared);
    const read = (parts: readonly number[], key: number): number[] => {
      const found: number[] = [];
      for (let i = 0; i < parts.length; i += 3) {
        if (parts[i] === key) found.push(...bytes.subarray(parts[i + 1]!, parts[i + 1]! + parts[i + 2]!));
      }
      return found;
    };
    const first: number[] = [];
    expect(ring.write(1, Uint8Array.of(1, 2, 3), 3, first)).toBe(3);
    expect(ring.write(1, Uint8Array.of(4), 1, first)).toBe(1);
    expect(first).toEqual([1, 0, 4]); // what follows its own kind is one part
    expect(ring.write(2, new Uint8Array(80).fill(9), 80, first)).toBe(80);
    const end = ring.end();
    const second: number[] = [];
    expect(ring.write(3, new Uint8Array(50).fill(7), 50, second)).toBe(16);
    expect(ring.used()).toBe(100);
    expect(ring.write(3, new Uint8Array(50).fill(7), 50, second)).toBe(0);
    expect(read(first, 1)).toEqual([1, 2, 3, 4]);
    ring.release(end);
    expect(ring.used()).toBe(16);
    expect(
      ring.write(
        4,
        Uint8Array.from({ length: 60 }, (_, i) => i),
        60,
        second,
      ),
    ).toBe(60);
    expect(read(second, 3)).toEqual(Array(16).fill(7));
    expect(read(second, 4)).toEqual(Array.from({ length: 60 }, (_, i) => i));
    ring.release(ring.end());
    ring.release(end); // an old one changes nothing
    expect(ring.used()).toBe(0);
  });
});
